"""Whether a run in closed form looks twice: as asked, or where it pays."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

from lookcloser.core.choices import Task
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import LARGEST_INPUT
from lookcloser.core.wording import count
from lookcloser.training.options import TrainOptions
from lookcloser.training.recipes.closer import (
    FACTOR,
    PLACES,
    SHARES,
    TRIED,
    Closer,
    solve_closer,
    source_of,
    with_closer,
)
from lookcloser.training.recipes.looks import no_room
from lookcloser.training.recipes.solving import Solved

LEAST = 1.5  # of the input's side, that images must have for a second look to show more
_GAIN = 0.01  # of accuracy, that pays for several times the compute


def check_zoom(options: TrainOptions, task: Task, recipe: str) -> None:
    """Refuse places to look at again where no closed form of classes is made.

    Raises:
        UsageError: Then.
    """
    if not options.zoom.isdigit():
        return
    if task != "classification":
        raise UsageError(
            f"{{}} {options.zoom}: not for {task}",
            allowed="auto or off; data with one class an image",
            option="zoom",
        )
    if recipe == "fine-tune":
        raise UsageError(
            f"{{}} {options.zoom}: a second look is solved in closed form",
            fix="Give `--recipe closed-form`, or fine-tune `--method racnn`, which looks closer",
            option="zoom",
        )


def looked_closer(solved: Solved, options: TrainOptions, task: Task) -> tuple[Solved, str]:
    """The run with a second look where that was asked for or pays, and what was decided, in words.

    Args:
        solved: That looks once.
        options: How to learn.
        task: Of the data.

    Raises:
        LookcloserError: Where a second look was asked for and is not possible, or no image could
            be left out to calibrate it.
    """
    asked = int(options.zoom) if options.zoom.isdigit() else None
    if options.zoom == "off" or task != "classification":
        return solved, ""
    if asked is not None:
        impossible = _impossible(solved)
        if impossible is not None:
            raise UsageError(f"{{}} {asked}: {impossible}", option="zoom")
    plain = solved.header.scores.get("left_out_acc", float("nan"))
    if asked is None:
        doubt = _against(solved, options, plain)
        if doubt is not None:
            return _with_words(solved, doubt)
    closer = solve_closer(
        solved.model,
        solved.samples,
        solved.header,
        places=asked or PLACES,
        balanced=options.balance != "none",
        enough=-1.0 if asked else plain + _GAIN,
    )
    if not isinstance(closer, Closer):
        if asked is not None:
            raise LookcloserError(
                "no class has two images, so that no answer of a second look can be rated",
                fix="Add images, or take `--zoom off`",
            )
        return _with_words(
            solved,
            f"zoom: not used; crops where the class is seen would be right in {closer:.1%}, "
            f"{plain:.1%} are without",
        )
    gain = closer.accuracy - plain
    both = f"{plain:.1%} of images left out are right, {closer.accuracy:.1%} with a second look"
    noise = 0.5 / closer.calibration.images**0.5  # at most, of the difference
    if asked is None and not gain > max(_GAIN, noise):
        return _with_words(solved, f"zoom: not used; {both}")
    model, header = with_closer(solved.model, solved.header, closer)
    validation = closer.accuracy, solved.validation[1]
    found = replace(solved, model=model, header=header, validation=validation)
    places = f"{count(closer.places, 'place')} of {closer.share:.0%} of the side"
    return _with_words(found, f"zoom: {places}; {both}")


def _against(solved: Solved, options: TrainOptions, plain: float) -> str | None:
    """Why a second look is not tried, in words; None where it is worth the try."""
    side, least = solved.features.side, LEAST * options.size
    if side < least:
        return f"zoom: not tried; images of {side:.0f} px have little more to show"
    if isnan(plain):
        return "zoom: not tried; no class has two images, so that nothing would tell if it pays"
    if not plain < 1 - _GAIN:
        return f"zoom: not tried; {plain:.1%} of images left out are right without"
    images, source = len(solved.samples), source_of(solved.header).preprocessing
    lacking = _impossible(solved) or no_room(solved.model, images, source)
    if lacking is not None:
        return f"zoom: not tried; {lacking}"
    passes = images * (FACTOR**2 + len(SHARES) - 1) + min(images, TRIED) * PLACES
    minutes = solved.features.seconds * passes / 60
    if minutes > options.budget:
        return (
            f"zoom: not tried; it would take about {minutes:.0f} min, more than --budget "
            f"{options.budget:g}; --zoom {PLACES} does it all the same"
        )
    return None


def _impossible(solved: Solved) -> str | None:
    """Why the backbone cannot look at the source, in words; None where it can."""
    grid = source_of(solved.header).preprocessing.size
    if max(grid) > LARGEST_INPUT:
        return (
            f"a first look at {grid.columns} px is too large; at most {LARGEST_INPUT} are possible"
        )
    try:
        solved.model.backbone.check(grid)
    except LookcloserError as error:
        return error.what
    return None


def _with_words(solved: Solved, words: str) -> tuple[Solved, str]:
    provenance = {**solved.header.provenance, "zoom": words.removeprefix("zoom: ")}
    return replace(solved, header=replace(solved.header, provenance=provenance)), words
