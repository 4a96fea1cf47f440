"""Odd and damaged images of every kind that cameras, browsers and scanners write."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin, features

from lookcloser.core import LookcloserError
from lookcloser.core.drawing.text import draw_text, shorten, text_width, wrap
from lookcloser.core.images import image_size, is_turned, load_image

Attempt = Callable[[random.Random], None]
TryAll = Callable[[int, Attempt], int]
Damage = Callable[[bytes, random.Random], bytes]

NOISE = np.random.default_rng(0).integers(0, 255, (12, 16, 4), np.uint8)
RGB = Image.fromarray(NOISE[..., :3])
SECOND = Image.fromarray(255 - NOISE[..., :3])


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[274] = orientation
    data[315] = "nobody"
    return data.tobytes()


def kinds() -> dict[str, bytes]:
    """One small image of each kind."""
    palette = RGB.quantize(7)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 500, zip=True)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257)
    found = {
        "jpeg, turned, with a profile": saved(RGB, "JPEG", exif=exif(6), icc_profile=icc),
        "jpeg, progressive": saved(RGB, "JPEG", progressive=True),
        "jpeg, CMYK": saved(RGB.convert("CMYK"), "JPEG"),
        "jpeg, gray": saved(RGB.convert("L"), "JPEG"),
        "mpo": saved(RGB, "MPO", save_all=True, append_images=[SECOND]),
        "png, 16 bits": saved(deep, "PNG"),
        "png, palette, see-through": saved(palette, "PNG", transparency=b"\0\xff\x80"),
        "png, 1 bit": saved(RGB.convert("1"), "PNG"),
        "png, alpha, text": saved(Image.fromarray(NOISE), "PNG", pnginfo=text, icc_profile=icc),
        "apng": saved(RGB, "PNG", save_all=True, append_images=[SECOND], duration=10),
        "gif, moving": saved(palette, "GIF", save_all=True, append_images=[SECOND.quantize(5)]),
        "tiff, 16 bits, two pages": saved(deep, "TIFF", save_all=True, append_images=[deep]),
        "tiff, packed": saved(RGB, "TIFF", compression="tiff_lzw"),
        "tiff, floats": saved(Image.fromarray(NOISE[..., 0] / np.float32(99)), "TIFF"),
        "bmp, palette": saved(palette, "BMP"),
        "ppm, 16 bits": saved(deep, "PPM"),
        "ppm, in words": b"P3\n2 1\n255\n1 2 3 4 5 6\n",
        "webp, moving": saved(RGB, "WEBP", save_all=True, append_images=[SECOND]),
        "jpeg 2000": saved(RGB, "JPEG2000"),
    }
    return found | ({"avif": saved(RGB, "AVIF")} if features.check("avif") else {})


KINDS = kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_whole(kind: str) -> None:
    image = load_image(KINDS[kind])
    assert image.mode == "RGB"
    turned = (12, 16) if kind == "jpeg, turned, with a profile" else (16, 12)
    assert image.size == ((2, 1) if kind == "ppm, in words" else turned)
    if "palette" not in kind and "ppm, in words" not in kind:
        assert np.asarray(image).std() > 10, "noise"


def test_damaged_images_of_every_kind(tmp_path: Path, try_all: TryAll, damaged: Damage) -> None:
    path = tmp_path / "a.jpg"

    def attempt(draw: random.Random) -> None:
        content = damaged(draw.choice(list(KINDS.values())), draw)
        path.write_bytes(content)
        is_turned(path)
        try:
            size = image_size(path)
        except LookcloserError:
            size = None
        image = load_image(content)
        assert image.mode == "RGB"
        assert size is not None, "what can be decoded has a size"

    assert 50 < try_all(600, attempt) < 600


def png(width: int, height: int, *, bits: int = 8, kind: int = 2, body: bytes = b"") -> bytes:
    """A PNG whose header says what it likes, with right checksums."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


WIDE = 65535
BOMBS = {
    "png": png(2**31 - 1, 2**31 - 1),
    "png, one row": png(2**31 - 1, 1),
    "gif": b"GIF89a" + struct.pack("<HHBBB", WIDE, WIDE, 0, 0, 0)
    + b"," + struct.pack("<HHHHB", 0, 0, WIDE, WIDE, 0) + b"\x02\0;",
    "bmp": b"BM" + struct.pack("<IHHI", 99, 0, 0, 54)
    + struct.pack("<IiiHHIIiiII", 40, 99999, 99999, 1, 24, 0, 0, 1, 1, 0, 0),
    "ppm": b"P6\n99999 99999\n255\n",
    "jpeg": KINDS["jpeg, gray"].replace(struct.pack(">HH", 12, 16), b"\xff\xff\xff\xff", 1),
    "zipped text": png(4, 4, body=zlib.compress(bytes(50_000_000), 9)),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_small_files_that_say_they_are_huge(kind: str, try_all: TryAll) -> None:
    """They are refused, or read at the size they have; nothing large is made on the way."""

    def attempt(draw: random.Random) -> None:
        image = load_image(draw.choice((BOMBS[kind], io.BytesIO(BOMBS[kind]))))
        assert image.size[0] * image.size[1] < 1000

    accepted = try_all(2, attempt)
    assert accepted in ({0, 2} if kind == "zipped text" else {0})


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")  # the program silences them
def test_damaged_exif_and_profiles_leave_the_pixels(try_all: TryAll) -> None:
    """What is not the image itself never hides it."""

    def attempt(draw: random.Random) -> None:
        block = b"Exif\0\0" + draw.choice((b"II*\0", b"MM\0*", b"")) + draw.randbytes(40)
        profile = draw.randbytes(draw.choice((0, 3, 200)))
        kind = draw.choice(("JPEG", "PNG", "WEBP"))
        content = saved(RGB, kind, exif=block, **({"icc_profile": profile} if profile else {}))
        assert sorted(load_image(content).size) == [12, 16]

    assert try_all(150, attempt) == 150


def test_text_of_any_signs_is_set(try_all: TryAll) -> None:
    """Names are drawn into images: unknown signs, endless lines, half a surrogate, direction."""
    signs = ["a", "é", "Ж", "甲", "\u202e", "\n", "\0", "\udcff", "😀", "\u0301", " ", "\x1b[2J"]

    def attempt(draw: random.Random) -> None:
        text = "".join(draw.choices(signs, k=draw.choice((0, 1, 5, 300))))
        size = draw.choice((8, 14, 40))
        assert text_width(shorten(text, size, 300), size) <= 300
        lines = wrap(text, size, 300)
        assert all(text_width(line, size) <= 300 for line in lines)
        shown = ImageDraw.Draw(Image.new("RGB", (300, 60)))
        draw_text(shown, (2, 2), shorten(text, size, 300), "red", size)

    assert try_all(100, attempt) == 100
