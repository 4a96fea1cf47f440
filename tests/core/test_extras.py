"""Packages that only some need."""

from __future__ import annotations

import json
import sys

import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.core.extras import needed


def test_what_is_installed_is_imported() -> None:
    assert needed("json", "a test") is json
    assert needed("importlib.metadata", "a test").__name__ == "importlib.metadata"


@pytest.mark.parametrize(("module", "package"), [("ray", "ray"), ("ray.data.block", "ray")])
def test_what_is_missing_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not there
    with pytest.raises(LookcloserError) as raised:
        needed(module, "--ray", extra="cluster")
    assert str(raised.value) == (
        f"--ray needs {package}, which is not installed. "
        "Install it: `pip install 'lookcloser[cluster]'`"
    )
    assert isinstance(raised.value.__cause__, ImportError)
    with pytest.raises(LookcloserError, match=r"lookcloser\[scale\]"):
        needed(module, "--ray")
