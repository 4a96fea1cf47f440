"""info: what a bug report needs, and no more."""

from __future__ import annotations

import json
import platform

import pytest

from lookcloser.cli import info
from lookcloser.version import __version__

from .conftest import Program


def test_lines_and_json_say_the_same(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    found = json.loads(program("info", "--json").out)
    lines = program("info").out.splitlines()
    assert lines == [f"{name}: {value}" for name, value in found.items()]
    assert list(found)[:3] == ["lookcloser", "python", "platform"]
    assert (found["lookcloser"], found["python"]) == (__version__, platform.python_version())
    assert found["thread_variables"]["OMP_NUM_THREADS"] == "1"
    assert "MKL_NUM_THREADS" not in found["thread_variables"]
    assert found["cpu_cores"] >= 1
    assert isinstance(found["gpus"], list)


def test_what_is_not_installed_is_said_where_it_is_needed(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(info, "PACKAGES", ("numpy", "not-a-package-of-anybody"))
    monkeypatch.setattr(info, "OPTIONAL", ("not-an-extra-of-anybody", "pillow"))
    found = json.loads(program("info", "--json").out)
    assert found["not-a-package-of-anybody"] == "not installed"
    assert "not-an-extra-of-anybody" not in found
    assert found["numpy"][0].isdigit()
    assert found["pillow"][0].isdigit()
