"""Results of benchmarks on disk: a run changes what it has measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ..programs import load_program

ROOT = Path(__file__).parents[2]
OLD = {"cpu": "old", "cores": 2}
NEW = {"cpu": "new", "cores": 4}
PAGE: dict[str, Any] = {"about": {"title": "Speed"}, "table": [{"promise": "≤ 2 s"}]}


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    return load_program("benchmarks", "_harness")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_first_run_is_written_with_its_machine(harness: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results" / "one.json"
    harness.report(path, OLD, {"speed": [{"s": 1.5}]})
    assert _read(path) == {"machine": OLD, "speed": [{"s": 1.5}]}


def test_tables_that_were_not_run_stay_with_their_machine(
    harness: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(PAGE), encoding="utf-8")
    harness.report(path, OLD, {"speed": [{"s": 1.5}], "memory": [{"MB": 7}]})
    harness.report(path, NEW, {"speed": [{"s": 0.5}]})
    found = _read(path)
    assert found == {
        **PAGE,
        "machine": NEW,
        "machines": {"memory": OLD},
        "memory": [{"MB": 7}],
        "speed": [{"s": 0.5}],
    }
    harness.report(path, NEW, {"costs": [{"ms": 3}]})
    later = _read(path)
    assert {name: later[name] for name in ("speed", "memory")} == {
        "speed": [{"s": 0.5}],
        "memory": [{"MB": 7}],
    }
    assert later["machines"] == {"memory": OLD, "speed": NEW}


def test_a_table_that_is_run_again_is_of_the_new_machine(
    harness: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "one.json"
    harness.report(path, OLD, {"speed": [{"s": 1.5}]})
    harness.report(path, NEW, {"memory": [{"MB": 7}]})
    harness.report(path, NEW, {"speed": [{"s": 0.5}], "memory": [{"MB": 6}]})
    assert _read(path) == {"machine": NEW, "speed": [{"s": 0.5}], "memory": [{"MB": 6}]}
