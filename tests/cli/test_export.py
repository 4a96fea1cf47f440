"""export, and its file in place of a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

import lookcloser
from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.export import Differences
from lookcloser.recognizer import Recognizer, exporting
from lookcloser.recognizer.exporting import ExportResult
from lookcloser.runtime.onnx import OnnxRecognizer

from ..web.conftest import make_package
from ..web.networks import write_network

Program = Callable[..., Any]


def test_a_run_becomes_a_file_that_answers_as_it_does(
    program: Program, run_folder: Path, squares: Path, tmp_path: Path, graphs_once: None
) -> None:
    done = program("export", run_folder, "--out", "red.onnx", "--int8")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "red.onnx"
    assert "Largest differences on 16 images of" in done.said
    for row in ("top-1", "map rank correlation", "megabytes", "ms an image"):
        assert row in done.out + done.err
    assert shlex.split(done.next)[1:3] == ["predict", "red.onnx"]

    folder = squares / "test" / "red"
    done = program("predict", "red.onnx", folder, "--json", "--save", "seen")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    (wanted,) = lookcloser.load(run_folder, device="cpu").predict(Path(found[0]["path"]))
    assert found[0]["labels"][0]["name"] == wanted.labels[0].name
    assert found[0]["labels"][0]["score"] == pytest.approx(wanted.labels[0].score, abs=0.1)
    assert len(list((tmp_path / "seen").iterdir())) == len(found)
    assert "Next" not in done.err

    done = program("annotate", "red.onnx", folder, "--format", "csv", "--out", "boxes")
    assert done.code == 0, done.err
    assert list((tmp_path / "boxes").iterdir())

    assert isinstance(lookcloser.load("red.onnx"), OnnxRecognizer)
    for verb in (("explain",), ("evaluate",), ("report",), ("audit",), ("export",)):
        refused = program(*verb, "red.onnx", *([folder] if verb != ("export",) else []))
        assert refused.code == 2, verb
        assert "an exported file, which can only answer and annotate" in refused.said


def test_wrong_usage_is_said_before_the_work(run_folder: Path, tmp_path: Path) -> None:
    recognizer = lookcloser.load(run_folder, device="cpu")
    with pytest.raises(UsageError, match=r"a\.txt: not the name of an ONNX file"):
        recognizer.export(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="--calibrate without --int8"):
        recognizer.export(tmp_path / "a.onnx", calibrate=tmp_path)
    alone = lookcloser.load(recognizer.save(tmp_path / "alone.safetensors"), device="cpu")
    with pytest.raises(UsageError, match="Give --out"):
        alone.export()
    with pytest.raises(LookcloserError, match="--calibrate FOLDER"):
        alone.export(tmp_path / "a.onnx", int8=True)
    assert not list(tmp_path.glob("*.onnx"))


def test_a_run_becomes_a_folder_for_the_web(
    program: Program,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exported(recognizer: Recognizer, path: Path, int8: bool, calibrate: object) -> ExportResult:
        assert not int8
        write_network(path)
        return ExportResult(path, Differences(4, 1e-7), "4 images", size=path.stat().st_size)

    monkeypatch.setattr(exporting, "_export_file", exported)
    words = ("export", run_folder, "--out", "page", "--format", "web")
    done = program(*words, "--ort", make_package(tmp_path))
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "page"
    assert "python -m http.server --directory page" in done.said
    card = json.loads((tmp_path / "page" / "model.json").read_text())
    assert card["name"] == run_folder.name
    assert (tmp_path / "page" / card["runtime"]["wasm"]["url"]).read_bytes() == b"\0asm"

    done = program(*words, "--ort", tmp_path / "page")
    assert done.code == 1
    assert "npm install onnxruntime-web@" in done.said
    assert "--ort cdn" in done.said
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    done = program("export", run_folder, "--out", "mine", "--format", "web", "--ort", "cdn")
    assert done.code == 1
    assert "something else in its place" in done.said
    done = program("export", run_folder, "--format", "webb")
    assert done.code == 2
    assert "Close: web" in done.said
    done = program("export", run_folder, "--ort", "cdn")
    assert done.code == 2
    assert "--ort without --format web" in done.said
