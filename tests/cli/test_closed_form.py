"""A closed form by its words: train, predict with a coverage, add."""

import json
import shutil

import pytest

RUN = ["--recipe", "closed-form", "--backbone", "test_resnet", "--weights", "none", "--size", 32]


@pytest.fixture
def trained(program, squares):
    done = program("train", squares, *RUN, "--out", "run")
    assert done.code == 0, done.err
    return done


def test_training_says_what_it_did_and_what_comes_next(trained, squares):
    assert "closed form of 48 images" in trained.said
    assert "left out one by one" in trained.said
    assert trained.next == f"lookcloser report run {squares}"


def test_candidates_at_a_coverage(trained, program, squares):
    image = squares / "test" / "red" / "0.png"
    done = program("predict", "run", image, "--coverage", 0.9)
    assert done.code == 0
    assert "; at 90% coverage: " in done.out
    (row,) = json.loads(program("predict", "run", image, "--coverage", 0.9, "--json").out)
    assert row["coverage"] == 0.9
    assert {label["name"] for label in row["candidates"]} <= {"red", "green", "blue"}
    assert "coverage" not in program("predict", "run", image).out


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--coverage", 95), "at most 0.99"), (("--coverage", 0.9, "--sets", "raps"), "Close: aps")],
)
def test_coverages_that_cannot_be(trained, program, squares, words, said):
    done = program("predict", "run", squares / "test" / "red", *words)
    assert done.code == 2
    assert said in done.said


def test_adding_a_class(trained, program, squares, tmp_path):
    shutil.copytree(squares / "train" / "red", tmp_path / "more" / "crimson")
    done = program("add", "run", "more")
    assert done.code == 0, done.err
    assert "16 images added, new: crimson; 64 images in all" in done.said
    assert done.next == "lookcloser predict run more"
    (row,) = json.loads(program("predict", "run", "more/crimson/0.png", "--json").out)
    assert len(row["labels"]) == 4
    for name in ("Crimson", "pink"):
        shutil.copytree(squares / "test" / "red", tmp_path / "more" / "warm" / name)
    shutil.rmtree(tmp_path / "more" / "crimson")
    shutil.copytree(squares / "test" / "blue", tmp_path / "more" / "cold" / "navy")
    shutil.copytree(squares / "test" / "green", tmp_path / "more" / "cold" / "grass")
    done = program("add", "run", "more")
    new = "new: Crimson (in warm), grass (in cold), navy (in cold), pink (in warm); "
    assert new in done.said
    assert "Crimson differs in case only from crimson, which the model knew: it is new" in done.said


def test_adding_to_a_trained_head_says_what_to_do(program, squares):
    program("train", squares, *RUN[2:], "--recipe", "fine-tune", "--epochs", 1, "--out", "tuned")
    done = program("add", "tuned", squares)
    assert done.code == 1
    assert "--recipe closed-form" in done.said
