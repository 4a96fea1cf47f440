"""Entries of a pre-annotation, in percent of the image."""

from __future__ import annotations

import pytest

from lookcloser.core.sizes import ImageSize
from lookcloser.runtime.label_studio import BOXES, entry, rectangle

SIZE = ImageSize(200, 100)


def test_a_box_is_in_percent_of_width_and_height() -> None:
    value = rectangle("cat", (20, 10, 120, 60), SIZE)
    numbers = [value[key] for key in ("x", "y", "width", "height")]
    assert numbers == pytest.approx([10, 10, 50, 50])
    assert (value["rectanglelabels"], value["rotation"]) == (["cat"], 0)


def test_the_whole_image_is_a_hundred_percent() -> None:
    value = rectangle("cat", (0, 0, 200, 100), SIZE)
    assert [value[key] for key in ("x", "y", "width", "height")] == [0, 0, 100, 100]


def test_an_entry_names_the_tags_of_the_interface() -> None:
    value = rectangle("cat", (0, 0, 20, 10), SIZE)
    made = entry(3, 0.5, SIZE, kind="rectanglelabels", control=BOXES, value=value, image="photo")
    assert (made["id"], made["type"], made["score"]) == ("r3", "rectanglelabels", 0.5)
    assert (made["from_name"], made["to_name"]) == ("label", "photo")
    assert (made["original_width"], made["original_height"]) == (200, 100)
    assert made["value"] is value
