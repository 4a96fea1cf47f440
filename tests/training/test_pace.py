"""Estimates of time, and what is said while a recipe looks at its images."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import lookcloser as lc
from lookcloser.training import pace
from lookcloser.training.pace import MEASURED, WORTH_SAYING, Pace, looking, shown_on


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that goes on by so many seconds whenever it is read."""

    def tick(seconds: float) -> None:
        ticks = itertools.count(step=seconds)
        monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: next(ticks)))

    return tick


def console(**options: Any) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=80, color_system=None, **options), text


def test_the_first_ones_do_not_count(ticking: Callable[[float], None]) -> None:
    ticking(MEASURED / 2)
    timed = Pace()
    assert timed.seconds_each(3) is None, "here the clock starts"
    assert timed.seconds_each(3) is None, "nothing more is done"
    assert timed.seconds_each(7) == MEASURED / 4
    assert timed.seconds_each(8) == 1.5 * MEASURED / 5


def test_too_little_time_says_nothing(ticking: Callable[[float], None]) -> None:
    ticking(MEASURED / 3)
    timed = Pace()
    assert [timed.seconds_each(done) for done in (1, 2, 3)] == [None] * 3
    assert timed.seconds_each(4) == pytest.approx(MEASURED / 3)


def test_without_a_terminal_one_line_says_how_long(ticking: Callable[[float], None]) -> None:
    ticking(MEASURED)
    to, text = console()
    with shown_on(to), looking(1000) as tell:
        for done in range(10, 1001, 10):
            tell(done)
    assert text.getvalue() == "Looking at 1,000 images, about 16 min left\n"


def test_what_is_soon_done_is_not_worth_a_line(ticking: Callable[[float], None]) -> None:
    ticking(MEASURED)
    to, text = console()
    images = 2 + int(WORTH_SAYING / MEASURED)
    with shown_on(to), looking(images) as tell:
        for done in range(1, images + 1):
            tell(done)
    assert "about 60 s left" in text.getvalue()
    ticking(MEASURED)
    to, text = console()
    with shown_on(to), looking(images - 1) as tell:
        for done in range(1, images):
            tell(done)
    assert not text.getvalue()


def test_on_a_terminal_a_bar_comes_and_goes() -> None:
    to, text = console(force_terminal=True)
    with shown_on(to), looking(100) as tell:
        tell(32)
    assert "looking at the images" in text.getvalue()
    assert "32/100" in text.getvalue()
    assert text.getvalue().endswith("\x1b[2K"), "its line is empty again"


@pytest.mark.parametrize("quiet", [True, None])
def test_it_is_quiet_where_nothing_shall_be_said(
    ticking: Callable[[float], None], quiet: bool | None
) -> None:
    ticking(1000)
    to, text = console(force_terminal=True, quiet=bool(quiet))
    said_where = shown_on(to) if quiet is not None else nullcontext()
    with said_where, looking(100) as tell:
        for done in (1, 2, 3):
            tell(done)
    assert not text.getvalue()


def test_the_other_processes_of_a_training_say_nothing(
    ticking: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking(1000)
    monkeypatch.setattr(pace.processes, "rank", lambda: 1)
    to, text = console()
    with shown_on(to), looking(100) as tell:
        for done in (1, 2, 3):
            tell(done)
    assert not text.getvalue()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [("closed-form", "60 images, about 9 min left"), ("fine-tune", "48 images, about 7 min left")],
)
def test_a_training_says_it_before_it_learns(
    ticking: Callable[[float], None],
    squares: Path,
    quick: dict[str, Any],
    tmp_path: Path,
    recipe: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lookcloser.training.recipes.features.BATCH", 8)
    options = {**quick, "epochs": 1, "recipe": recipe, "zoom": "off"}
    if recipe == "fine-tune":  # whose head is solved where there are weights
        options["weights"] = str(weights_of(tmp_path))
    ticking(100)
    lc.train(squares, out=tmp_path / "run", **options)
    assert capsys.readouterr().err.splitlines()[0] == f"Looking at {said}"


def weights_of(folder: Path) -> Path:
    """A file with the weights of the backbone alone, as timm names them."""
    import timm
    from safetensors.torch import save_file

    path = folder / "weights.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path
