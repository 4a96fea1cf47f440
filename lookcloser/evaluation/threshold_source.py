"""Whose boxes the thresholds of an evaluation are chosen on: nobody's, a few, val's, the scored."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.data import Catalog, Sample
from lookcloser.metrics.thresholds import Source, draw

SEED = 0  # of the few images
ALLOWED = (
    "none (no boxes), few:N (the boxes of N images of val), val, split (the scored one, optimistic)"
)


@dataclass(frozen=True)
class Supervision:
    """Where thresholds come from.

    Attributes:
        source: Whose boxes; None for none.
        samples: Of the separate split; empty where the scored images themselves are used.
        drawn_from: Of how many images ``samples`` are a draw, or None for all.
    """

    source: Source | None
    samples: tuple[Sample, ...] = ()
    drawn_from: int | None = None


def read_source(threshold_from: str) -> tuple[str, int]:
    """``"few:20"`` -> ("few", 20); of the others the number is 0.

    Raises:
        LookcloserError: For anything but those in `ALLOWED`.
    """
    few = re.fullmatch(r"few:([1-9][0-9]*)", threshold_from)
    if few:
        return "few", int(few[1])
    if threshold_from in {"none", "val", "split"}:
        return threshold_from, 0
    raise UsageError(f"{threshold_from}: unknown place to choose the thresholds", allowed=ALLOWED)


def supervise(threshold_from: str, catalog: Catalog, split: str) -> Supervision:
    """The boxes that an evaluation of ``split`` may use.

    A data set without boxes in val falls back from "val" to the scored split, and from "few:N" to
    nothing.

    Raises:
        LookcloserError: For an unknown ``threshold_from``, and more images than val has with boxes.
    """
    kind, few = read_source(threshold_from)
    if kind == "none":
        return Supervision(None)
    own = Supervision("scored images")
    if kind == "split":
        return own
    val = catalog.split("val") if "val" in catalog.splits else ()
    boxed = [sample for sample in val if sample.boxes]
    source: Source = "scored images" if split == "val" else "separate split"
    if kind == "few":
        if few > len(boxed):
            raise LookcloserError(
                f"{threshold_from}: {len(boxed)} images of split val have boxes",
                allowed=f"few:1 … few:{len(boxed)}, none or split" if boxed else "none or split",
            )
        drawn = tuple(boxed[row] for row in draw(len(boxed), few, SEED))
        return Supervision(source, drawn, len(boxed))
    return own if split == "val" or not boxed else Supervision(source, tuple(boxed))
