from __future__ import annotations

import pytest

from lookcloser.data.readers.tables.cells import tag_splitter


def test_parts_that_are_combined_are_tags() -> None:
    """As in the data of the Amazon: few words, in many combinations, none of which stands alone."""
    cells = ["clear water", "clear road", "haze water", "haze road", "clear water road"]
    split, note = tag_splitter(cells)
    assert split("clear water road") == ["clear", "water", "road"]
    assert note == "Tags are separated by blanks"


def test_names_of_two_words_stay_whole_and_that_is_said() -> None:
    split, note = tag_splitter(["quercus robur", "quercus alba", "pinus alba"])
    assert split("quercus robur") == ["quercus robur"]
    assert note == (
        "One tag each: 'quercus robur', 'quercus alba', 'pinus alba'; several stand as 'a;b'"
    )


@pytest.mark.parametrize("cell", ["{a,b}", '["a", "b"]', "(a, b)"])
def test_lists(cell: str) -> None:
    split, note = tag_splitter([cell, "[]"])
    assert (split(cell), note) == (["a", "b"], "Tags are lists")
