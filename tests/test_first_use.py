"""Names that packages import when they are first used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import lookcloser
from lookcloser.first_use import on_first_use

PACKAGES = [lookcloser, lookcloser.metrics, lookcloser.models, lookcloser.runtime]


def test_a_name_is_imported_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lazy_room"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "inside.py").write_text("value = 3\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    find = on_first_use("lazy_room", {"value": "inside", "gone": "inside"})
    assert "lazy_room.inside" not in sys.modules
    assert find("value") == 3
    assert "lazy_room.inside" in sys.modules
    with pytest.raises(AttributeError, match="'gone'"):
        find("gone")
    with pytest.raises(AttributeError, match="module 'lazy_room' has no attribute 'other'"):
        find("other")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_listed_name_is_there_and_no_other(package: object) -> None:
    assert isinstance(package, type(sys))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing
