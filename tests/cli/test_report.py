"""report: what comes after it, whatever the task."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lookcloser.auditing.run import FEWEST
from lookcloser.core.results.scores import Score

from .conftest import Program


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What an evaluation gives: the task and the skipped images can be set."""
    (tmp_path / "run").mkdir()
    found: dict[str, Any] = {"task": "classification", "skipped": [], "counts": (FEWEST, FEWEST)}

    def report(catalog: Any, split: str, **options: Any) -> Any:
        found["asked"] = {"split": split, **options}
        prediction = SimpleNamespace(path=Path("a b.png"))
        evaluation = SimpleNamespace(
            task=found["task"],
            split=split,
            settings={"images": "2 of test"},
            scores=[
                Score("top1", 0.75, (0.5, 1.0), higher_is_better=True),
                Score("nll", 0.5, higher_is_better=False, is_share=False),
            ],
            images=SimpleNamespace(correct=[True, False]),
            skipped=found["skipped"],
            per_class={str(at): {"count": number} for at, number in enumerate(found["counts"])},
            answers=[SimpleNamespace(prediction=prediction)],
        )
        return Path("r\n.html"), evaluation

    def load_run(run: str, **options: Any) -> Any:
        catalog = SimpleNamespace(scored="test", made=())
        return SimpleNamespace(catalog=lambda *_a, **_n: catalog, report=report)

    monkeypatch.setattr("lookcloser.recognizer.load_run", load_run)
    return found


@pytest.mark.parametrize(
    ("task", "comes"),
    [
        ("classification", "audit run 'my data' --split test --columns image=x"),
        ("multilabel", "annotate run 'my data' --split test --columns image=x"),
        ("captioning", "predict run 'a b.png' --save evidence/"),
    ],
)
def test_what_comes_next_depends_on_the_task(
    program: Program, found: dict[str, Any], task: str, comes: str
) -> None:
    found["task"] = task
    done = program("report", "run", "my data", "--columns", "image=x")
    assert (done.code, done.out) == (0, "r\\x0a.html\n")
    assert "2 images; open the page in a browser" in done.err
    assert "images: 2 of test" in done.err
    assert "Top-1 accuracy: 75.0% (50.0% to 100.0%)\n" in done.err
    assert "nll" not in done.err, "the page has all of them"
    assert done.next == f"lookcloser {comes}"


@pytest.mark.parametrize(
    ("counts", "verb"),
    [((FEWEST, FEWEST, 0), "audit"), ((FEWEST, FEWEST - 1), "annotate"), ((99,), "annotate")],
)
def test_an_audit_comes_next_where_there_is_enough_for_one(
    program: Program, found: dict[str, Any], counts: tuple[int, ...], verb: str
) -> None:
    """It compares two classes at least."""
    found["counts"] = counts
    assert program("report", "run", "data").next == f"lookcloser {verb} run data --split test"


@pytest.mark.parametrize(("unread", "said"), [(1, "1 image"), (2, "2 images")])
def test_images_that_cannot_be_read_end_with_three(
    program: Program, found: dict[str, Any], unread: int, said: str
) -> None:
    found["skipped"] = [("a.png", "broken")] * unread
    done = program("report", "run", "data")
    assert done.code == 3
    assert f"{said} could not be read; the page lists them" in done.err
    assert done.next.startswith("lookcloser audit ")


def test_the_report_gets_what_was_asked_for(program: Program, found: dict[str, Any]) -> None:
    program("report", "run", "data", "--audit", "--threshold-from", "few:3", "--split", "val")
    asked = {key: found["asked"][key] for key in ("split", "audited", "threshold_from", "out")}
    assert asked == {"split": "val", "audited": True, "threshold_from": "few:3", "out": None}


def test_a_wrong_choice_of_thresholds_is_said_before_the_model_is_loaded(
    program: Program, found: dict[str, Any]
) -> None:
    done = program("report", "run", "data", "--threshold-from", "few:0")
    assert done.code == 2
    assert "few:0: unknown place to choose the thresholds" in done.said
    assert "asked" not in found
