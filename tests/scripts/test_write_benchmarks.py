"""The tables of docs/benchmarks.md are those of benchmarks/results."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ..programs import load_program

ROOT = Path(__file__).parents[2]
ABOUT = {"title": "Speed", "page": "cam.md", "command": "run", "seed": "0", "machine": "mine"}
ROW = {"promise": "≤ 2 s", "measured": "1 s", "held": True, "peer": "3 s"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_program("scripts", "write_benchmarks")


def _results(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.page(page) == page, "run `python scripts/write_benchmarks.py`"


def test_every_page_that_a_table_points_to_is_there(script: ModuleType) -> None:
    for file in script.RESULTS.glob("*.json"):
        page = json.loads(file.read_text(encoding="utf-8")).get("about", {}).get("page")
        assert not page or (ROOT / "docs" / "methods" / page).is_file(), file.name


def test_a_row_takes_what_it_does_not_say_from_its_file(script: ModuleType, tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "held": False, "machine": "yours"}, {"promise": "", "measured": "a | b"}]
    table = script.tables(_results(tmp_path, one={"about": ABOUT, "table": rows}))
    assert table.splitlines() == [
        "## Speed",
        "More: [cam](methods/cam.md). Command `run`; seed 0.",
        "",
        "| promise | measured | held | peer | machine |",
        "|---|---|---|---|---|",
        "| ≤ 2 s | 1 s | yes | 3 s | mine |",
        "| ≤ 2 s | 1 s | **no** | 3 s | yours |",
        "|  | a \\| b |  |  | mine |",
    ]


def test_what_all_rows_share_and_what_none_has_are_no_columns(
    script: ModuleType, tmp_path: Path
) -> None:
    about = {**ABOUT, "page": "", "command": "OMP=1 Run A", "seed": ""}
    rows = [{"promise": "fast", "measured": "1 s"}, {"promise": "small", "measured": "1 MB"}]
    table = script.tables(_results(tmp_path, one={"about": about, "table": rows}))
    assert table.splitlines() == [
        "## Speed",
        "Command `OMP=1 Run A`; machine mine.",
        "",
        "| promise | measured |",
        "|---|---|",
        "| fast | 1 s |",
        "| small | 1 MB |",
    ]


def test_files_of_one_title_share_a_table_and_others_stay_out(
    script: ModuleType, tmp_path: Path
) -> None:
    one = {"about": ABOUT, "table": [ROW]}
    two = {"about": {**ABOUT, "page": ""}, "table": [ROW], "machine": {}}
    table = script.tables(_results(tmp_path, one=one, two=two, raw={"machine": {}, "rows": []}))
    assert table.count("## ") == 1
    assert table.count("| ≤ 2 s |") == 2
    assert table.count("methods/cam.md") == 1


@pytest.mark.parametrize(
    "content",
    [
        {"table": [ROW]},
        {"about": {**ABOUT, "titel": ""}, "table": [ROW]},
        {"about": ABOUT, "table": [{"promise": "≤ 2 s"}]},
        {"about": ABOUT, "table": [{**ROW, "promised": ""}]},
    ],
)
def test_a_field_too_many_or_too_few_is_an_error(
    script: ModuleType, tmp_path: Path, content: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"wrong\.json"):
        script.tables(_results(tmp_path, wrong=content))


def test_what_is_written_by_hand_stays(script: ModuleType, tmp_path: Path) -> None:
    results = _results(tmp_path, one={"about": ABOUT, "table": [ROW]})
    text = f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n"
    new = script.page(text, results)
    assert new.startswith("before\n")
    assert new.endswith(f"{script.END}\nafter\n")
    assert "old" not in new
    assert script.page(new, results) == new


def test_a_benchmark_keeps_the_promises_and_other_tables_of_its_file(tmp_path: Path) -> None:
    harness = load_program("benchmarks", "_harness")
    old = {"about": ABOUT, "table": [ROW], "machine": {"cpu": "y"}, "rows": [1], "times": [2]}
    path = _results(tmp_path, one=old) / "one.json"
    harness.report(path, {"cpu": "x"}, {"times": [{"name": "≤", "s": 1.0}]})
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "about": ABOUT,
        "table": [ROW],
        "machine": {"cpu": "x"},
        "machines": {"rows": {"cpu": "y"}},
        "rows": [1],
        "times": [{"name": "≤", "s": 1.0}],
    }
    new = tmp_path / "new.json"
    harness.report(new, {}, {})
    assert json.loads(new.read_text(encoding="utf-8")) == {"machine": {}}
