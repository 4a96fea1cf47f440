"""What is no run is named with what it most likely is, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lookcloser.core.errors import LookcloserError
from lookcloser.recognizer.loading import load
from lookcloser.recognizer.places import given_place, no_model


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "model.safetensors").touch()
    (tmp_path / "birds" / "wren").mkdir(parents=True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.yaml").touch()
    (tmp_path / "broken" / "tensorboard").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")


def test_the_place_of_a_run_or_a_file() -> None:
    assert given_place("runs/a") == Path("runs/a")
    assert given_place("runs/a/model.safetensors") == Path("runs/a/model.safetensors")
    assert given_place("~/runs") == Path.cwd() / "runs"


@pytest.mark.parametrize("door", [given_place, load])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.jpg", r"a.jpg: an image, not a run or model.*The run comes first, then the images"),
        ("https://x.org/y.onnx", "URLs are not read"),
        ("https://x.org/y.safetensors", "URLs are not read"),
        ("run/a", r"no such run or model. Did you mean 'runs/a'"),
        (7, "int: not a path"),
    ],
)
def test_what_is_no_model_is_named(door: object, path: object, message: str) -> None:
    assert callable(door)
    with pytest.raises(LookcloserError, match=message):
        door(path)


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("runs", "Give one of the runs in it: 'runs/a', 'runs/b'."),
        ("~/runs", "Give one of the runs in it: '~/runs/a', '~/runs/b'."),
        ("birds", "`lookcloser train DATA --out RUN` makes one."),
        ("broken", "`lookcloser train --resume broken`"),
    ],
)
def test_a_folder_without_a_model_says_what_to_give(path: str, fix: str) -> None:
    error = str(no_model(path))
    assert error.startswith(f"{path}: no model.safetensors in this folder. ")
    assert error.endswith(fix)
