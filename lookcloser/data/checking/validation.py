"""Whether anything can be learned from a data set, judged by its counts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lookcloser.core.choices import TRAITS
from lookcloser.core.errors import LookcloserError
from lookcloser.core.wording import count, named, some
from lookcloser.data.catalog import Catalog
from lookcloser.data.checking.advice import beside
from lookcloser.data.readers.folders import LAYOUT as FOLDERS
from lookcloser.data.splits import SPLIT_OF


def validate_for_training(catalog: Catalog) -> None:
    """Raise if nothing can be learned from the data; opens no image.

    Raises:
        LookcloserError: Without images or a train split; in classification with one class only, a
            class of one image beside other splits, or a class that has no image to train on;
            without a training image that has tags, or with one tag that every training image has;
            with a training image that has no caption or an empty one.
    """
    for obstacle in obstacles(catalog):
        raise obstacle


def obstacles(catalog: Catalog) -> Iterator[LookcloserError]:
    """Everything that makes training pointless, the most basic first."""
    root = catalog.root
    if not catalog.samples:
        yield LookcloserError(f"{root}: no images", fix="Add images")
    elif "train" not in catalog.splits:
        named_so = SPLIT_OF.get(root.absolute().name.lower()) in catalog.splits
        yield LookcloserError(
            f"{root}: no train split, only {', '.join(catalog.splits)}",
            fix="The folder is named like a split: give the folder above it, or rename it"
            if named_so
            else "Add a folder 'train', or rows with split 'train'",
        )
    else:
        yield from _OBSTACLES[TRAITS[catalog.task].labels](catalog)


def _class_obstacles(catalog: Catalog) -> Iterator[LookcloserError]:
    root, counts = catalog.root, catalog.counts()
    if len(catalog.names) < 2:
        meant = list(beside(root)) if catalog.layout == FOLDERS and root.is_dir() else []
        yield LookcloserError(
            f"{root}: only one class ({named(catalog.names)}), there is nothing to tell apart",
            fix="; ".join(meant)
            or "Give each class a folder of its own, or a label of its own in the table",
        )
    total = {name: sum(of[name] for of in counts.values()) for name in catalog.names}
    # Where all is learned from, as a closed form can, there is nothing that it would be missing in.
    tested = len(counts) > 1
    single = {name for name, images in total.items() if images == 1 and tested}
    if single:
        yield LookcloserError(
            f"{root}: only one image of {named(sorted(single))}, "
            "which cannot be both learned from and tested on",
            fix="Add images of it, or remove it; or test on nothing: "
            "`--recipe closed-form --test-share 0`",
        )
    untrained = [n for n in catalog.names if counts["train"][n] == 0 and n not in single]
    if untrained:
        yield LookcloserError(
            f"{root}: no image to train on of {named(untrained)}",
            fix="Add images of it to the train split, or remove it",
        )


def _tag_obstacles(catalog: Catalog) -> Iterator[LookcloserError]:
    """Few: tags have a long tail, and a tag that cannot be learned does not spoil the others."""
    train = catalog.split("train")
    if not any(sample.labels for sample in train):
        yield LookcloserError(
            f"{catalog.root}: none of {count(len(train), 'training image')} has a tag",
            fix="Add tags to the train split",
        )
    elif len(catalog.names) == 1 and all(sample.labels for sample in train):
        yield LookcloserError(
            f"{catalog.root}: only one tag ({named(catalog.names)}), which every training image "
            "has: there is nothing to tell apart",
            fix="Add images without it, or more tags",
        )


def _caption_obstacles(catalog: Catalog) -> Iterator[LookcloserError]:
    train = catalog.split("train")
    silent = [sample.name for sample in train if not sample.captions]
    empty = [s.name for s in train if not all(caption.strip() for caption in s.captions)]
    for names, what in ((silent, "without a caption"), (empty, "with an empty caption")):
        if names:
            yield LookcloserError(
                f"{catalog.root}: {some(names, 'training image')} {what}",
                fix="Write the captions, or remove the images",
            )


_OBSTACLES: dict[str, Callable[[Catalog], Iterator[LookcloserError]]] = {
    "one": _class_obstacles,
    "some": _tag_obstacles,
    "words": _caption_obstacles,
}
