"""The picture of the rooms, and that no import of this package goes up or in a cycle."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ..programs import load_program

pytest.importorskip("grimp", reason="of the extra dev")
pytest.importorskip("matplotlib", reason="of the extra dev")

ROOT = Path(__file__).parents[2]
CONTRACT = (
    '[tool.importlinter]\n[[tool.importlinter.contracts]]\nlayers = ["top", "one | two", "low"]'
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_program("scripts", "import_graph")


def package(folder: Path, **modules: str) -> Path:
    """A package of this one's name; a module ``low_b`` is b in the room low."""
    (folder / "pyproject.toml").write_text(CONTRACT, encoding="utf-8")
    for name in ("", "top", "one", "two", "low"):
        (folder / "lookcloser" / name).mkdir(parents=True)
        (folder / "lookcloser" / name / "__init__.py").touch()
    for name, imports in modules.items():
        file = folder / "lookcloser" / f"{name.replace('_', '/')}.py"
        file.write_text(f"{imports}\n", encoding="utf-8")
    return folder


@pytest.mark.usefixtures("unloaded")
def test_imports_are_counted_between_rooms(script: ModuleType, tmp_path: Path) -> None:
    rooms = script.read_rooms(
        package(
            tmp_path,
            top_a="import lookcloser.low.a, lookcloser.low.b",
            top_b="import lookcloser.low.a, lookcloser.top.a",
            low_a="",
            low_b="",
        )
    )
    assert rooms.floors == (("top",), ("one", "two"), ("low",))
    assert rooms.imports == {("top", "low"): 3}
    assert (rooms.files["top"], rooms.lines["top"]) == (3, 2)
    assert (rooms.wrong, rooms.cycles) == ([], 0)


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("modules", "wrong", "cycles"),
    [
        ({"low_a": "import lookcloser.top.a", "top_a": ""}, [("low", "top")], 0),
        ({"one_a": "import lookcloser.two.a", "two_a": ""}, [("one", "two")], 0),
        ({"low_a": "import lookcloser.low.b", "low_b": "import lookcloser.low.a"}, [], 1),
        ({"low_a": "def f():\n    import lookcloser.low.b", "low_b": "from . import a"}, [], 1),
    ],
)
def test_what_is_wrong_is_seen(
    script: ModuleType,
    tmp_path: Path,
    modules: dict[str, str],
    wrong: list[tuple[str, str]],
    cycles: int,
) -> None:
    rooms = script.read_rooms(package(tmp_path, **modules))
    assert (rooms.wrong, rooms.cycles) == (wrong, cycles)


@pytest.mark.usefixtures("unloaded")
def test_imports_for_type_checkers_are_none(script: ModuleType, tmp_path: Path) -> None:
    hidden = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lookcloser.top.a"
    rooms = script.read_rooms(package(tmp_path, low_a=hidden, top_a=""))
    assert (rooms.imports, rooms.wrong) == ({}, [])


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a package of this name is looked for in the path."""
    monkeypatch.delitem(sys.modules, "lookcloser", raising=False)


def test_no_import_of_this_package_goes_up_or_in_a_cycle(
    script: ModuleType, tmp_path: Path
) -> None:
    rooms = script.read_rooms(ROOT)
    assert rooms.wrong == []
    assert rooms.cycles == 0
    assert rooms.imports["cli", "recognizer"] > 0

    script.draw({"now": rooms}, tmp_path / "rooms.svg")
    drawn = (tmp_path / "rooms.svg").read_text(encoding="utf-8")
    named = {room for floor in rooms.floors for room in floor}
    assert named <= set(re.findall(r">([a-z_]+)</text>", drawn))
    kept = script.FIGURE.read_text(encoding="utf-8")
    shown = set(re.findall(r">([a-z_]+)</text>", kept)) - {"before", "now"}
    assert shown == named, "run `python scripts/import_graph.py`"
    assert "images/rooms.svg" in (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
