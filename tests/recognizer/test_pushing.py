"""What a card says and shows; sending it is in the tests of the hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from lookcloser.core import Label, LookcloserError, Region
from lookcloser.core.errors import UsageError
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Prediction
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.recognizer import Recognizer, pushing

FILES = ("README.md", "evidence.png", "model.safetensors")
NAME = "me/squares"


def made(recognizer: Recognizer, **options: Any) -> pushing.Pushed:
    return recognizer.push(NAME, dry_run=True, **options)


def test_a_dry_run_writes_what_would_be_sent(
    alone: Recognizer, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(pushing, "upload", None)  # which would be called
    told: list[tuple[int, int]] = []
    done = made(alone, data=squares, out="~/card", license="mit",
                progress=lambda *given: told.append(given))  # fmt: skip
    assert (done.url, done.files) == ("", FILES)
    assert sorted(file.name for file in (tmp_path / "card").iterdir()) == sorted(FILES)
    assert (tmp_path / "card" / "README.md").read_text(encoding="utf-8") == done.card
    with safe_open(tmp_path / "card" / "model.safetensors", "np") as file:
        assert str(tmp_path) not in json.dumps(file.metadata())
    assert told[-1] == (18, 18)
    assert done.scored == f"test of {squares}"
    assert done.shown is not None
    assert Path(done.shown).is_relative_to(squares / "test")


def test_a_push_that_fails_leaves_no_files_behind(
    alone: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside those of the system's temporary folder, which is emptied."""
    sent: list[Path] = []

    def fails(folder: Path, _repository: str, *, private: bool) -> str:
        assert private
        sent.append(folder)
        raise LookcloserError("no network")

    monkeypatch.setattr(pushing, "upload", fails)
    with pytest.raises(LookcloserError, match="No network"):
        alone.push(NAME, private=True)
    assert not sent[0].exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "used"}, "used: not an empty folder"),
        ({"out": "file"}, "file: not an empty folder"),
        ({"out": "used", "dry_run": False}, "--out without --dry-run"),
        *(
            ({"license": name}, "not an identifier of a license. Allowed: one of the hub")
            for name in ("", "MIT", "apache 2.0", "-mit", "mit\n", "a" * 51, "мит")
        ),
    ],
)
def test_wrong_usage_is_said_before_the_work(
    alone: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "a").touch()
    (tmp_path / "file").touch()
    monkeypatch.setattr(pushing, "data_of_run", None)  # the work
    with pytest.raises(UsageError, match=message):
        alone.push(NAME, **{"dry_run": True, **options})


def of_splits(squares: Path, *splits: str) -> Catalog:
    catalog = read_data(squares)
    return replace(catalog, samples=tuple(s for s in catalog.samples if s.split in splits))


@pytest.mark.parametrize(
    ("splits", "asked", "scored"),
    [
        (("train", "val", "test"), None, "test"),
        (("train", "val"), None, "val"),
        (("train", "val", "test"), "val", "val"),
        (("train",), "train", "train"),
        (("train",), None, None),  # what was learned from says nothing of what comes
    ],
)
def test_scores_are_of_images_that_were_not_learned_from(
    alone: Recognizer,
    squares: Path,
    splits: Sequence[str],
    asked: str | None,
    scored: str | None,
) -> None:
    done = made(alone, data=of_splits(squares, *splits), split=asked, image=False)
    if scored is None:
        assert done.scored == "images left out of the training, without intervals"
        assert "val_acc" in done.card
        return
    assert done.scored == f"{scored} of {squares}"
    top1 = alone.evaluate(of_splits(squares, scored), scored)["top1"]
    assert f"| top1 | {top1:.4f} |" in done.card


def test_without_data_no_split_can_be_scored(alone: Recognizer) -> None:
    with pytest.raises(UsageError, match="--split val: no data to score. Give --data"):
        made(alone, split="val")


def answer(name: str | None, score: float = 0.5, **given: Any) -> Prediction:
    labels = () if name is None else (Label(name, score, 0),)
    regions = (Region("map", name or "", score, None, np.zeros((2, 2), np.float32)),)
    shown, error = given.get("regions", regions), given.get("error")
    return Prediction("classification", labels, shown, ImageSize(4, 4), error=error)


class Answers:
    """A recognizer whose answers are given."""

    def __init__(self, *answers: Prediction) -> None:
        self.answers = answers

    def predict(self, sources: Sequence[Any]) -> list[Prediction]:
        return [self.answers[int(source[0, 0, 0])] for source in sources]


def shown(*answers: Prediction) -> Prediction | None:
    """Of images of the class "red"."""
    pixels = [np.full((1, 1, 3), number, np.uint8) for number in range(len(answers))]
    samples = [Sample(str(n), p, ("red",), split="test") for n, p in enumerate(pixels)]
    catalog = Catalog(Path(), "", "classification", ("red", "blue"), tuple(samples))
    asked: Any = Answers(*answers)
    return pushing._shown(asked, pushing._Found((), "test", catalog), None)


class TestShown:
    def test_the_surest_right_answer_comes_before_a_surer_wrong_one(self) -> None:
        right, surer = answer("red", 0.4), answer("red", 0.6)
        assert shown(answer("blue", 0.9), right, surer) is surer
        assert shown(answer("blue", 0.9), right) is right

    def test_of_equal_ones_it_is_the_first(self) -> None:
        first = answer("red")
        assert shown(answer("blue"), first, answer("red")) is first

    def test_an_answer_without_a_label_is_better_than_none(self) -> None:
        nothing = answer(None)
        assert shown(nothing) is nothing
        assert shown(nothing, answer("blue", 0.1)) is not nothing

    def test_what_has_no_evidence_or_cannot_be_read_is_not_shown(self) -> None:
        assert shown(answer("red", error="broken"), answer("red", regions=())) is None

    def test_of_many_images_a_few_are_tried_the_last_among_them(self) -> None:
        best = answer("red", 0.9)
        assert shown(*[answer("red", 0.1)] * 99, best) is best

    def test_with_false_or_without_scored_images_there_is_none(self) -> None:
        asked: Any = Answers()
        assert pushing._shown(asked, pushing._Found(()), None) is None
        assert pushing._shown(asked, pushing._Found((), "test"), False) is None


def test_a_picture_in_memory_has_no_path_to_be_named_by(alone: Recognizer) -> None:
    done = made(alone, image=np.zeros((8, 8, 3), np.uint8))
    assert done.shown == "an image"
    assert "evidence.png" in done.card


def test_the_data_is_named_by_its_folder_alone(
    alone: Recognizer, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(squares)
    done = made(alone, data=".", image=False)
    assert squares.name in done.card
    assert str(squares.parent) not in done.card
