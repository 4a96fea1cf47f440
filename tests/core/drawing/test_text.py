"""Names of any script in images."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookcloser.core.drawing import text
from lookcloser.core.drawing.text import draw_text, shorten, text_width, wrap

SIZE = 15


def drawn(words, fill="black"):
    image = Image.new("RGB", (300, 30), "white")
    draw_text(ImageDraw.Draw(image), (5, 2), words, fill, SIZE)
    return np.asarray(image.convert("L"))


@pytest.fixture
def no_system_fonts(monkeypatch):
    monkeypatch.setattr(text, "_SYSTEM", ())
    text._font_of.cache_clear()
    yield
    text._font_of.cache_clear()


@pytest.mark.parametrize("words", ["Fliegenpilz", "Škoda Łódź", "Ωμέγα", "Воробей", "Ёж"])
def test_latin_greek_and_cyrillic_need_no_font_of_the_system(words, no_system_fonts):
    assert not np.array_equal(drawn(words), drawn("?" * len(words)))
    letters = {drawn(letter).tobytes() for letter in words if letter != " "}
    assert len(letters) == len(set(words) - {" "}), "each letter looks different: no empty boxes"


def test_what_no_font_has_is_a_question_mark(no_system_fonts):
    assert np.array_equal(drawn("鳥"), drawn("?"))
    assert np.array_equal(drawn("a\x1b\x07b"), drawn("a??b"))


def test_two_ways_to_write_an_accent_look_the_same():
    assert np.array_equal(drawn("e\u0301"), drawn("\u00e9"))


def test_other_fonts_fill_in(monkeypatch):
    monkeypatch.setattr(text, "_SYSTEM", ("no such font.ttf", "DejaVuSerif.ttf"))
    text._font_of.cache_clear()
    pytest.importorskip("matplotlib", reason="its fonts stand for those of a system")
    from matplotlib import font_manager

    serif = font_manager.findfont("DejaVu Serif")
    monkeypatch.setattr(text, "_SYSTEM", (serif,))
    assert text._font_of("Ա") == serif, "an Armenian letter"
    assert text._font_of("A") == str(text.OWN)
    assert text_width("AԱ", SIZE) > text_width("A", SIZE)
    text._font_of.cache_clear()


def test_long_text_is_cut_and_wrapped():
    assert shorten("abc", SIZE, 100) == "abc"
    short = shorten("a" * 80, SIZE, 100)
    assert short.endswith("…")
    assert text_width(short, SIZE) <= 100 < text_width(short + "a", SIZE)
    first, second = wrap("one two three four five six seven", SIZE, 90)
    assert text_width(first, SIZE) <= 90
    assert "one two" in first
    assert second.endswith("…")


@pytest.mark.parametrize("score", ["0.27", "(0.27)", "27%"])
def test_a_score_stays_when_its_name_is_cut(score):
    named = f"Golden_winged_Warbler {score}"
    short = shorten(named, SIZE, 110)
    assert short.startswith("Gold")
    assert short.endswith(f"… {score}")
    assert text_width(short, SIZE) <= 110 < text_width(named, SIZE)
    assert wrap(f"evidence for {named}", SIZE, 150)[1].endswith(f"… {score}")
    assert shorten(named, SIZE, 30).endswith("…"), "a score alone would leave no room for a name"
    assert not shorten("a bird that flies away", SIZE, 90).endswith("away")
    assert wrap("one", SIZE, 90) == ["one"]
