import shutil
import subprocess
import sys

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


def test_weights_do_not_depend_on_who_came_together(squares, options, tmp_path):
    """One class of a few images, first among all in one training, alone when it is added."""
    shutil.copytree(squares / "train", tmp_path / "whole")
    for number in range(3):
        place = tmp_path / "more" / "azure" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(squares / "val" / "blue" / f"{number}.png", place)
    own = {**options, "val_share": 0.0, "test_share": 0.0}
    run_training(tmp_path / "whole", out=tmp_path / "b", quiet=True, **own)
    shutil.copytree(tmp_path / "more" / "azure", tmp_path / "whole" / "azure")
    run_training(tmp_path / "whole", out=tmp_path / "a", quiet=True, **own)
    add(tmp_path / "b", tmp_path / "more")
    one, other = (
        load_model_file(tmp_path / name / "model.safetensors")[0].state_dict() for name in "ab"
    )
    for name, value in one.items():
        assert value.equal(other[name]), name


def test_the_same_images_again_change_nothing(squares, options, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **options)
    before, header = load_model_file(tmp_path / "run" / "model.safetensors")
    added = add(tmp_path / "run", squares)
    assert (added.images, added.again, added.total) == (0, 48, 48)
    after, again = load_model_file(tmp_path / "run" / "model.safetensors")
    assert after.head.weight.equal(before.head.weight)
    assert again.calibration == header.calibration


HOLDER = """
import sys
from pathlib import Path
from lookcloser.core.storage.locks import only_one
with only_one(Path(sys.argv[1]), "another add"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_at_once_are_refused(squares, options, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **options)
    shutil.copytree(squares / "train" / "red", tmp_path / "more" / "crimson")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LookcloserError, match="is at work in it"):
            add(tmp_path / "run", tmp_path / "more")
        assert add(tmp_path / "run", tmp_path / "more", out=tmp_path / "new.safetensors").new
        other.stdin.close()
    assert add(tmp_path / "run", tmp_path / "more").new == ("crimson",)


def test_a_run_with_added_images_is_not_solved_again_without_them(squares, options, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **options)
    shutil.copytree(squares / "train" / "red", tmp_path / "more" / "crimson")
    add(tmp_path / "run", tmp_path / "more")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(LookcloserError, match="images were added to it since"):
        run_training(resume=tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
