"""audit: what is shown of many classes, and where."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookcloser.core.results.audit import Audit, AuditedClass, Level

from .conftest import Program


def audited(name: str, suspicion: float, level: Level = "none", *reasons: str) -> AuditedClass:
    names = ("same detail", "place carried", "border carried")
    measures = {key: suspicion / 10**power for power, key in enumerate(names)}
    empty = np.zeros((1, 1))
    return AuditedClass(
        name, 9, suspicion, level, reasons, measures, empty.astype(np.float32),
        empty.astype(bool), np.zeros((1, 1, 3), np.uint8), (),
    )  # fmt: skip


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the audit of a recognizer finds; put classes and skipped images in."""
    (tmp_path / "run").mkdir()
    found: dict[str, Any] = {"classes": [], "skipped": ()}

    def audit_report(catalog: Any, split: str, *, out: Any, **options: Any) -> Any:
        found["asked"] = {"split": split, "out": out, **options}
        classes = tuple(found["classes"])
        return Path("run/a\x1bb.html"), Audit(split, classes, {}, {}, found["skipped"])

    def load_run(run: str, **options: Any) -> Any:
        catalog = SimpleNamespace(scored="val")
        return SimpleNamespace(catalog=lambda *_a, **_n: catalog, audit_report=audit_report)

    monkeypatch.setattr("lookcloser.recognizer.load_run", load_run)
    return found


def test_of_many_classes_the_ten_most_suspicious_are_in_the_table(
    program: Program, found: dict[str, Any]
) -> None:
    found["classes"] = [audited(f"class {n:02d}", 2 - n / 10) for n in range(12)]
    done = program("audit", "run", "data")
    assert done.code == 0, done.err
    assert done.out.startswith("Most suspicious of 12 classes\n")
    rows = [line.split("│")[1:-1] for line in done.out.splitlines() if line.startswith("│")]
    assert [row[0].strip() for row in rows] == [f"class {n:02d}" for n in range(10)]
    assert [cell.strip() for cell in rows[0][1:]] == ["9", "2.00", "2.00", "0.20", "0.02"]
    assert done.out.splitlines()[-1] == "run/a\\x1bb.html"
    assert "No class is flagged" in done.err
    assert "No split 'test' in the data: taking 'val'" in done.err
    assert done.next == "lookcloser report run data --split val"


def test_reasons_are_said_with_what_they_are_about(program: Program, found: dict[str, Any]) -> None:
    found["classes"] = [audited("dog\x1b[1m", 2, "model", "a mark", "a frame"), audited("cat", 0.1)]
    done = program("audit", "run", "data", "--split", "train")
    lines = [line for line in done.err.splitlines() if line.startswith("dog")]
    assert [line.rpartition("): ")[2] for line in lines] == ["a mark", "a frame"]
    assert "\x1b" not in done.out + done.err
    assert "No class is flagged" not in done.err
    assert "No split" not in done.err


def test_json_is_alone_on_stdout(program: Program, found: dict[str, Any]) -> None:
    found["classes"] = [audited("dog", float("nan"))]
    found["skipped"] = (("a.png", "no image"),)
    done = program("audit", "run", "data", "--json")
    assert done.code == 3
    shown = json.loads(done.out)
    assert [one["name"] for one in shown["classes"]] == ["dog"]
    assert shown["classes"][0]["suspicion"] is None
    assert shown["skipped"] == [["a.png", "no image"]]
    assert "skipped: a.png: no image" in done.err
    assert "Open run/a\\x1bb.html in a browser" in done.err


def test_the_audit_gets_what_was_asked_for(program: Program, found: dict[str, Any]) -> None:
    program("audit", "run", "data", "--per-class", "9", "--seed", "7", "--out", "a.html")
    asked = {key: found["asked"][key] for key in ("split", "out", "per_class", "seed")}
    assert asked == {"split": "val", "out": Path("a.html"), "per_class": 9, "seed": 7}


def test_a_page_of_somebody_else_is_refused_before_the_work(
    program: Program, found: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "a.html").write_text("mine")
    done = program("audit", "run", "data", "--out", "a.html")
    assert done.code == 1
    assert "a.html: there is a file that lookcloser did not make" in done.said
    assert "asked" not in found
