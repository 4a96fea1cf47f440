"""decode.js and intake.js read files as Python does, or say why not."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from lookcloser.core import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.web import server_page

from ..browser import CHROMIUM, Browser
from .conftest import Serve, needs_node, node
from .loopback import Quiet

BYTES = "files.map((text) => Uint8Array.from(Buffer.from(text, 'base64')))"
FORMATS = ("JPEG", "PNG", "GIF", "BMP")


def noise(mode: str = "RGB", size: tuple[int, int] = (24, 17)) -> Image.Image:
    shape = (size[1], size[0], len(mode))
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels)


def encoded(image: Image.Image, form: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def turned(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    return exif


def asked(expression: str, files: list[bytes]) -> Any:
    """An expression over the bytes of files, after decode.js."""
    texts = [base64.b64encode(file).decode() for file in files]
    return node(("decode.js",), f"Promise.all({BYTES}.map({expression}))", files=texts)


HEADS = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif",
    "TIFF": b"II*\0\x08\0\0\0",
    "camera raw": b"II*\0\x10\0\0\0CR\2\0",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n",
    "JPEG XL": b"\xff\x0a\xfa",
    "video": b"\0\0\0\x18ftypmp42",
    "PDF": b"%PDF-1.7",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "ZIP": b"PK\3\4",
    "Photoshop": b"8BPS\0\1",
}


@needs_node
def test_a_file_is_named_after_its_first_bytes() -> None:
    files = [*(encoded(noise(), form) for form in (*FORMATS, "WebP", "TIFF")), *HEADS.values()]
    names = asked("formatOf", [*files, b"hello", b"\xff"])
    assert names == [*FORMATS, "WebP", "TIFF", *HEADS, None, None]
    said = asked("(bytes) => unreadable(formatOf(bytes)).message", [HEADS["HEIC"], files[0]])
    assert said[0] == "This browser does not read this HEIC file. Save it as JPEG, PNG or WebP."
    assert "damaged or cut off" in said[1]


@needs_node
def test_what_python_calls_truncated_is_cut() -> None:
    whole = [encoded(noise(), form) for form in FORMATS]
    whole += [encoded(noise(), "JPEG", progressive=True, exif=turned(3)), whole[0] + b"\xff" * 9]
    still, moving = noise().convert("P"), [noise("L").convert("P")]
    whole += [whole[1] + bytes(9), encoded(still, "GIF", save_all=True, append_images=moving)]
    cuts = [file[:-keep] for file in whole[:5] for keep in (40, 200, len(file) // 2)]
    for file in cuts:
        with pytest.raises(LookcloserError, match=r"truncated|decoded|read"):
            load_image(file)
    found = asked("(bytes) => isCut(bytes, formatOf(bytes))", [*whole, *cuts])
    assert found == [False] * len(whole) + [True] * len(cuts)


def deep(channels: int, filters: list[int], interlaced: int = 0) -> bytes:
    """A PNG of 16 bits whose lines have these filters; Pillow writes none of several channels."""
    rng = np.random.default_rng(channels)
    values = rng.integers(0, 65536, (len(filters), 7, channels)).astype(">u2")
    step, above, lines = 2 * channels, bytes(14 * channels), b""
    for kind, row in zip(filters, values, strict=True):
        line = row.tobytes()
        left = bytes(step) + line[:-step]
        corner = bytes(step) + above[:-step]
        guesses = {
            0: bytes(len(line)),
            1: left,
            2: above,
            3: bytes((a + b) // 2 for a, b in zip(left, above, strict=True)),
            4: bytes(
                min((a, b, c), key=lambda value: abs(a + b - c - value))
                for a, b, c in zip(left, above, corner, strict=True)
            ),
        }
        guess = guesses[kind]
        lines += bytes([kind]) + bytes((a - b) % 256 for a, b in zip(line, guess, strict=True))
        above = line

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", 7, len(filters), 16, color, 0, 0, interlaced)
    packed = zlib.compress(lines)
    parts = chunk(b"IDAT", packed[:9]) + chunk(b"IDAT", packed[9:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + parts + chunk(b"IEND", b"")


DEEP = """async (bytes) => {
  globalThis.ImageData = class {
    constructor(width, height) {
      Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
    }
  };
  const image = await pixelsOf16Bits(bytes);
  return image && [image.width, image.height, [...image.data]];
}"""


@needs_node
def test_16_bits_are_rounded_as_python_rounds_them() -> None:
    files = [deep(channels, [0, 1, 2, 3, 4, 4, 3]) for channels in (1, 2, 3, 4)]
    for file, (width, height, data) in zip(files, asked(DEEP, files), strict=True):
        rgba = np.reshape(np.array(data, np.uint8), (height, width, 4))
        layer = Image.fromarray(rgba)
        white = Image.new("RGBA", layer.size, "white")
        found = np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
        np.testing.assert_array_equal(found, np.asarray(load_image(file)))
    assert asked(DEEP, [encoded(noise(), "PNG"), deep(1, [0], interlaced=1)]) == [None, None]


@needs_node
def test_an_orientation_is_found_and_taken_out() -> None:
    files = [
        encoded(noise(), form, exif=turned(number))
        for form in ("PNG", "WebP")
        for number in range(1, 9)
    ]
    look = """async (bytes) => {
      const { turn, plain } = ownOrientation(bytes, formatOf(bytes));
      return [turn, plain && Buffer.from(await plain.arrayBuffer()).toString("base64")];
    }"""
    found = asked(look, files)
    assert [turn for turn, _ in found] == [*range(1, 9)] * 2
    for file, (turn, plain) in zip(files, found, strict=True):
        assert (plain is None) == (turn == 1)
        if plain:
            image = Image.open(io.BytesIO(base64.b64decode(plain)))
            assert ExifTags.Base.Orientation not in image.getexif()
            np.testing.assert_array_equal(image, Image.open(io.BytesIO(file)))


@needs_node
def test_damaged_files_say_nothing_of_an_orientation_and_end() -> None:
    rng = np.random.default_rng(0)
    damaged = []
    for form in ("PNG", "WebP", "GIF", "JPEG", "BMP"):
        file = np.frombuffer(encoded(noise(), form, exif=turned(6)), np.uint8)
        for _ in range(40):
            broken = file[: rng.integers(len(file))].copy()
            places = rng.integers(0, max(len(broken), 1), 12)[: len(broken)]
            broken[places] = rng.integers(0, 256, len(places))
            damaged.append(broken.tobytes())
    look = """(bytes) => {
      const format = formatOf(bytes);
      return [typeof isCut(bytes, format), ownOrientation(bytes, format).turn];
    }"""
    for kind, turn in asked(look, damaged):
        assert kind == "boolean"
        assert turn in range(1, 9)


@needs_node
def test_of_a_folder_all_images_below_it_come_in_order() -> None:
    script = """(() => {
      const file = (name, type) => ({
        name, isFile: true, file: (done) => done({ name, type }),
      });
      const folder = (name, ...inside) => ({
        name, isDirectory: true,
        createReader: () => {
          const left = inside.map((entry) => [entry]);
          return { readEntries: (done) => done(left.shift() || []) };
        },
      });
      const top = folder("top", file("b.jpg", "image/jpeg"), file("notes.txt", "text/plain"),
        folder("a", file("x.HEIC", ""), file("y.png", "image/png")));
      const transfer = {
        items: [{ webkitGetAsEntry: () => top }, { webkitGetAsEntry: () => null }], files: ["top"],
      };
      return filesOf(transfer).then((found) => found.map(({ name }) => name));
    })()"""
    assert node(("intake.js",), script) == ["x.HEIC", "y.png", "b.jpg"]


class Files(Quiet):
    """The page of a server, and the files of a folder."""

    def do_GET(self) -> None:  # noqa: N802
        asset = server_page().get(self.path.strip("/") or "index.html")
        if asset is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", asset.media_type)
        self.end_headers()
        self.wfile.write(asset.content)


PIXELS = """(async (name) => {
  const bitmap = await openImage(await (await fetch(name)).blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return [...context.getImageData(0, 0, bitmap.width, bitmap.height).data];
})"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_images_stand_upright_in_the_browser_as_in_python(
    serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    for number in range(1, 9):
        for form in ("png", "webp"):
            how = {"lossless": True} if form == "webp" else {}
            noise().save(tmp_path / f"{number}.{form}", exif=turned(number), **how)
    (tmp_path / "deep.png").write_bytes(deep(1, [4, 4, 4]))
    browser.open(serve(tmp_path, Files))
    for path in sorted(tmp_path.glob("*.*")):
        wanted = np.asarray(load_image(path).convert("RGBA"))
        found = np.array(browser.value(f"{PIXELS}({path.name!r})"), np.uint8)
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted, path.name)


@needs_node
def test_a_failure_of_the_network_is_put_as_people_can_use_it() -> None:
    told = {
        "WebAssembly SIMD is not supported in the current environment.": "a current Chrome",
        "OffscreenCanvas is not defined": "OffscreenCanvas is not defined",
        "Aborted(OOM)": "not enough memory",
        "input 3 is odd": "input 3 is odd",
    }
    found = node(
        ("image.js",),
        "texts.map((text) => explained({ name: 'Error', text }).message)",
        texts=list(told),
    )
    for said, wanted in zip(found, told.values(), strict=True):
        assert wanted in said
    old = "explained({ name: 'ReferenceError', text: 'OffscreenCanvas is not defined' }).message"
    assert "a current Chrome" in node(("image.js",), old)
