"""What is wrong with words, data and runs is said with the next step."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Program

WRONG = {
    "missing folder": (["train", "squars"], 1, "no such file or folder. Did you mean 'squares'?"),
    "empty folder": (["train", "empty"], 1, "empty"),
    "one class only": (["train", "one"], 1, "one class"),
    "a class with one image": (["train", "single"], 1, "lonely"),
    "no label column": (["train", "nolabel.csv"], 1, "label"),
    "unknown method": (["train", "squares", "--method", "racnnn"], 2, "racnnn: unknown method"),
    "unknown backbone": (
        ["train", "squares", "--backbone", "resnt18", "--weights", "none"], 2, "Close: resnet18",
    ),
    "unknown verb": (["trian", "squares"], 2, "train"),
    "unknown flag": (["train", "squares", "--epoch", "3"], 2, "--epochs"),
    "not a number": (["train", "squares", "--epochs", "many"], 2, "--epochs"),
    "no data": (["train"], 2, "No data given"),
    "missing run": (["predict", "runz", "squares"], 1, "no such run"),
    "a folder that is no run": (["predict", "squares", "squares"], 1, "no model.safetensors"),
    "corrupt model": (["predict", "corrupt.safetensors", "squares"], 1, "not a readable"),
    "a URL": (["predict", "RUN", "https://example.org/a.jpg"], 1, "URLs are not read"),
    "unknown boxes": (
        ["evaluate", "RUN", "squares", "--threshold-from", "few:no"], 2, "none (no boxes), few:N",
    ),
    "more boxes than there are": (
        ["report", "RUN", "squares", "--threshold-from", "few:99"], 1, "few:1 … few:12",
    ),
    "unknown split": (["evaluate", "RUN", "squares", "--split", "tset"], 2, "tset"),
    "unknown view": (
        ["explain", "RUN", "squares/test/red/0.png", "--view", "camm"], 2, "Close: cam",
    ),
    "a used folder": (["train", "squares", "--out", "RUN"], 1, "--resume"),
}  # fmt: skip


@pytest.fixture(scope="module")
def wrongs(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that can be wrong with data."""
    place = tmp_path_factory.mktemp("wrongs")
    (place / "squares").symlink_to(squares)
    (place / "empty").mkdir()
    red = squares / "train" / "red"
    shutil.copytree(red, place / "one" / "red")
    shutil.copytree(red, place / "single" / "red")
    (place / "single" / "lonely").mkdir()
    shutil.copy(red / "0.png", place / "single" / "lonely")
    (place / "nolabel.csv").write_text("image,klass\nsquares/train/red/0.png,red\n")
    (place / "corrupt.safetensors").write_bytes(b"\x00" * 100)
    return place


@pytest.mark.parametrize(("words", "code", "message"), WRONG.values(), ids=WRONG)
def test_it_is_said_with_the_next_step(
    program: Program,
    run_folder: Path,
    wrongs: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(wrongs)
    done = program(*(run_folder if word == "RUN" else word for word in words))
    assert done.code == code, done.said
    assert message in done.said
    assert "Traceback" not in done.err
    assert not (wrongs / "runs").exists(), "a failed run leaves no folder"
