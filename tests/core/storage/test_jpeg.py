import io
from typing import Any

import pytest
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.core.storage import jpeg


def repeated(scans: int, mode: str = "L", **options: Any) -> bytes:
    """A JPEG that draws its last scan again and again: a pass over all pixels for a few bytes."""
    file = io.BytesIO()
    Image.new(mode, (64, 48), "gray").save(file, "JPEG", **options)
    content = file.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * scans + content[-2:]


def test_a_jpeg_that_is_drawn_over_and_over_is_refused() -> None:
    assert load_image(repeated(80, progressive=True)).size == (64, 48)
    with pytest.raises(LookcloserError, match="over and over. Allowed: at most 100 scans"):
        load_image(repeated(100, progressive=True))
    halves = repeated(0, "RGB").replace(b"\xff\xda\0\x0c\3", b"\xff\xda\0\x0c\1")
    assert jpeg._scans(io.BytesIO(halves)) == 1
    with Image.open(io.BytesIO(halves)) as image:
        assert not jpeg._is_drawn_at_once(image, halves), "of its three layers one"


def test_other_scans_in_a_file_are_not_counted() -> None:
    """Of a film behind the image, and of what stands in its header."""
    film, comment = b"\xff\xda\0\x0c" * 200, b"\xff\xda" * 150
    for options in ({"progressive": True}, {}):
        content = repeated(0, comment=comment, **options) + film
        assert load_image(content).size == (64, 48)
        assert jpeg._scans(io.BytesIO(content)) == (6 if options else 1)


def test_the_file_is_left_where_it_was_for_pillow_to_decode() -> None:
    with Image.open(io.BytesIO(repeated(0, progressive=True))) as image:
        image.fp.seek(7)
        jpeg.check_scans(image, "a.jpg")
        assert image.fp.tell() == 7
    jpeg.check_scans(Image.new("L", (2, 2)), "no file at all")
