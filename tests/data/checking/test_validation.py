from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.choices import Task
from lookcloser.data import Catalog, Sample, read_data, validate_for_training


def catalog(rows: list[tuple[str, str]], task: Task = "classification", *more: str) -> Catalog:
    """From (split, labels separated by spaces)."""
    samples = tuple(
        Sample(f"{i}.jpg", Path(f"{i}.jpg"), labels=tuple(labels.split()), split=split)
        for i, (split, labels) in enumerate(rows)
    )
    names = tuple(sorted({label for sample in samples for label in sample.labels} | set(more)))
    return Catalog(Path("pets"), "table", task, names, samples)


def captioned(*rows: tuple[str, ...]) -> Catalog:
    """From (split, captions…)."""
    samples = tuple(
        Sample(f"{i}.jpg", Path(f"{i}.jpg"), captions=tuple(captions), split=split)
        for i, (split, *captions) in enumerate(rows)
    )
    return Catalog(Path("pets"), "table", "captioning", (), samples)


def error_of(data: Catalog) -> str:
    with pytest.raises(LookcloserError) as caught:
        validate_for_training(data)
    return str(caught.value)


def is_accepted(data: Catalog) -> bool:
    try:
        validate_for_training(data)
    except LookcloserError:
        return False
    return True


GOOD = [("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")]


def test_what_can_be_trained_passes() -> None:
    assert is_accepted(catalog(GOOD))
    assert is_accepted(catalog([("train", "cat"), ("train", "")], "multilabel"))
    assert is_accepted(captioned(("train", "a cat"), ("test",)))


def test_no_images() -> None:
    assert error_of(catalog([])) == "pets: no images. Add images."


def test_no_train_split() -> None:
    message = error_of(catalog([("val", "cat"), ("test", "dog")]))
    assert message.startswith("pets: no train split, only val, test. Add a folder 'train'")


def test_one_class_only(write: Any) -> None:
    data = read_data(write("birds/wren/1.jpg", "birds/wren/2.jpg") / "birds")
    message = error_of(data)
    assert "only one class ('wren'), there is nothing to tell apart. Give each class" in message


def test_a_class_with_one_image(write: Any) -> None:
    names = [f"cat/{i}.jpg" for i in range(9)]
    data = read_data(write(*names, "dodo/1.jpg", "auk/1.jpg"))
    assert "only one image of 'auk', 'dodo', which cannot be both learned from" in error_of(data)
    assert "--recipe closed-form --test-share 0" in error_of(data)
    assert is_accepted(read_data(data.root, val_share=0, test_share=0)), "where nothing is tested"
    assert not is_accepted(read_data(data.root, val_share=0.1, test_share=0))


def test_one_image_of_a_tag_is_allowed() -> None:
    assert is_accepted(catalog([("train", "cat dog"), ("train", "cat")], "multilabel"))


def test_a_class_without_an_image_to_train_on() -> None:
    data = catalog([*GOOD, ("test", "eel"), ("test", "eel")])
    assert error_of(data).startswith("pets: no image to train on of 'eel'. Add images")
    data = catalog(GOOD, "classification", *(f"x{i}" for i in range(8)))
    assert "of 'x0', 'x1', 'x2', 'x3', 'x4' and 3 more" in error_of(data)


def test_a_tag_that_cannot_be_learned_does_not_stop_the_others() -> None:
    rows = [*GOOD, ("test", "eel")]
    assert is_accepted(catalog(rows, "multilabel", "never"))
    assert not is_accepted(catalog(rows, "classification")), "a class is not a tag"


def test_no_tags_to_train_on() -> None:
    message = "pets: none of 2 training images has a tag. Add tags to the train split."
    assert error_of(catalog([("train", ""), ("train", ""), ("test", "a")], "multilabel")) == message


def test_one_tag_that_every_training_image_has() -> None:
    data = catalog([("train", "cat"), ("train", "cat"), ("test", "")], "multilabel")
    assert error_of(data) == (
        "pets: only one tag ('cat'), which every training image has: there is nothing to tell "
        "apart. Add images without it, or more tags."
    )
    assert is_accepted(catalog([("train", "cat"), ("train", "")], "multilabel"))
    assert is_accepted(catalog([("train", "cat"), ("train", "cat dog")], "multilabel"))


def test_training_images_without_captions() -> None:
    rows = [("train", "a"), ("train",), ("test",), ("train",)]
    assert error_of(captioned(*rows)) == (
        "pets: 2 training images ('1.jpg', '3.jpg') without a caption. "
        "Write the captions, or remove the images."
    )


def test_an_empty_caption() -> None:
    data = captioned(("train", "a", " \n"), ("train", "b"), ("test", ""))
    assert error_of(data).startswith("pets: 1 training image ('0.jpg') with an empty caption.")


def test_words_are_no_classes() -> None:
    data = captioned(("train", "a cat"))
    assert is_accepted(replace(data, names=("<NULL>", "a", "cat")))
