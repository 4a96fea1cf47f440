"""explain: one network, one image, and none of what was given left out in silence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import Region
from lookcloser.core.drawing import save_image

from .conftest import Program


def region(label: str = "red", **more: Any) -> Region:
    return Region("map", label, 0.75, (1, 1, 4, 4), np.ones((2, 2), np.float32), **more)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the recognizer was asked; ``views`` are what it finds."""
    (tmp_path / "run").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    asked: dict[str, Any] = {"views": {"cam": region()}}

    def explain(image: str, views: Any, *, target: Any) -> dict[str, Region]:
        asked.update(image=image, asked=views, target=target)
        return asked["views"]  # type: ignore[no-any-return]

    def explain_labels(image: str, views: Any) -> dict[str, tuple[Region, ...]]:
        asked.update(image=image, asked=views)
        return {"cam": (region("red"), region("blue\x1b[1m"))}

    def load_run(run: str, **options: Any) -> Any:
        asked.update(run=run, **options)
        return SimpleNamespace(explain=explain, explain_labels=explain_labels)

    monkeypatch.setattr("lookcloser.recognizer.load_run", load_run)
    return asked


@pytest.mark.parametrize(
    ("words", "run", "image"),
    [
        (["run", "a.png"], "run", "a.png"),
        (["run", "--image", "a.png"], "run", "a.png"),
        (["--model", "timm:x", "--image", "a.png"], "timm:x", "a.png"),
        (["a.png", "--model", "timm:x"], "timm:x", "a.png"),
        (["timm:x", "a.png"], "timm:x", "a.png"),
    ],
)
def test_the_network_and_the_image_can_be_given_in_several_ways(
    program: Program, asked: dict[str, Any], words: list[str], run: str, image: str
) -> None:
    done = program("explain", *words)
    assert (done.code, done.out) == (0, "explanation.png\n")
    assert (asked["run"], asked["image"], asked["asked"]) == (run, image, None)
    assert "red 75.0% by cam" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give a run and an image, or --model timm:NAME and --image FILE"),
        (["run"], "give a run and an image"),
        (["--model", "timm:x"], "give a run and an image"),
        (["--image", "a.png"], "give a run and an image"),
        (["run", "a.png", "--image", "b.png"], "give a run and an image"),
        (["run", "a.png", "--model", "timm:x"], "give a run and an image"),
        (["run", "--model", "timm:x", "--image", "a.png"], "give a run and an image"),
        (["run", "a.png", "--each-label", "--target", "red"], "leave out --target"),
        (["run", "a.png", "--each-label", "--each-view", "e"], "leave out --each-view"),
        (["run", "a.png", "--save", "x.txt"], "x.txt: no format for images has this ending."),
        (["run", "a.png", "--model-kwargs", "x"], "--model-kwargs x: not a pair."),
        (["run", "a.png", "--view", "cam,camm"], "camm: unknown view. Close: cam"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    program: Program, asked: dict[str, Any], words: list[str], said: str
) -> None:
    done = program("explain", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.said
    assert "run" not in asked, "nothing was loaded for it"


def test_weights_and_arguments_are_for_stock_networks(program: Program, run_folder: Path) -> None:
    """A run has its own, and they would be left out."""
    Image.new("RGB", (8, 8)).save("a.png")
    for verb in (["explain", run_folder, "a.png"], ["imagine", run_folder, "red"]):
        done = program(*verb, "--weights", "none")
        assert done.code == 2
        assert "--weights none: only for timm:NAME" in done.said
    done = program("explain", run_folder, "a.png", "--model-kwargs", "pad_type=same")
    assert done.code == 2
    assert "--model-kwargs {'pad_type': 'same'}: only for timm:NAME" in done.said


def test_options_reach_the_network(program: Program, asked: dict[str, Any]) -> None:
    words = ["--weights", "none", "--model-kwargs", "a=1e-3", "--model-kwargs", "b=[1, 2]"]
    done = program("explain", "timm:x", "a.png", *words, "--target", "red", "--device", "cpu")
    assert done.code == 0, done.err
    assert asked["model_kwargs"] == {"a": 0.001, "b": [1, 2]}
    assert (asked["weights"], asked["device"], asked["target"]) == ("none", "cpu", "red")
    assert "the network knows nothing" in done.err
    assert done.next == "lookcloser train DATA --backbone x"


def test_each_view_is_a_file_of_its_own_too(program: Program, asked: dict[str, Any]) -> None:
    asked["views"] = {"cam": region(), "random map 4 × 4": region(), "../../Grad": region()}
    done = program("explain", "run", "a.png", "--each-view", "views", "--save", "all.png")
    assert (done.code, done.out) == (0, "all.png\n")
    names = {path.name for path in Path("views").iterdir()}
    assert names == {"cam.png", "random-map-4-4.png", "rad.png"}
    assert done.next == "lookcloser predict run a.png --save evidence/", "not the whole folder"


def test_every_label_is_named(program: Program, asked: dict[str, Any]) -> None:
    done = program("explain", "run", "a.png", "--each-label", "--view", "cam")
    assert (done.code, done.out) == (0, "explanation.png\n")
    assert "red 75.0%, blue\\x1b[1m 75.0% by cam" in done.err


def test_the_way_a_box_would_move_is_said_in_words(program: Program, asked: dict[str, Any]) -> None:
    asked["views"] = {"derivative": region(), "of the score": region(move=(0.6, -0.8, 0.0))}
    done = program("explain", "run", "a.png")
    assert "of the score: t_x +0.60 (right), t_y -0.80 (up), t_l +0.00\n" in done.err
    assert "derivative: " not in done.err


@pytest.mark.parametrize("verb", [["explain", "run", "a.png"], ["imagine", "run", "red"]])
def test_nothing_of_somebody_else_is_written_over(
    program: Program, asked: dict[str, Any], verb: list[str]
) -> None:
    before = Path("a.png").read_bytes()
    done = program(*verb, "--save", "a.png")
    assert done.code == 1
    assert (
        "a.png: there is a file that lookcloser did not make. Choose another name, or move it away."
        in done.said
    )
    assert Path("a.png").read_bytes() == before
    assert "run" not in asked


@pytest.mark.parametrize(
    ("there", "written"), [("ours", "explanation.png"), ("mine", "explanation_2.png")]
)
def test_without_a_name_the_next_free_one_is_taken(
    program: Program, asked: dict[str, Any], there: str, written: str
) -> None:
    image = Image.new("RGB", (4, 4))
    save_image(image, "explanation.png") if there == "ours" else image.save("explanation.png")
    assert program("explain", "run", "a.png").out == f"{written}\n"
