import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.images import image_size, is_turned, load_image, open_image

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(source: Any) -> np.ndarray:
    image = load_image(source)
    assert image.mode == "RGB"
    return np.asarray(image)


def error_of(source: Any, **options: Any) -> str:
    with pytest.raises(LookcloserError) as caught:
        load_image(source, **options)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_files_come_back_as_they_are(kind: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(PICTURE), kind)
    path = tmp_path / "picture.bin"
    path.write_bytes(data)
    for source in (path, str(path), data):
        np.testing.assert_array_equal(pixels(source), PICTURE)


def test_jpeg_equals_pillows_own_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(PICTURE).save(path, quality=80)
    np.testing.assert_array_equal(pixels(path), np.asarray(Image.open(path).convert("RGB")))


# What each EXIF orientation says must be done to the stored rows, in NumPy.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = UPRIGHT[orientation](PICTURE)
    data = encoded(Image.fromarray(PICTURE), "PNG", exif=exif)
    np.testing.assert_array_equal(pixels(data), expected)
    # An image that the caller opened is turned too, and theirs stays as it was.
    with Image.open(io.BytesIO(data)) as given:
        np.testing.assert_array_equal(pixels(given), expected)
        np.testing.assert_array_equal(np.asarray(given), PICTURE)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow says so as well
def test_a_damaged_exif_block_does_not_hide_the_image() -> None:
    for exif in (b"Exif\x00\x00garbage", b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff"):
        data = encoded(Image.fromarray(PICTURE), "JPEG", exif=exif)
        assert pixels(data).shape == PICTURE.shape


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("options", [{}, {"progressive": True, "compression": "jpeg"}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.filterwarnings(
    "ignore:.*(Corrupt EXIF|Truncated File).*:UserWarning"
)  # Pillow on TIFF
def test_a_truncated_file_is_an_error_never_a_gray_image(
    kind: str, options: dict[str, Any], share: float, tmp_path: Path
) -> None:
    data = encoded(Image.fromarray(PICTURE), kind, **options)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    message = error_of(path)
    assert message.startswith(f"{path}: ")
    assert "not an image that can be read" in message or "cannot be decoded" in message


def test_a_truncated_image_that_was_opened_but_not_decoded() -> None:
    data = encoded(Image.fromarray(PICTURE), "JPEG")
    with Image.open(io.BytesIO(data[:-200])) as given:
        assert "image: cannot be decoded" in error_of(given)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60_000, 60_000))
    message = error_of(path)
    assert message.startswith(f"{path}: ")
    assert "3600000000 pixels" in message
    assert "limit of 178956970" in message
    assert "is too large" in message


def test_a_file_that_may_not_be_read_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (4, 4)).save(path)

    def denied(*_given: Any, **_named: Any) -> Any:
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(Image, "open", denied)
    assert error_of(path).startswith(f"{path}: cannot be read: Permission denied. ")


def test_the_limit_is_checked_before_decoding() -> None:
    # The data is far too short: decoding it would fail with another message.
    message = error_of(png_header(300, 200), max_pixels=59_999)
    assert "size 300×200 is too large" in message
    assert "at most 59,999 pixels, this has 60,000" in message
    assert "cannot be decoded" in error_of(png_header(300, 200), max_pixels=60_000)
    assert "too large" in error_of(np.zeros((5, 5), np.uint8), max_pixels=24)
    assert "too large" in error_of(Image.new("L", (5, 5)), max_pixels=24)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (png_header(60_000, 60_000), "too large"),
        (png_header(300, 200), "too large"),
        (np.zeros((50, 50), np.uint8), "too large"),
        (b"it is too large", "invalid"),
        (b"", "invalid"),
    ],
    ids=["a bomb", "a header", "an array", "no image", "empty"],
)
def test_what_sort_of_error_it_is_can_be_asked(source: Any, kind: str) -> None:
    with pytest.raises(LookcloserError) as error:
        load_image(source, max_pixels=2000)
    assert error.value.kind == kind


