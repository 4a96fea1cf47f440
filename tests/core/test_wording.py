import os

import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.core.wording import as_share, count, duration, encodable, named, printable, some


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("Käfer 甲虫 жук", "Käfer 甲虫 жук"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),
        ("line\u2028end", "line\\u2028end"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_printed_commands_no_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_only_what_utf8_cannot_hold_is_spelled_out() -> None:
    assert encodable("a\x1b\u202e") == "a\x1b\u202e"
    assert encodable(os.fsdecode(b"caf\xe9 \xff")) == "caf\\xe9 \\xff"


def test_names_in_errors_are_printable_and_lines_stay() -> None:
    error = LookcloserError("\x1b[2Jx.png: no image", fix="First\nSecond")
    assert str(error) == "\\x1b[2Jx.png: no image. First\nSecond."
    assert error.what == "\x1b[2Jx.png: no image"


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (1, "image", "1 image"), (0, "image", "0 images"), (2, "box", "2 boxes"),
        (1, "class", "1 class"), (12_345, "class", "12,345 classes"),
    ],
)  # fmt: skip
def test_things_are_counted_in_words(number: int, noun: str, words: str) -> None:
    assert count(number, noun) == words


def test_of_many_names_five_are_said_and_how_many_more() -> None:
    names = [f"n{number}" for number in range(1205)]
    assert named(names[:5]) == "'n0', 'n1', 'n2', 'n3', 'n4'"
    assert named(names) == "'n0', 'n1', 'n2', 'n3', 'n4' and 1,200 more"
    assert named([]) == ""
    assert some(names[:2], "box") == "2 boxes ('n0', 'n1')"
    assert some(names[:6], "class") == "6 classes ('n0', 'n1', 'n2', 'n3', 'n4' and 1 more)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (95, "For 95 % give 0.95"),
        (12.5, "For 12.5 % give 0.125"),
        (1, None),
        (250, None),
        (-3, None),
        ("95", None),
        (float("nan"), None),
    ],
)
def test_percent_are_told_as_a_share(value: object, said: str | None) -> None:
    assert as_share(value) == said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (11_520, "3.2 h"),
        (216_000, "2.5 days"),
    ],
)
def test_a_duration_has_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words
