"""`lookcloser.add` on runs and files; that it equals one training is in the tests of training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.models import read_header
from lookcloser.recognizer import Recognizer, add, run_training

OPTIONS = {
    "backbone": "test_resnet", "weights": "none", "size": 32, "workers": 0,
    "recipe": "closed-form", "zoom": "off",
}  # fmt: skip


@pytest.fixture(scope="module")
def solved(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in closed form; tests add to copies of it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return run_training(squares, out=out, quiet=True, **OPTIONS).folder


@pytest.fixture
def run(solved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return shutil.copytree(solved, tmp_path / "run")


@pytest.fixture
def more(squares: Path, run: Path) -> Catalog:
    """Two images of a new class, one of a known one; the others are of test."""
    samples = tuple(
        Sample(f"{number}.png", squares / "test" / "red" / f"{number}.png", (name,), split=split)
        for number, (name, split) in enumerate(
            [("ruby", "train"), ("ruby", "train"), ("red", "train"), ("pink", "test")]
        )
    )
    return Catalog(Path("more"), "", "classification", ("pink", "red", "ruby"), samples)


def test_what_is_for_training_and_can_be_read_is_added(run: Path, more: Catalog) -> None:
    broken = Sample("broken.png", Path("nowhere.png"), ("red",), split="train")
    added = add("~/run", replace(more, samples=(*more.samples, broken)))
    assert (added.images, added.new, added.total) == (3, ("ruby",), 51)
    assert list(added.skipped) == ["broken.png"]
    header = read_header(run / "model.safetensors")
    assert header == added.header
    assert header.names == ("blue", "green", "red", "ruby"), "pink is only of test"
    assert header.provenance["images"] == 51
    assert header.calibration.images == 51
    assert isinstance(lc.load(run), Recognizer)


def test_a_file_that_is_named_leaves_the_run_alone(run: Path, squares: Path) -> None:
    """And a table is read by the columns that are named."""
    for number in range(4):
        shutil.copy(squares / "test" / "red" / f"{number}.png", f"{number}.png")
    rows = "".join(f"ruby,{number}.png\n" for number in range(4))
    Path("more.csv").write_text(f"what,file\n{rows}")
    before = (run / "model.safetensors").read_bytes()
    columns, out = "image=file,label=what", "~/new/more.safetensors"
    added = add(run / "model.safetensors", "more.csv", columns=columns, out=out)
    assert (added.new, added.images) == (("ruby",), 4), "without splits all of it is for training"
    assert (run / "model.safetensors").read_bytes() == before
    assert read_header(Path("new/more.safetensors")).names[-1] == "ruby"


def test_added_twice_an_image_counts_once_and_groups_of_both_are_kept(
    run: Path, more: Catalog
) -> None:
    add(run, replace(more, parents={"ruby": "reddish", "red": "reddish"}))
    white = Sample("white", np.full((40, 30, 3), 255, np.uint8), ("white",), split="train")
    samples = (*more.samples, white)
    again = add(run, replace(more, samples=samples, parents={"blue": "cold"}))
    assert (again.new, again.images, again.again, again.total) == (("white",), 1, 3, 52)
    assert again.header.parents == {"ruby": "reddish", "red": "reddish", "blue": "cold"}
    (answer,) = lc.load(run).predict(white.source)
    assert answer.labels[0].name == "white"


def test_a_class_stays_in_its_group(run: Path, more: Catalog) -> None:
    add(run, replace(more, parents={"ruby": "reddish", "red": "reddish"}))
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(LookcloserError, match="'ruby' is in the group 'gems', in the model in 'r"):
        add(run, replace(more, parents={"ruby": "gems"}))
    assert (run / "model.safetensors").read_bytes() == before


def test_a_folder_in_a_group_folder_is_a_class_of_the_group(
    run: Path, more: Catalog, squares: Path
) -> None:
    """One class in one group alone: without the model, "reddish" could be the class."""
    add(run, replace(more, parents={"ruby": "reddish", "red": "reddish"}))
    Path("new/reddish/pink").mkdir(parents=True)
    shutil.copy(squares / "test" / "red" / "4.png", "new/reddish/pink/4.png")
    added = add(run, "new")
    assert added.new == ("pink",)
    assert added.header.parents == {"pink": "reddish", "ruby": "reddish", "red": "reddish"}


def test_a_group_is_no_class_and_a_class_no_group(run: Path, more: Catalog) -> None:
    add(run, replace(more, parents={"ruby": "reddish", "red": "reddish"}))
    before = (run / "model.safetensors").read_bytes()
    samples = tuple(replace(sample, labels=("reddish",)) for sample in more.samples[:1])
    with pytest.raises(LookcloserError, match="more: 'reddish' is a class, in the model a group"):
        add(run, replace(more, samples=samples, names=("reddish",)))
    with pytest.raises(LookcloserError, match="more: 'blue' is a group of .*, in the model a cla"):
        add(run, replace(more, parents={"pink": "blue"}))
    assert (run / "model.safetensors").read_bytes() == before


def test_what_differs_in_case_only_is_new_and_told(run: Path, more: Catalog) -> None:
    add(run, replace(more, parents={"ruby": "reddish", "red": "reddish"}))
    samples = tuple(replace(sample, labels=("Blue",)) for sample in more.samples[:1])
    parents = {"Blue": "Reddish", "other": "thing"}
    added = add(run, replace(more, samples=samples, names=("Blue",), parents=parents))
    assert added.new == ("Blue",)
    assert added.alike == (("Blue", "blue"), ("Reddish", "reddish"))
    assert added.header.parents == {"Blue": "Reddish", "ruby": "reddish", "red": "reddish"}


def test_a_new_class_without_a_readable_image_is_refused(run: Path, more: Catalog) -> None:
    before = (run / "model.safetensors").read_bytes()
    broken = Sample("broken.png", Path("nowhere.png"), ("opal",), split="train")
    with pytest.raises(LookcloserError, match=r"more: no image of 'opal' can be read"):
        add(run, replace(more, samples=(*more.samples, broken)))
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("place", ["empty", "run/config.yaml", "rum"])
def test_what_is_no_model_is_named(run: Path, more: Catalog, place: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(LookcloserError, match=f"{place}: ") as refused:
        add(place, more)
    if place == "rum":
        assert "Did you mean 'run'" in str(refused.value)


def test_an_exported_file_is_not_taken_for_a_damaged_one(run: Path, more: Catalog) -> None:
    Path("model.onnx").write_bytes(b"any")
    with pytest.raises(LookcloserError, match="model.onnx: an exported file.*then export that"):
        add("model.onnx", more)


@pytest.mark.parametrize("place", ["photo.jpg", "empty.safetensors", "folder"])
def test_nothing_but_a_model_is_replaced(run: Path, more: Catalog, place: str) -> None:
    Path(place).mkdir() if place == "folder" else Path(place).write_bytes(b"own")
    with pytest.raises(LookcloserError, match=f"{place}: there is a .*did not make"):
        add(run, more, out=place)
    with pytest.raises(LookcloserError, match=f"{place}: there is a .*did not make"):
        lc.load(run).save(place)
    assert Path(place).is_dir() or Path(place).read_bytes() == b"own"
    shutil.copy(run / "model.safetensors", "other.safetensors")
    assert add(run, more, out="other.safetensors").total == 51
    assert read_header(Path("other.safetensors")).names[-1] == "ruby"


def test_data_without_anything_to_add_is_refused(run: Path, more: Catalog, squares: Path) -> None:
    tested = tuple(sample for sample in more.samples if sample.split == "test")
    with pytest.raises(UsageError, match="train: unknown split of more"):
        add(run, replace(more, samples=tested))
    tags = replace(read_data(squares), task="multilabel")
    with pytest.raises(LookcloserError, match="a data set for multilabel.*answers classification"):
        add(run, tags)
