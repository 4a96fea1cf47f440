"""The forms of export: listed without torch, each with a function that writes it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from lookcloser.core.errors import UsageError
from lookcloser.export.check import Differences
from lookcloser.recognizer.exporting import ExportResult, export_run
from lookcloser.recognizer.targets import TARGETS, Target

ARGUMENTS = ["recognizer", "out", "int8", "calibrate", "ort"]


def test_they_are_listed_without_torch() -> None:
    program = (
        "import sys, lookcloser.recognizer.targets as t\n"
        "assert list(t.TARGETS) == ['onnx', 'web']\n"
        "heavy = {'torch', 'numpy', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", TARGETS)
def test_each_has_a_function_that_takes_what_export_takes(name: str) -> None:
    assert list(inspect.signature(TARGETS[name].load()).parameters) == ARGUMENTS
    assert TARGETS[name].summary


def test_the_function_gets_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="export asks for its extra first")
    asked: list[object] = []

    def write(*given: object) -> ExportResult:
        asked.append(given)
        return ExportResult(Path("made"), Differences(0, 0.0), "no images")

    monkeypatch.setitem(TARGETS, "own", Target("mine", "somewhere:write"))
    monkeypatch.setattr(Target, "load", lambda _: write)
    how = {"int8": True, "calibrate": "photos", "ort": None}
    made = export_run("a recognizer", "out", form="own", **how)  # type: ignore[arg-type]  # handed on
    assert made.path == Path("made")
    assert asked == [("a recognizer", "out", True, "photos", None)]


def test_an_unknown_form_names_those_there_are() -> None:
    how = {"int8": False, "calibrate": None, "ort": None}
    with pytest.raises(UsageError, match="onxn: unknown format. Close: onnx"):
        export_run(None, None, form="onxn", **how)  # type: ignore[arg-type]  # it is not read