def test_cmyk_becomes_rgb() -> None:
    inks = np.array([[[0, 255, 255, 0], [255, 0, 255, 0], [0, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)
    data = encoded(Image.frombytes("CMYK", (4, 1), inks.tobytes()), "TIFF")
    expected = [[[255, 0, 0], [0, 255, 0], [0, 0, 0], [255, 255, 255]]]
    np.testing.assert_array_equal(pixels(data), expected)
    jpeg = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(pixels(jpeg).astype(int) - [255, 0, 0]).max() < 8


def test_a_palette_is_looked_up_and_its_transparent_color_is_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    np.testing.assert_array_equal(
        pixels(encoded(image, "PNG")), [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]
    )
    expected = [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]]
    for kind in ("PNG", "GIF"):
        np.testing.assert_array_equal(pixels(encoded(image, kind, transparency=1)), expected)
    # One alpha per palette entry: Pillow's own conversion to RGB would drop it with a warning.
    data = encoded(image, "PNG", transparency=bytes([255, 0, 255]))
    np.testing.assert_array_equal(pixels(data), expected)


def test_one_bit_is_black_and_white() -> None:
    bits = np.array([[True, False, True]])
    expected = np.repeat(np.where(bits, 255, 0)[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(bits), "PNG")), expected)


GRAY_16 = np.array([[0, 256, 257, 32_768, 65_535]], np.uint16)
GRAY_16_AS_8 = [0, 1, 1, 128, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_files_are_scaled(kind: str) -> None:
    data = encoded(Image.fromarray(GRAY_16), kind)
    assert pixels(data)[0].tolist() == [[value] * 3 for value in GRAY_16_AS_8]


def test_16_bit_gray_in_every_mode_that_pillow_has() -> None:
    big = Image.frombytes("I;16B", (5, 1), GRAY_16.astype(">u2").tobytes())
    wide = Image.fromarray(GRAY_16.astype(np.int32))
    pgm = b"P5 5 1 65535\n" + GRAY_16.astype(">u2").tobytes()
    for source in (big, wide, pgm):
        assert pixels(source)[0, :, 0].tolist() == GRAY_16_AS_8


def test_wider_integers_and_floats_are_stretched() -> None:
    integers = Image.fromarray(np.array([[-100, 0, 155, 155]], np.int32))
    assert pixels(integers)[0, :, 0].tolist() == [0, 100, 255, 255]
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0, 0.1]], np.float32))
    assert pixels(unit)[0, :, 0].tolist() == [0, 128, 255, 26]
    floats = Image.fromarray(np.array([[-1.0, 1.0, 3.0]], np.float32))
    assert pixels(floats)[0, :, 0].tolist() == [0, 128, 255]
    constant = Image.fromarray(np.full((1, 2), 1e6, np.float32))
    assert pixels(constant)[0, :, 0].tolist() == [0, 0]


def test_float_pixels_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "depth.tiff"
    Image.fromarray(np.array([[0.0, np.nan]], np.float32)).save(path)
    assert error_of(path) == f"{path}: cannot be decoded: gray values are not finite."


def test_alpha_is_composited_on_white() -> None:
    alpha = np.array([[0, 64, 128, 255]], np.uint8)
    gray = np.full_like(alpha, 100)
    expected = np.rint(100 * (alpha / 255) + 255 * (1 - alpha / 255))
    layers = {"RGBA": np.stack([gray, gray, gray, alpha], -1), "LA": np.stack([gray, alpha], -1)}
    for mode, array in layers.items():
        data = encoded(Image.frombytes(mode, (4, 1), array.tobytes()), "PNG")
        assert np.abs(pixels(data)[0, :, 0].astype(int) - expected).max() <= 1
        assert pixels(data)[0, [0, 3], 0].tolist() == [255, 100]


