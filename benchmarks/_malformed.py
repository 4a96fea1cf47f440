"""Requests that no client should send: broken, hostile, or odd but valid, all from one seed."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from PIL import Image

PNG = "image/png"
BOUNDARY = "limit"
ROUTES = ("/v1/predict", "/v1/explain", "/predict", "/setup", "/api/v1/vision/labels")


class Odd(NamedTuple):
    """One request.

    Attributes:
        kind: What is odd about it.
        method: Of HTTP.
        path: With its query.
        headers: Beside Host and Content-Length.
        body: Its bytes.
    """

    kind: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def requests(count: int, seed: int = 0) -> Iterator[Odd]:
    """``count`` requests; every kind comes as often as any other."""
    rng = random.Random(seed)
    kinds = list(KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield KINDS[kind](rng)._replace(kind=kind)


def image(
    rng: random.Random,
    form: str = "JPEG",
    mode: str = "RGB",
    size: tuple[int, int] | None = None,
    **options: object,
) -> bytes:
    """A valid file of soft blots."""
    small = Image.frombytes("RGB", (4, 4), rng.randbytes(48))
    image = small.resize(size or (rng.randrange(20, 90), rng.randrange(20, 90))).convert(mode)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_of_size(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header promises a size, whatever follows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", data or zlib.compress(b"\0" * 10))


def form(*parts: tuple[str, bytes], boundary: str = BOUNDARY) -> bytes:
    """A multipart body of (disposition, content)."""
    whole = b""
    for disposition, content in parts:
        head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
        whole += head.encode("utf-8", "surrogateescape") + content + b"\r\n"
    return whole + f"--{boundary}--\r\n".encode()


@cache
def _packed(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def _raw(body: bytes, media: str = PNG, path: str = "/v1/predict") -> Odd:
    return Odd("", "POST", path, {"Content-Type": media}, body)


def _form(*parts: tuple[str, bytes]) -> Odd:
    return _raw(form(*parts), f"multipart/form-data; boundary={BOUNDARY}")


def _noise(rng: random.Random) -> Odd:
    media = rng.choice([PNG, "image/jpeg", "application/octet-stream", "", "image/x-odd"])
    return _raw(rng.randbytes(rng.randrange(1, 3000)), media)


def _flipped(rng: random.Random) -> Odd:
    body = bytearray(image(rng, rng.choice(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])))
    for _ in range(rng.randrange(1, 12)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return _raw(bytes(body))


def _cut(rng: random.Random) -> Odd:
    body = image(rng, rng.choice(["JPEG", "PNG", "GIF", "WEBP", "TIFF"]))
    return _raw(body[: rng.randrange(1, len(body))])


def _bomb(rng: random.Random) -> Odd:
    side = rng.choice([30_000, 60_000, 2**31 - 1, 7_500])
    return _raw(png_of_size(side, side))


def _flat_bomb(rng: random.Random) -> Odd:
    """As many pixels as are just too many, compressed to a few kilobytes."""
    side = 7_100
    return _raw(png_of_size(side, side, _packed(3 * side)))


def _text_bomb(rng: random.Random) -> Odd:
    """A PNG whose text unpacks to 40 MB."""
    content = b"a\0\0" + _packed(40_000_000)
    body = image(rng, "PNG")
    check = struct.pack(">I", zlib.crc32(b"zTXt" + content))
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content + check
    return _raw(body[:33] + chunk + body[33:])


def _tiny(rng: random.Random) -> Odd:
    return _raw(image(rng, "PNG", size=(1, 1)))


def _thin(rng: random.Random) -> Odd:
    return _raw(image(rng, "PNG", size=rng.choice([(5000, 1), (1, 5000)])))


def _animated(rng: random.Random) -> Odd:
    frames = [Image.new("P", (40, 30), color) for color in range(20)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return _raw(file.getvalue(), "image/gif")


def _mode(rng: random.Random) -> Odd:
    mode, kind = rng.choice(
        [
            *(("CMYK", "JPEG"), ("L", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("LA", "PNG")),
            *(("RGBA", "PNG"), ("I;16", "PNG"), ("F", "TIFF"), ("CMYK", "TIFF"), ("I", "TIFF")),
        ]
    )
    return _raw(image(rng, kind, mode))


def _polyglot(rng: random.Random) -> Odd:
    script = b"<script>alert(1)</script><?php system('id'); ?>"
    other = rng.choice([b"%PDF-1.4\n", b"PK\x03\x04", script, b"%!PS\n(a) run\n", b"MZ\x90\0"])
    body = image(rng, rng.choice(["JPEG", "PNG", "GIF"]))
    return _raw(other + body if rng.random() < 0.5 else body + other * 50)


def _other_format(rng: random.Random) -> Odd:
    body = rng.choice(
        [
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(id) (w) file\n",
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
            b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
            b"push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x.php'\n",
            _packed(10_000_000),
        ]
    )
    return _raw(body, rng.choice([PNG, "image/svg+xml", "application/postscript"]))


def _wrong_type(rng: random.Random) -> Odd:
    media = rng.choice(
        ["text/html", "application/json", "video/mp4", "a" * 5000, ";;;", "image/", "multipart/x"]
    )
    return _raw(image(rng), media)


def _bad_form(rng: random.Random) -> Odd:
    whole = bytearray(form(('name="image"; filename="a.jpg"', image(rng))))
    for _ in range(rng.randrange(1, 6)):
        whole[rng.randrange(min(len(whole), 120))] = rng.randrange(256)
    boundary = rng.choice([BOUNDARY, "other", "", '"', "b" * 300])
    return _raw(bytes(whole), f"multipart/form-data; boundary={boundary}")


def _names(rng: random.Random) -> Odd:
    name = rng.choice(
        [
            *("../../../../etc/passwd", "..\\..\\boot.ini", "/etc/shadow", "C:\\a.png", "a\0b.png"),
            *("<script>alert(1)</script>.png", "a\u202egnp.exe", "con", "." * 4000, "\udcff.png"),
            *("a.png\nX-Injected: 1", '"; filename="b', "%2e%2e%2fa", "a\x1b[2Jb.png", ""),
        ]
    )
    quoted = name.replace('"', "%22").replace("\n", "%0A")
    return _form((f'name="image"; filename="{quoted}"', image(rng)))


def _many_parts(rng: random.Random) -> Odd:
    parts = [(f'name="image"; filename="{n}.png"', b"x") for n in range(rng.choice([40, 400]))]
    fields = [('name="a"', b"x" * 2000)] * rng.choice([0, 20])
    return _form(*parts, *fields)


def _mixed(rng: random.Random) -> Odd:
    good = image(rng)
    contents = [good, b"broken", png_of_size(30_000, 30_000), b"", good[: len(good) // 2], good]
    return _form(*((f'name="image"; filename="{n}.jpg"', part) for n, part in enumerate(contents)))


def _query(rng: random.Random) -> Odd:
    query = rng.choice(
        [
            *("top=-1", "top=1e9", "top=", "top=99999999999999999999", "top=nan", "heatmaps=all"),
            *(
                "model=../../etc/passwd",
                "model=%00",
                "model=%0d%0aX:1",
                "coverage=2",
                "coverage=nan",
            ),
            *("sets=x", "view=" + "a" * 400, "target=%F0%9F%90%A6", "a=" + "b" * 3000, "%"),
        ]
    )
    return _raw(image(rng), "image/jpeg", f"{rng.choice(ROUTES[:2])}?{query}")


def _paths(rng: random.Random) -> Odd:
    path = rng.choice(
        [
            *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/docs/..%2f..%2fetc", "//evil/"),
            *("/page.js/../x", "/v1/predict/", "/%00", "/" + "a" * 3000, "/.git/config", "/*"),
        ]
    )
    return Odd("", rng.choice(["GET", "POST", "HEAD", "PUT"]), path, {}, b"")


def _methods(rng: random.Random) -> Odd:
    method = rng.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
    return Odd("", method, rng.choice(ROUTES), {}, b"")


def _headers(rng: random.Random) -> Odd:
    headers = rng.choice(
        [
            *(
                {"Content-Encoding": "gzip"},
                {"Origin": "http://evil.example"},
                {"Origin": "http://["},
            ),
            *({"Authorization": "Basic %%"}, {"X": "a" * 8000}, {"Range": "bytes=0-"}),
            *({"Accept": "text/html"}, {"Upgrade": "websocket", "Connection": "Upgrade"}),
        ]
    )
    return Odd("", "POST", "/v1/predict", {"Content-Type": PNG, **headers}, image(rng))


def _json(rng: random.Random) -> Odd:
    deep = "[" * 20_000 + "]" * 20_000
    values = [
        *(b"", b"{", b"null", b"[]", b"1e999", b"NaN", b'"\\ud800"', deep.encode(), b"\xff\xfe"),
        json.dumps({"tasks": rng.choice([None, [], [1], [{}], {"a": 1}, [{"data": []}]])}).encode(),
        json.dumps({"images": rng.choice([None, "data:", [""], ["data:,"], [1], []])}).encode(),
        json.dumps({"schema": rng.choice([1, "<", "<View/>", "<" * 5000])}).encode(),
    ]
    return _raw(rng.choice(values), "application/json", rng.choice(ROUTES[2:]))


def _addresses(rng: random.Random) -> Odd:
    place = rng.choice(
        [
            *("http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "gopher://x", "//x"),
            *("data:image/png;base64,%%%", "data:image/png;base64," + "A" * 5000, "data:,"),
            *(
                "/data/local-files/?d=../../etc/passwd",
                "ftp://127.0.0.1/",
                "\0",
                "data:;base64,AA==",
            ),
        ]
    )
    kind = rng.choice(["tasks", "images"])
    value = [{"data": {"image": place}}] if kind == "tasks" else [place]
    path = "/predict" if kind == "tasks" else "/api/v1/vision/labels"
    return _raw(json.dumps({kind: value}).encode(), "application/json", path)


def _entities(rng: random.Random) -> Odd:
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha" * 10}">' for n in range(9))
    config = f"<!DOCTYPE a [{levels}]><View><Image name='i' value='$image'/>&a8;</View>"
    image_url = "data:image/jpeg;base64," + base64.b64encode(image(rng)).decode()
    body = {"tasks": [{"data": {"image": image_url}}], "label_config": config}
    return _raw(json.dumps(body).encode(), "application/json", "/predict")


def _large(rng: random.Random) -> Odd:
    return _raw(b"\0" * rng.choice([32_000_001, 33_000_000]))


KINDS: dict[str, Callable[[random.Random], Odd]] = {
    "noise": _noise,
    "flipped bytes": _flipped,
    "cut off": _cut,
    "size of a bomb": _bomb,
    "flat bomb": _flat_bomb,
    "text bomb": _text_bomb,
    "1 × 1": _tiny,
    "thin": _thin,
    "animated": _animated,
    "color modes": _mode,
    "polyglots": _polyglot,
    "other formats": _other_format,
    "wrong media types": _wrong_type,
    "broken forms": _bad_form,
    "file names": _names,
    "many parts": _many_parts,
    "mixed images": _mixed,
    "queries": _query,
    "paths": _paths,
    "methods": _methods,
    "headers": _headers,
    "JSON": _json,
    "addresses": _addresses,
    "XML entities": _entities,
    "too large": _large,
}
