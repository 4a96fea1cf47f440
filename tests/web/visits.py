"""What tests do with a page, whatever browser shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

ANSWERED = """document.querySelectorAll(".past").length
  && [...document.querySelectorAll(".past-answer")].every((e) => e.textContent !== "waiting")"""
TROUBLE = """[...document.querySelectorAll(".trouble")].filter((e) => !e.hidden)
  .map((e) => e.textContent).join()"""
# What "Save all answers" would write, without writing it.
SAVED = """(() => {
  let saved = null;
  window.asJson = (value) => { saved = value; };
  window.download = () => {};
  document.querySelector("#save-visit").click();
  return saved;
})()"""


class Visitor(Protocol):
    """A page in a browser."""

    def value(self, script: str) -> Any:
        """The value of an expression in the page, or of the promise that it is."""

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in the page is true."""

    def give_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in a file input."""


def give(browser: Visitor, *paths: Path) -> str:
    """Answer files; returns what the page complains of."""
    browser.give_files("#files", paths)
    browser.wait_for(ANSWERED)
    return str(browser.value(TROUBLE))


def choose(browser: Visitor, name: str, value: str) -> None:
    """Give a field of the page a value, as a person does."""
    browser.value(
        f"(() => {{ const field = document.querySelector('[name={name}]');"
        f"field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def answers(browser: Visitor) -> dict[str, dict[str, Any]]:
    """What the page has answered, by the name of the file."""
    return {row["image"]: row["prediction"] for row in browser.value(SAVED)}


def require_same(answer: dict[str, Any], wanted: dict[str, Any], heat: float = 5e-3) -> None:
    """Fail where an answer of the page is not that of Python, up to rounding.

    Args:
        answer: Of the page.
        wanted: Of Python.
        heat: How far their heatmaps may be apart.
    """
    assert answer["size"] == wanted["size"]
    assert answer["caption"] == wanted["caption"]
    assert [label["name"] for label in answer["labels"]] == [
        label["name"] for label in wanted["labels"]
    ]
    for one, other in zip(answer["labels"], wanted["labels"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
    for one, other in zip(answer["regions"], wanted["regions"], strict=True):
        assert (one["kind"], one["label"], one["step"]) == (
            other["kind"],
            other["label"],
            other["step"],
        )
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
        assert (one["box"] is None) == (other["box"] is None)
        if one["box"] is not None:
            assert one["box"] == pytest.approx(other["box"], abs=0.5)
        assert (one["heatmap"] is None) == (other["heatmap"] is None)
        if one["heatmap"] is not None:
            np.testing.assert_allclose(one["heatmap"], other["heatmap"], atol=heat)
