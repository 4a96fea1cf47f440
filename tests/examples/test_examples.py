"""The examples run as they are written."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(warm_python, tmp_path):
    """Run an example in an empty folder; returns what it printed."""

    def example(name, *arguments):
        done = subprocess.run(
            [warm_python, "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
            cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return example


def test_train_and_look(run, tmp_path):
    said = run("01_train_and_look.py", "--quick", "--folder", tmp_path / "out")
    assert "'top1'" in said
    with Image.open(tmp_path / "out" / "evidence.png") as picture:
        assert picture.width > 600


def test_views_of_any_network(run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    run("02_views_of_any_network.py", "a.png", "--model", "resnet18")
    with Image.open(tmp_path / "views.png") as picture:
        assert picture.width > 4 * 300


def test_images_of_a_class(run, tmp_path):
    said = run("07_images_of_a_class.py", "--quick", "--folder", tmp_path / "made")
    assert "of 2 flipped" in said
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == ["class-0.png", "class-7.png", "fooling-0.png", "fooling-7.png"]
    with Image.open(tmp_path / "made" / "class-7.png") as image:
        assert image.size == (64, 64)


def test_score_maps(run):
    said = run("03_score_maps.py").splitlines()
    assert said[0].startswith("published protocol, V2")
    assert len(said) == 5


def test_feedback(run, tmp_path):
    few = ("--images", 64, "--epochs", 1, "--seeds", 0)
    said = run("04_feedback.py", *few).splitlines()
    assert [line.split(" top-1")[0].strip() for line in said[:4]] == [
        "attention, noise 0",
        "control, noise 0",
        "attention, noise 127.5",
        "control, noise 127.5",
    ]
    with Image.open(tmp_path / "feedback.png") as picture:
        assert picture.width > 400


def test_sequence_shapes(run):
    said = run("05_sequence_shapes.py").splitlines()
    shapes = ["one-to-many", "many-to-one", "many-to-many", "per frame"]
    assert [line.split(",")[0] for line in said] == shapes
    assert said[0].endswith("a red bird; a blue car; a bird; car")


def test_tags_and_captions(run, tmp_path):
    out = tmp_path / "out"
    said = run("06_tags_and_captions.py", "--quick", "--folder", out)
    assert "'exact'" in said
    assert "'exact caption'" in said
    for name in ("tags.png", "labels.png", "caption.png"):
        with Image.open(out / name) as picture:
            assert picture.width > 300


def test_every_example_is_run_here():
    here = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in here, path.name


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_numbered_and_say_how_to_run_them(path):
    assert path.name[:3].rstrip("_").isdigit()
    assert f"python examples/{path.name}" in path.read_text(encoding="utf-8")
