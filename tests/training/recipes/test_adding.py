import shutil

import numpy as np
import pytest

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.models import load_model_file
from lookcloser.recognizer import add, run_training
from lookcloser.training.recipes.adding import joined_names


@pytest.fixture
def options(quick):
    return {**quick, "recipe": "closed-form", "stride": None}


@pytest.fixture
def parts(squares, tmp_path):
    """All training images; those without "green" and half of "red"; the rest."""
    for name in ("whole", "first", "second"):
        shutil.copytree(squares, tmp_path / name)
        (tmp_path / name / "boxes.csv").unlink()
    for file in (tmp_path / "whole").glob("train/*/*.png"):
        late = file.parent.name == "green" or (file.parent.name == "red" and int(file.stem) > 7)
        (
            tmp_path / ("first" if late else "second") / "train" / file.parent.name / file.name
        ).unlink()
    for split in ("train", "val", "test"):
        shutil.rmtree(tmp_path / "first" / split / "green")
    return tuple(tmp_path / name for name in ("whole", "first", "second"))


def test_adding_equals_training_with_everything(parts, options, tmp_path):
    whole, first, second = parts
    run_training(whole, out=tmp_path / "a", quiet=True, **options)
    run_training(first, out=tmp_path / "b", quiet=True, **options)
    shutil.rmtree(first)  # the old images are not needed
    added = add(tmp_path / "b", second)
    assert (added.images, added.new, added.total) == (24, ("green",), 48)
    (one, expected), (other, found) = (
        load_model_file(tmp_path / name / "model.safetensors") for name in ("a", "b")
    )
    assert found.names == expected.names == ("blue", "green", "red")
    assert found.provenance["shrinkage"] == expected.provenance["shrinkage"]
    scale = one.head.weight.abs().max().item()
    for a, b in zip(one.head.parameters(), other.head.parameters(), strict=True):
        np.testing.assert_allclose(a.detach() / scale, b.detach() / scale, atol=1e-5)
    temperatures = (p.calibration.temperature for p in (found, expected))
    assert np.isclose(*temperatures, rtol=1e-4)
    assert lc.load(tmp_path / "b").predict(whole / "test" / "green" / "0.png")[0].labels


def test_one_folder_of_one_new_class(squares, options, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **options)
    shutil.copytree(squares / "train" / "red", tmp_path / "more" / "crimson")
    added = add(tmp_path / "run", tmp_path / "more", out=tmp_path / "new.safetensors")
    assert added.new == ("crimson",)
    assert lc.load(tmp_path / "new.safetensors").names == ("blue", "crimson", "green", "red")
    assert lc.load(tmp_path / "run").names == ("blue", "green", "red"), "left alone"


def test_a_single_new_image_is_enough(squares, options, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **options)
    (tmp_path / "more" / "odd").mkdir(parents=True)
    shutil.copy(squares / "test" / "red" / "0.png", tmp_path / "more" / "odd" / "0.png")
    assert add(tmp_path / "run", tmp_path / "more").total == 49
    lc.load(tmp_path / "run").predict(squares / "test" / "red")


def test_a_trained_model_remembers_nothing(squares, quick, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **{**quick, "epochs": 1})
    with pytest.raises(LookcloserError, match="a trained head.*--recipe closed-form"):
        add(tmp_path / "run", squares)


def test_images_that_cannot_be_read_leave_the_model_alone(squares, options, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **options)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    (tmp_path / "more" / "odd").mkdir(parents=True)
    (tmp_path / "more" / "odd" / "0.png").write_bytes(b"no image")
    with pytest.raises(LookcloserError, match="None of the 1 images"):
        add(tmp_path / "run", tmp_path / "more")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_what_is_no_model(place, squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LookcloserError, match="no such run|no model.safetensors"):
        add(place, squares)


def test_names_are_sorted_where_they_were():
    assert joined_names(["a", "c"], ["b", "c"]) == ("a", "b", "c")
    assert joined_names(["c", "a"], ["b", "a"]) == ("c", "a", "b")
