"""Values behind a name and an equals sign."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lookcloser.cli.terminal.pairs import read_pairs
from lookcloser.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("same", "same"),
        ("gelu tanh", "gelu tanh"),
        ('"007"', "007"),
        ("x=y", "x=y"),
        ("é", "é"),
        ("[7, 7]", [7, 7]),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: object) -> None:
    (read,) = read_pairs([f"name={text}"], "--model-kwargs").values()
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "value", [1, 1e-7, -2.5e300, "", "1e-3", "no", "a: b", [1, "x"], {"a": None}]
)
def test_json_is_read_back(value: Any) -> None:
    assert read_pairs([f"k={json.dumps(value)}"], "--x") == {"k": value}


def test_several_pairs_keep_their_order_and_the_last_of_a_name_wins() -> None:
    read = read_pairs(["b=1", "a=2", "b=3"], "--x")
    assert list(read.items()) == [("b", 3), ("a", 2)]
    assert read_pairs([], "--x") == {}


@pytest.mark.parametrize("text", ["", "a", "=", "=1", "a:1"])
def test_a_text_that_is_no_pair_is_named(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_pairs(["fine=1", text], "--model-kwargs")
    assert str(refused.value) == f"--model-kwargs {text}: not a pair. Allowed: key=value."


@pytest.mark.parametrize(
    "value", ["[", "{a", "'x", "!!python/object/apply:os.getpid []", "9" * 5000, "a: b: c"]
)
def test_a_value_that_cannot_be_read_is_wrong_usage(value: str) -> None:
    with pytest.raises(UsageError, match="the value cannot be read") as refused:
        read_pairs([f"a={value}"], "--model-kwargs")
    assert str(refused.value).startswith(f"--model-kwargs a={value}: ")
    assert "a list in brackets" in str(refused.value)
