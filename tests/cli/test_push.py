"""push: what it asks of the recognizer, and what it says; tests/hub has the sending."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lookcloser.recognizer.pushing import Pushed

from .conftest import Program


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What `Recognizer.push` was called with; ``shown`` is the image of its card."""
    (tmp_path / "run").mkdir()
    asked: dict[str, Any] = {"shown": "robin.jpg"}

    def push(repository: str, *, progress: Any, **options: Any) -> Pushed:
        progress(1, 1)
        asked.update(options, repository=repository)
        files = ("README.md", "model.safetensors")
        return Pushed("https://hub/me/birds/commit/1", "# Birds", files, "2 images", asked["shown"])

    monkeypatch.setattr("lookcloser.recognizer.load_run", lambda _run: SimpleNamespace(push=push))
    return asked


def test_the_address_is_the_only_thing_on_stdout(program: Program, asked: dict[str, Any]) -> None:
    done = program("push", "run", "me/birds", "--license", "mit", "--split", "val", "--data", "d")
    assert (done.code, done.out) == (0, "https://hub/me/birds/commit/1\n")
    assert done.err.splitlines()[:2] == [
        "Scores of 2 images",
        "The card shows robin.jpg, for all to see",
    ]
    assert done.next == "lookcloser predict hub:me/birds photos/ --save evidence/"
    wanted = {"repository": "me/birds", "license": "mit", "split": "val", "data": "d",
              "image": None, "private": False, "dry_run": False, "out": None}  # fmt: skip
    assert {name: asked[name] for name in wanted} == wanted


def test_what_is_private_is_not_said_to_be_for_all(program: Program, asked: dict[str, Any]) -> None:
    done = program("push", "run", "me/birds", "--private", "--image", "wren.jpg")
    assert "The card shows robin.jpg\n" in done.err
    assert (asked["private"], asked["image"]) == (True, Path("wren.jpg"))


def test_a_card_without_an_image(program: Program, asked: dict[str, Any]) -> None:
    asked["shown"] = None
    done = program("push", "run", "me/birds", "--no-image")
    assert "The card shows" not in done.err
    assert asked["image"] is False


def test_a_dry_run_prints_the_card_and_what_would_be_sent(
    program: Program, asked: dict[str, Any]
) -> None:
    done = program("push", "run", "me/birds", "--dry-run", "--out", "card")
    assert (done.code, done.out) == (0, "# Birds\n")
    assert "Would send README.md, model.safetensors to me/birds" in done.err
    assert done.next == "lookcloser push run me/birds"
    assert (asked["dry_run"], asked["out"]) == (True, Path("card"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "birds"], 2, "birds: not the name of a model on the hub. Allowed: OWNER/NAME"),
        (["run", "a/b/c"], 2, "a/b/c: not the name of a model on the hub."),
        (["run", "me/../x"], 2, "not the name of a model on the hub."),
        (["run", "me/x", "--image", "a.jpg", "--no-image"], 2, "Give one of them."),
        (["rnu", "me/x"], 1, "rnu: no such run or model. Did you mean 'run'?"),
        (["run"], 2, "OWNER/NAME"),
    ],
)
def test_wrong_words_load_no_model(
    program: Program, asked: dict[str, Any], words: list[str], code: int, said: str
) -> None:
    done = program("push", *words)
    assert (done.code, done.out) == (code, "")
    assert said in done.said
    assert "repository" not in asked
