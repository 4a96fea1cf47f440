"""What is written about scenes: the rows of their tables."""

from __future__ import annotations

from collections.abc import Iterator

from lookcloser.data.scenes.kinds import Kind, Scene

Cells = tuple[object, ...]

_BOX = ("x0", "y0", "x1", "y1")

COLUMNS: dict[Kind, dict[str, Cells]] = {
    "single": {"boxes.csv": ("image", "label", "split", *_BOX)},
    "tags": {"labels.csv": ("image", "labels", "split", *_BOX)},
    # No column "label" here: this table of boxes gives no answers, only places.
    "captions": {
        "captions.csv": ("image", "caption", "split"),
        "boxes.csv": ("image", "word", *_BOX),
    },
}
"""The tables of each kind with their columns."""


def table_rows(kind: Kind, name: str, split: str, scene: Scene) -> Iterator[tuple[str, Cells]]:
    """(table, row) for each row that the scene in file ``name`` adds to the tables of its kind."""
    digits = zip(scene.labels, scene.boxes, strict=True)
    if kind == "captions":
        for caption in scene.captions:
            yield "captions.csv", (name, caption, split)
        for word, box in digits:
            yield "boxes.csv", (name, word, *box)
    else:
        (table,) = COLUMNS[kind]
        for label, box in digits:
            yield table, (name, label, split, *box)
