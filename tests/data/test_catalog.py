import pickle
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, Sample


def sample(name: str, split: str, *labels: str) -> Sample:
    return Sample(name, Path(name), labels=labels, split=split)


CATALOG = Catalog(
    root=Path("pets"),
    layout="class folders",
    task="multilabel",
    names=("cat", "dog", "eel"),
    samples=(
        sample("1", "test", "cat"),
        sample("2", "train", "dog"),
        sample("3", "train", "dog", "cat"),
        sample("4", "train"),
    ),
)


def test_splits_come_in_the_usual_order() -> None:
    assert CATALOG.splits == ("train", "test")


def test_a_split_keeps_the_order_of_the_samples() -> None:
    assert [sample.name for sample in CATALOG.split("train")] == ["2", "3", "4"]


def test_an_unknown_split_names_those_there_are() -> None:
    with pytest.raises(LookcloserError, match=r"val: unknown split of pets\. There are: test, tr"):
        CATALOG.split("val")
    with pytest.raises(LookcloserError, match=r"Close: train"):
        CATALOG.split("trian")


def test_counts_hold_every_class_of_every_split() -> None:
    assert CATALOG.counts() == {
        "train": {"cat": 1, "dog": 2, "eel": 0},
        "test": {"cat": 1, "dog": 0, "eel": 0},
    }


def test_samples_travel_to_other_processes_and_cannot_be_changed() -> None:
    copy = pickle.loads(pickle.dumps(CATALOG.samples[2]))
    assert (copy.name, copy.labels, copy.split) == ("3", ("dog", "cat"), "train")
    with pytest.raises(AttributeError):
        copy.split = "test"


def test_boxes_of_a_label() -> None:
    named, bare = ("cat", (0.0, 0.0, 1.0, 1.0)), (None, (2.0, 2.0, 3.0, 3.0))

    def boxes(label: str, *labels: str) -> list[tuple[float, ...]]:
        return list(Sample("1", Path("1"), labels, boxes=(named, bare)).boxes_of(label))

    assert boxes("cat", "cat") == [named[1], bare[1]], "the only label there is"
    assert boxes("cat", "cat", "dog") == [named[1]], "a box without a name could be of either"
    assert boxes("dog", "cat", "dog") == []
    assert boxes("dog", "cat") == [], "the picture shows no dog"
    assert boxes("dog", "dog") == [bare[1]]


def test_it_is_called_as_its_folder_also_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my birds").mkdir()
    monkeypatch.chdir(tmp_path / "my birds")
    for root in (Path(), Path("../my birds"), tmp_path / "my birds"):
        assert Catalog(root, "", "classification", (), ()).title == "my birds"
    assert Catalog(Path("/"), "", "classification", (), ()).title == "data"
