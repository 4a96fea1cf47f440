"""Options as a small class declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, Literal

import numpy as np
import pytest

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.options import (
    Bounds,
    Kind,
    Options,
    declared,
    option,
    read_value,
    stored,
    whole,
)


@dataclass(frozen=True)
class Small(Options):
    depth: int = option(2, "How deep.", least=1)
    share: float = option(0.5, "What share.", above=0, most=1)
    form: Literal["round", "square"] = option("round", "Which form.")
    limit: float | None = option(None, "A limit.", use="training")
    color: tuple[float, float, float] | None = option(None, "A color.", above=0)
    counts: tuple[int, ...] | None = option(None, "How many.", use="data")
    extra: Mapping[str, Any] = option({}, "More.")
    fast: bool = option(True, "Whether it is fast.")

    def check_together(self) -> None:
        if self.form == "square" and self.limit is not None:
            raise UsageError("{} square: not with a limit", option="form")


def test_what_is_declared_is_read_from_the_fields() -> None:
    found = declared(Small)
    assert list(found)[:3] == ["depth", "share", "form"]
    depth = found["depth"]
    assert (depth.default, depth.help, depth.bounds.least, depth.use) == (
        2,
        "How deep.",
        1,
        "model",
    )
    assert found["form"].kind.choices == ("round", "square")
    assert found["limit"].kind.optional
    assert not found["depth"].kind.optional
    assert (found["color"].kind.length, found["counts"].kind.length) == (3, None)
    assert found["extra"].default == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("depth", "1 or more"),
        ("share", "a number above 0, at most 1"),
        ("form", "round, square"),
        ("limit", "a finite number"),
        ("color", "three finite numbers, each above 0"),
        ("counts", "whole numbers"),
        ("fast", "true or false"),
        ("extra", "names with values"),
    ],
)
def test_what_is_allowed_in_words(name: str, words: str) -> None:
    assert declared(Small)[name].allowed() == words


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "words"),
    [
        (Bounds(above=0), 0.1, 0, "a number above 0"),
        (Bounds(least=0), 0, -0.1, "0 or more"),
        (Bounds(below=1), 0.9, 1, "a number below 1"),
        (Bounds(most=1), 1, 1.1, "a number up to 1"),
        (Bounds(least=0, below=1), 0, 1, "a number from 0 to below 1"),
        (Bounds(least=0, most=1), 1, 1.1, "a number from 0 to 1"),
        (Bounds(above=0, most=1), 1, 0, "a number above 0, at most 1"),
        (Bounds(above=0, below=1), 0.5, 1, "a number above 0 and below 1"),
        (Bounds(), 1e9, None, ""),
    ],
)
def test_bounds(bounds: Bounds, inside: float, outside: float | None, words: str) -> None:
    assert bounds.hold(inside)
    assert outside is None or not bounds.hold(outside)
    assert bounds.words() == words


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0}, "depth 0: not possible. Allowed: 1 or more."),
        ({"depth": 1.5}, "depth 1.5: not possible. Allowed: a whole number."),
        ({"depth": None}, "depth None: not possible. Allowed: a whole number."),
        ({"depth": True}, "depth True: not possible."),
        ({"share": float("nan")}, "share nan: not possible. Allowed: a finite number."),
        ({"share": 0}, "share 0.0: not possible. Allowed: a number above 0, at most 1."),
        (
            {"share": 20},
            "share 20.0: not possible. Allowed: a number above 0, at most 1. For 20 % give 0.2.",
        ),
        ({"form": "sqare"}, "sqare: unknown form. Close: square."),
        ({"form": 3}, "3: unknown form. There are: round, square."),
        ({"limit": "big"}, "limit big: not possible. Allowed: a finite number or null."),
        ({"color": [1, 1]}, "Allowed: three finite numbers or null."),
        ({"color": [1, 0, 1]}, "Allowed: three finite numbers, each above 0."),
        ({"counts": [1, 2.5]}, "Allowed: whole numbers or null."),
        ({"extra": ["a"]}, "Allowed: names with values."),
        ({"fast": "yes"}, "fast yes: not possible. Allowed: true or false."),
        ({"dept": 3}, "dept: unknown option. Close: depth."),
        ({"form": "square", "limit": 1.0}, "form square: not with a limit."),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Small.read(values)
    assert message in str(caught.value)


def test_the_constructor_checks_too() -> None:
    with pytest.raises(LookcloserError, match="depth 0"):
        Small(depth=0)


def test_what_yaml_and_json_spell_otherwise_is_read() -> None:
    read = Small.read({"share": "1e-1", "color": [1, "2", 3], "counts": [1, 2], "limit": 3})
    assert (read.share, read.color, read.counts, read.limit) == (0.1, (1.0, 2.0, 3.0), (1, 2), 3.0)
    assert isinstance(read.limit, float)


def test_what_is_stored_is_plain_and_without_what_training_alone_reads() -> None:
    values = stored(Small(counts=(1, 2), limit=3.0))
    assert "limit" not in values
    assert values["counts"] == [1, 2]
    assert Small.read(values) == Small(counts=(1, 2))


def test_the_default_dict_is_not_shared() -> None:
    assert Small().extra is not Small().extra


HUGE = 10**400  # more than any float holds


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": HUGE}, "Allowed: a finite number."),
        ({"limit": -HUGE}, "Allowed: a finite number or null."),
        ({"color": (1, HUGE, 1)}, "Allowed: three finite numbers or null."),
    ],
)
def test_a_whole_number_that_no_float_holds_is_not_finite(
    values: dict[str, Any], message: str
) -> None:
    for make in (lambda: Small(**values), lambda: Small.read(values)):
        with pytest.raises(UsageError) as caught:
            make()
        assert message in str(caught.value)
    assert Small(depth=HUGE).depth == HUGE, "a whole number has no such bound"


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "inf"), ("limit", "nan"), ("share", ""), ("color", "red"), ("counts", ["a"])],
)
def test_what_cannot_be_read_is_refused_by_its_own_words(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        Small.read({name: value})


def test_the_first_number_that_is_too_small_is_named() -> None:
    whole(1, steps=1, batch_size=np.int64(3))
    whole(0, workers=0)
    for value in (0, -1, 1.0, "3", None, True, np.float32(2)):
        with pytest.raises(UsageError, match=f"steps = {value}. Allowed: a whole number, 1 or"):
            whole(1, top=1, steps=value, workers=0)


def test_options_are_frozen_and_equal_by_value() -> None:
    assert Small(depth=3) == Small.read({"depth": 3}) != Small()
    with pytest.raises(FrozenInstanceError):
        Small().depth = 3  # type: ignore[misc]  # that is what is tried


@dataclass(frozen=True)
class Larger(Small):
    width: int | None = option(None, "How wide.", least=2, most=4)


def test_a_class_has_the_options_of_its_base_first_and_bounds_where_a_value_is_given() -> None:
    assert list(declared(Larger)) == [*declared(Small), "width"]
    assert Larger().width is None
    assert "width" not in declared(Small)
    for value in (1, 5):
        with pytest.raises(UsageError, match="Allowed: a number from 2 to 4"):
            Larger(width=value)


@pytest.mark.parametrize(
    ("value", "read"),
    [(3, "3"), ("3", "3"), (False, "off"), ("off", "off"), (True, True), (4, 4), (1, 1), (0, 0)],
)
def test_words_are_known_where_yaml_makes_something_else_of_them(value: Any, read: Any) -> None:
    """``zoom: 3`` and ``zoom: off`` in a file are a number and false."""
    found = read_value(Kind(str, choices=("auto", "off", "3")), value)
    assert (found, type(found)) == (read, type(read))
