"""Whether anything can be learnt from a data set, judged by its counts alone."""

from __future__ import annotations

from collections.abc import Iterator

from lookcloser.core.errors import LookcloserError
from lookcloser.data.catalog import Catalog
from lookcloser.data.wording import named


def validate_for_training(catalog: Catalog) -> None:
    """Raise if nothing can be learnt from the data; opens no image.

    Raises:
        LookcloserError: Without images or a train split; in classification with one class only or a
            class of one image; with a class that has no image to train on.
    """
    for obstacle in obstacles(catalog):
        raise obstacle


def obstacles(catalog: Catalog) -> Iterator[LookcloserError]:
    """Everything that makes training pointless, the most basic first."""
    root = catalog.root
    if not catalog.samples:
        yield LookcloserError(f"{root}: no images", fix="Add images")
    elif "train" not in catalog.splits:
        yield LookcloserError(
            f"{root}: no train split, only {', '.join(catalog.splits)}",
            fix="Add a folder 'train', or rows with split 'train'",
        )
    elif catalog.task != "captioning":
        yield from _class_obstacles(catalog)


def _class_obstacles(catalog: Catalog) -> Iterator[LookcloserError]:
    root, counts, single = catalog.root, catalog.counts(), set[str]()
    if catalog.task == "classification":
        if len(catalog.names) < 2:
            yield LookcloserError(
                f"{root}: one class only ({named(catalog.names)}), there is nothing to tell apart",
                fix="Give each class a folder of its own, or a label of its own in the table",
            )
        total = {name: sum(of[name] for of in counts.values()) for name in catalog.names}
        single = {name for name, images in total.items() if images == 1}
        if single:
            yield LookcloserError(
                f"{root}: one image only of {named(sorted(single))}, "
                "which cannot be both learnt from and tested on",
                fix="Add images of it, or remove it",
            )
    untrained = [n for n in catalog.names if counts["train"][n] == 0 and n not in single]
    if untrained:
        yield LookcloserError(
            f"{root}: no image to train on of {named(untrained)}",
            fix="Add images of it to the train split, or remove it",
        )
