"""Text in images: any script for which a font is found, and never an empty box.

Latin, Greek and Cyrillic letters are in the font that comes along, so that they look the same
everywhere. Other characters are taken from the fonts of the system; one that no font has becomes a
question mark.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont

OWN = Path(__file__).parent / "fonts" / "DejaVuSans-subset.ttf"
MISSING = "?"
SCORE = 0.75  # of the width, at most, that a number at the end of a shortened text takes
_NUMBER = re.compile(r"^\(?\d[\d.,]*\s?%?\)?$")
# Looked for in this order by Pillow in the font folders of the system.
_SYSTEM = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "SourceHanSans-Regular.ttc",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "Hiragino Sans GB.ttc",
    "PingFang.ttc",
    "AppleSDGothicNeo.ttc",
    "msyh.ttc",
    "msgothic.ttc",
    "malgun.ttf",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "FreeSans.ttf",
    "unifont.ttf",
)
_NO_CHARACTER = "\U0010ffff"


def text_width(text: str, size: int) -> float:
    """How many pixels wide ``text`` is at a font size in pixels."""
    return sum(font.getlength(part) for font, part in _runs(text, size))


def draw_text(
    draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, fill: str, size: int
) -> None:
    """Draw one line of text with its upper left corner at ``corner`` (x, y)."""
    x, y = corner
    baseline = y + _own(size).getmetrics()[0]
    for font, part in _runs(text, size):
        draw.text((x, baseline), part, fill, font, anchor="ls")
        x += font.getlength(part)


def shorten(text: str, size: int, width: float) -> str:
    """``text``, or what fits into ``width`` pixels, with "…" for what is left out.

    A number at the end, the score behind a name, stays where it leaves room for others.
    """
    if text_width(text, size) <= width:
        return text
    start, gap, last = text.rpartition(" ")
    ending = f"…{gap}{last}"
    if not _NUMBER.search(last) or not start or text_width(ending, size) > SCORE * width:
        start, ending = text, "…"
    return start[: _fitting(start, size, width - text_width(ending, size))] + ending


def wrap(text: str, size: int, width: float) -> list[str]:
    """``text`` on at most two lines of ``width`` pixels, broken at a space where there is one."""
    if text_width(text, size) <= width:
        return [text]
    fitting = _fitting(text, size, width)
    cut = text.rfind(" ", 0, fitting + 1)
    cut = cut if cut > 0 else fitting
    return [text[:cut], shorten(text[cut:].lstrip(), size, width)]


def _fitting(text: str, size: int, width: float) -> int:
    """How many characters of ``text`` fit: by halves, as names may have thousands."""

    def width_of(count: int) -> float:
        return text_width(text[:count], size)

    return max(0, bisect_right(range(len(text) + 1), width, key=width_of) - 1)


def _runs(text: str, size: int) -> list[tuple[Font, str]]:
    """``text`` in parts of one font each; accents stay with the letter before them."""
    fonts: list[tuple[str | None, str]] = []
    for character in unicodedata.normalize("NFC", text):
        if fonts and unicodedata.combining(character):
            fonts.append((fonts[-1][0], character))
            continue
        name = _font_of(character)
        fonts.append((name, character) if name else (str(OWN), MISSING))
    return [
        (_font(name or str(OWN), size), "".join(character for _, character in part))
        for name, part in groupby(fonts, key=lambda item: item[0])
    ]


@cache
def _font_of(character: str) -> str | None:
    """The first font that has a character; None where none has."""
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}:
        return None
    return next((name for name in (str(OWN), *_SYSTEM) if _has(name, character)), None)


def _has(name: str, character: str) -> bool:
    if not _installed(name):
        return False
    font = _font(name, 16)
    if character.isspace():
        return True
    return _glyph(font, character) != _glyph(font, _NO_CHARACTER)


def _glyph(font: Font, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@cache
def _installed(name: str) -> bool:
    try:
        _font(name, 16)
    except OSError:
        return False
    return True


@cache
def _font(name: str, size: int) -> Font:
    return ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)


def _own(size: int) -> Font:
    return _font(str(OWN), size)
