"""demo: where it writes, what it says on the way, and how it ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lookcloser.cli import demo
from lookcloser.core.results.scores import Score
from lookcloser.core.results.shifts import Shifts

from .conftest import Program


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the scenes and the training were asked for, which take no time here."""
    asked: dict[str, Any] = {"interrupted": False}
    scores = [Score("top1", 0.5, (0.25, 0.75), higher_is_better=True)]
    answers = [SimpleNamespace(prediction=SimpleNamespace(path=Path("scenes/test/3/a b.png")))]

    def write_scenes(folder: Path, **options: Any) -> Path:
        asked["scenes"] = {"folder": folder, **options}
        return folder

    def run_training(data: Path, **options: Any) -> Any:
        asked["training"] = {"data": data, **options}
        options["out"].mkdir(parents=True)
        return SimpleNamespace(
            interrupted=asked["interrupted"],
            recognizer=SimpleNamespace(report=report),
            data_wait=0.25,
        )

    def report(data: Path, split: str) -> tuple[Path, Any]:
        asked["report"] = data, split
        settings = {"images": "18 of test"}
        return Path("report.html"), SimpleNamespace(
            scores=scores, shifts=Shifts(), settings=settings, answers=answers
        )

    monkeypatch.setattr("lookcloser.data.scenes.write_scenes", write_scenes)
    monkeypatch.setattr("lookcloser.recognizer.run_training", run_training)
    return asked


def test_it_trains_scores_and_says_what_to_open(program: Program, asked: dict[str, Any]) -> None:
    done = program("demo", "--seed", "3")
    assert done.code == 0, done.err
    assert "0.2500 … 0.7500" in done.out
    for step in range(1, 5):
        assert f"{step}/4 " in done.err
    assert "6000 to train, 500 to validate, 600 unseen to test" in done.err
    assert "waiting for data: 25% of the training time" in done.err
    assert asked["training"]["zoom"] == "off", "its trial takes longer than the training"
    assert f"open {Path('report.html').resolve()}" in done.err
    assert done.next == (
        "lookcloser predict runs/demo/run 'scenes/test/3/a b.png' --save runs/demo/evidence"
    )
    scenes, training = asked["scenes"], asked["training"]
    assert (scenes["folder"], scenes["seed"]) == (Path("runs/demo/scenes"), 3)
    assert (scenes["train"], scenes["val"], scenes["test"]) == (6000, 500, 600)
    assert (training["seed"], training["out"]) == (3, Path("runs/demo/run"))
    assert asked["report"] == (scenes["folder"], "test"), "scored on what it has not seen"


def test_a_run_is_never_written_over(program: Program, asked: dict[str, Any]) -> None:
    for name in ("run", "run-2", "run-3"):
        program("demo", "--out", "d")
        assert asked["training"]["out"] == Path("d") / name


def test_interrupted_it_ends_with_130_and_can_be_resumed(
    program: Program, asked: dict[str, Any]
) -> None:
    asked["interrupted"] = True
    done = program("demo", "--out", "my demo")
    assert (done.code, done.out) == (130, "")
    assert done.next == "lookcloser train --resume 'my demo/run'"
    assert "report" not in asked


def test_its_recipe_is_made_of_options_of_the_training() -> None:
    from lookcloser.training.options import make_options

    assert make_options(**demo.RECIPE).epochs == demo.RECIPE["epochs"]