def test_a_color_key_is_transparent_too() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    data = encoded(image, "PNG", transparency=(1, 2, 3))
    assert pixels(data)[0].tolist() == [[255, 255, 255], [4, 5, 6]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (pixels(data) == [255, 0, 0]).all()


def test_postscript_is_not_handed_to_an_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert f"{path}: not an image that can be read. Allowed: the formats JPEG, PNG" in error_of(
        path
    )


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_arrays_of_every_allowed_shape(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    if shape[2:] == (4,):
        array[..., 3] = 255
    before = array.copy()
    colors = np.repeat(array.reshape(4, 6, -1), 3, axis=2) if shape[2:] != (3,) else array
    expected = array[..., :3] if shape[2:] == (4,) else colors
    np.testing.assert_array_equal(pixels(array), expected)
    np.testing.assert_array_equal(pixels(array[::-1, ::2]), expected[::-1, ::2])
    np.testing.assert_array_equal(pixels(array / 255.0), expected)
    np.testing.assert_array_equal(pixels((array / 255.0).astype(np.float32)), expected)
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"shape (3, 8, 9): not an image. Allowed: (H, W)"),
        (np.zeros((3, 8, 9), np.uint8), "array.transpose(1, 2, 0)"),
        (np.zeros((8, 9, 2), np.uint8), "shape (8, 9, 2)"),
        (np.zeros(8, np.uint8), "shape (8,)"),
        (np.zeros((1, 8, 9, 3), np.uint8), "shape (1, 8, 9, 3)"),
        (np.zeros((0, 9, 3), np.uint8), "size 9×0"),
        (np.zeros((2, 2), np.uint16), "type uint16: not an image. Allowed: uint8, or float"),
        (np.zeros((2, 2), bool), "type bool"),
        (np.full((2, 2), 255.0), "values from 255 to 255"),
        (np.array([[-0.1, 1.0]]), "values from -0.1 to 1: not an image. Allowed: floats in [0, 1]"),
        (np.array([[np.nan, 1.0]]), "values from nan"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, message: str) -> None:
    assert message in error_of(array)


def test_other_types_are_refused_with_what_is_taken() -> None:
    class Tensor:
        pass

    message = error_of(Tensor())
    assert message.startswith("Tensor: not an image.")
    assert "a tensor of torch" in message


@pytest.mark.parametrize("kind", ["uint8", "float32", "bfloat16"])
def test_a_tensor_is_an_image_with_its_channels_first_or_last(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="tensors are torch's")
    last = torch.from_numpy(PICTURE.copy())
    if kind != "uint8":
        last = (last / 255).to(getattr(torch, kind)).requires_grad_()
    for given in (last, last.permute(2, 0, 1)):
        assert np.abs(pixels(given).astype(int) - PICTURE).max() <= (kind == "bfloat16")
    gray = torch.from_numpy(PICTURE[:, :, 0].copy())
    np.testing.assert_array_equal(pixels(gray), pixels(gray[None]))
    assert load_image(torch.zeros(4, 6, 5)).size == (5, 6), "transparent"


def test_a_tensor_of_other_values_or_a_batch_is_refused() -> None:
    torch = pytest.importorskip("torch", reason="tensors are torch's")
    assert "floats in [0, 1]" in error_of(torch.full((3, 4, 4), -2.0))
    assert "as a list: `list(images)`" in error_of(torch.zeros(2, 3, 4, 4))


def test_a_pil_image_is_copied() -> None:
    given = Image.fromarray(PICTURE)
    loaded = load_image(given)
    loaded.putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(np.asarray(given), PICTURE)
    assert "size 0×0" in error_of(Image.new("RGB", (0, 0)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert error_of(tmp_path / "pipe.jpg") == f"{tmp_path}/pipe.jpg: not a file."


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "Cat.jpg").write_bytes(encoded(Image.fromarray(PICTURE), "JPEG"))
    assert error_of(tmp_path / "empty.jpg") == f"{tmp_path}/empty.jpg: the file is empty."
    assert f"{tmp_path}/page.jpg: not an image that can be read" in error_of(tmp_path / "page.jpg")
    missing = f"{tmp_path}/cat.jpg: no such file. Did you mean '{tmp_path}/Cat.jpg'?"
    assert error_of(str(tmp_path / "cat.jpg")) == missing
    assert error_of(tmp_path) == f"{tmp_path}: a folder, not an image. Name one image in it."
    assert "URLs are not read" in error_of("http://example.org/a.jpg")
    assert "image given as bytes: not an image" in error_of(b"GIF but no")
    assert "image given as bytes: not an image" in error_of(b"")


def test_threads_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(2)
    arrays = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(64)]
    files = [encoded(Image.fromarray(array), "PNG") for array in arrays]
    with ThreadPoolExecutor(8) as pool:
        for array, loaded in zip(arrays, pool.map(load_image, files), strict=True):
            np.testing.assert_array_equal(np.asarray(loaded), array)


def test_decoding_needs_no_torch() -> None:
    code = "import sys, lookcloser.core.images; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


class TestTheOneDoor:
    """`open_image`, for values, headers and sizes."""

    def test_postscript_is_refused_there_too(self, tmp_path: Path) -> None:
        path = tmp_path / "mask.png"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
        with pytest.raises(LookcloserError, match="not an image that can be read"):
            image_size(path)
        with pytest.raises(LookcloserError, match="not an image"), open_image(path):
            pytest.fail("it was opened")
        assert not is_turned(path)

    def test_values_stay_as_they_are(self, tmp_path: Path) -> None:
        path = tmp_path / "m.png"
        Image.fromarray(np.array([[0, 7], [255, 1]], np.uint8)).save(path)
        with open_image(path) as image:
            assert np.asarray(image).tolist() == [[0, 7], [255, 1]]

    def test_what_pillow_raises_inside_names_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.png"
        Image.new("RGB", (64, 64)).save(path)
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(LookcloserError, match=r"cut\.png"), open_image(path) as image:
            image.load()

    @pytest.mark.parametrize(("orientation", "size"), [(1, (6, 4)), (3, (6, 4)), (6, (4, 6))])
    def test_sizes_are_upright(
        self, orientation: int, size: tuple[int, int], tmp_path: Path
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "a.png"
        Image.new("RGB", (6, 4)).save(path, exif=exif)
        assert image_size(path) == load_image(path).size == size
        assert is_turned(path) is (orientation != 1)


class TestOpenFiles:
    def test_they_are_read_from_their_beginning(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        Image.new("RGB", (5, 3), "red").save(path)
        buffer = io.BytesIO()
        Image.new("RGB", (5, 3), "red").save(buffer, "PNG")  # its end is where it stands
        with path.open("rb") as file:
            for source in (file, buffer, bytearray(path.read_bytes())):
                assert load_image(source).getpixel((0, 0)) == (255, 0, 0)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (io.BytesIO(), "image given as an open file: the file is empty"),
            (io.StringIO("x"), "opened as text. Open it with mode 'rb'"),
            (io.BytesIO(b"no image"), "image given as an open file: not an image"),
        ],
    )
    def test_what_is_no_image(self, source: io.IOBase, message: str) -> None:
        with pytest.raises(LookcloserError, match=message):
            load_image(source)

    def test_a_closed_file(self) -> None:
        buffer = io.BytesIO(b"x")
        buffer.close()
        with pytest.raises(LookcloserError, match="cannot be read"):
            load_image(buffer)


class TestHeic:
    def test_it_is_read_where_its_library_is(self, tmp_path: Path) -> None:
        pytest.importorskip("pillow_heif")
        path = tmp_path / "a.heic"
        load_image(np.zeros((8, 8, 3), np.uint8))  # registers the format
        Image.new("RGB", (64, 32), "red").save(path)
        assert load_image(path).size == (64, 32)

    def test_else_the_extra_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lookcloser.core.images._formats", lambda: ("JPEG", "PNG"))
        path = tmp_path / "IMG_1.HEIC"
        path.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 200)
        with pytest.raises(LookcloserError, match=r"pip install 'lookcloser\[heic\]'"):
            load_image(path)


def test_an_entry_of_a_folder_is_a_path(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    (entry,) = os.scandir(tmp_path)
    assert load_image(entry).size == (3, 2)  # type: ignore[arg-type]
