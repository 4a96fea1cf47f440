"""What is refused before any library is loaded, and how weights are named in a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.training.asked import check_new, check_resumed
from lookcloser.training.folder import read_config, write_config
from lookcloser.training.options import make_options


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder and the home: with data, a file of weights, a run, and a link to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for folder in ("birds", "runs/a", "used", "elsewhere", "cache/blobs", "runs/c"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "runs" / "c" / "config.yaml").touch()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    (tmp_path / "w.safetensors").write_bytes(b"")
    (tmp_path / "cache" / "blobs" / "0123abcd").write_bytes(b"")
    (tmp_path / "cache" / "w.safetensors").symlink_to(Path("blobs") / "0123abcd")
    (tmp_path / "runs" / "latest").symlink_to("a")
    return tmp_path


def test_no_torch_is_loaded() -> None:
    program = (
        "import sys\n"
        "from lookcloser.training import asked, folder\n"
        "from lookcloser.training.callbacks import record\n"
        "assert not {'torch', 'lightning', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("data", "out", "options", "message"),
    [
        (None, None, {}, "No data given. Name a folder or table"),
        (None, None, {"epoch": 3}, "No data given"),
        ("birds", None, {"epoch": 3}, "epoch: unknown option of train. Close: epochs"),
        ("brids", None, {"epochs": 0}, "epochs 0: not possible"),
        ("brids", None, {}, "brids: no such file or folder. Did you mean 'birds'"),
        ("https://example.org/birds.zip", None, {}, "URLs are not read"),
        ("birds", None, {"weights": "nowhere"}, "--weights nowhere: no such file or run. Allowed"),
        ("birds", "used", {}, "used: exists already and is not empty. Choose another --out.$"),
        ("birds", "runs/c", {}, "runs/c: exists already and is not empty.*--resume runs/c"),
        ("birds", "used/notes.txt", {}, "used/notes.txt: exists already and is not a folder."),
        ("birds", "~/used", {}, "used: exists already"),
        ("birds", "w.safetensors", {}, "w.safetensors: exists already"),
    ],
)
def test_what_cannot_be_is_named(
    data: str | None, out: str | None, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(LookcloserError, match=message):
        check_new(data, out, options)


def test_a_fix_can_be_pasted_into_a_shell(place: Path) -> None:
    folder = place / "my run; rm x"
    folder.mkdir()
    (folder / "config.yaml").touch()
    with pytest.raises(LookcloserError, match="`lookcloser train --resume '.*my run; rm x'`"):
        check_new("birds", folder, {})


@pytest.mark.parametrize("data", ["birds", "~/birds", Path("birds")])
@pytest.mark.parametrize("out", [None, "new", "~/runs/b", "elsewhere"])
def test_what_is_there_is_taken_as_it_was_given(data: str | Path, out: str | None) -> None:
    assert check_new(data, out, {"epochs": 3}) == (data, make_options(epochs=3))
    assert not Path("new").exists(), "nothing is made yet"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("w.safetensors", "w.safetensors"),
        ("~/w.safetensors", "w.safetensors"),
        ("elsewhere/../w.safetensors", "w.safetensors"),
        ("runs/a", "runs/a"),
        ("runs/latest", "runs/a"),  # which points at the new run soon
        ("cache/w.safetensors", "cache/w.safetensors"),  # and not at a file without a name
    ],
)
def test_weights_are_named_for_every_folder(place: Path, given: str, kept: str) -> None:
    _, options = check_new("birds", None, {"weights": given})
    assert options.weights == str(place.resolve() / kept)


@pytest.mark.parametrize("weights", ["pretrained", "none"])
def test_weights_that_are_no_file_stay_words(weights: str) -> None:
    Path(weights).touch()
    assert check_new("birds", None, {"weights": weights})[1].weights == weights


def test_a_run_is_resumed_in_any_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, options = check_new("birds", None, {"weights": "w.safetensors"})
    write_config(place / "runs" / "a", data, options, "")
    monkeypatch.chdir(place / "elsewhere")
    check_resumed("~/runs/a", data=None, out=None, options={})
    data, options = read_config(Path("../runs/a"))
    assert Path(data).is_dir()
    assert Path(options.weights).is_file()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"data": "birds"}, "Leave out DATA"),
        ({"out": "b"}, "Leave out --out"),
        ({"options": {"batch_size": 2, "lr": 0.1, "epochs": 3}}, "Leave out --batch-size, --lr"),
        ({"data": "birds", "out": "b", "options": {"seed": 1}}, "Leave out DATA, --out, --seed"),
    ],
)
def test_a_resumed_run_keeps_what_it_was_given(given: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=rf"a resumed run keeps its data.*{named}\.$"):
        check_resumed("runs/a", **{"data": None, "out": None, "options": {}, **given})


def test_a_run_to_resume_is_there_with_its_data(place: Path) -> None:
    nothing: dict[str, Any] = {"data": None, "out": None, "options": {"epochs": 9}}
    with pytest.raises(LookcloserError, match="runs/b: no such run"):
        check_resumed("runs/b", **nothing)
    with pytest.raises(LookcloserError, match=r"no readable config\.yaml in it"):
        check_resumed("runs/a", **nothing)
    write_config(place / "runs" / "a", "birds", make_options(), "")
    check_resumed("runs/a", **nothing)
    (place / "birds").rename(place / "birbs")
    with pytest.raises(LookcloserError, match=r"birds: no such .* Did you mean '.*birbs'"):
        check_resumed("runs/a", **nothing)
