"""Whether a run looks twice: as asked, or where it pays."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import LARGEST_INPUT, ModelHeader
from lookcloser.core.wording import count, duration
from lookcloser.models import METHODS
from lookcloser.models.cam.options import LookOptions
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.models.feedback.options import TWO_BLOCK
from lookcloser.training.options import TrainOptions
from lookcloser.training.recipes.closer import (
    FACTOR,
    GAIN,
    LEAST,
    PLACES,
    SHARES,
    TRIED,
    Closer,
    pays,
    solve_closer,
    source_of,
    with_closer,
)
from lookcloser.training.recipes.looks import no_room
from lookcloser.training.recipes.solving import Solved


def places_asked(options: TrainOptions) -> int | None:
    """At how many places an image shall be looked at again; None where nobody says."""
    return int(options.zoom) if options.zoom.isdigit() else None


def looks_twice(method: str) -> bool:
    """Whether models of a method can be given a second look."""
    named = METHODS[method]
    return "classification" in named.tasks and issubclass(named.options, LookOptions)


def check_zoom(options: TrainOptions, task: Task, recipe: str) -> None:
    """Refuse places to look at again where the model will not be one that can.

    Raises:
        UsageError: Then.
    """
    if places_asked(options) is None:
        return
    if task != "classification":
        raise UsageError(
            f"{{}} {options.zoom}: not for {task}, where what is named may be in many places",
            allowed="auto or off; data with one class an image",
            option="zoom",
        )
    method = options.method or TRAITS[task].method
    if not looks_twice(method):
        raise UsageError(
            f"{{}} {options.zoom}: not for {method}, which looks closer by itself",
            fix="Leave it out",
            option="zoom",
        )
    if options.backbone == TWO_BLOCK:
        raise UsageError(
            f"{{}} {options.zoom}: not with the {TWO_BLOCK} network, which is for one small size",
            allowed="A timm backbone",
            option="zoom",
        )
    if recipe == "fine-tune" and options.strategy == "fsdp":
        raise UsageError(
            f"{{}} {options.zoom}: not with --strategy fsdp",
            allowed="A network that one device holds, which then solves the second look",
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
    asked = places_asked(options)
    if options.zoom == "off" or task != "classification":
        return solved, ""
    if asked is not None:
        check_source(solved.model, solved.header, asked)
    plain = solved.header.scores.get("left_out_acc", float("nan"))
    if asked is None:
        seen, images = solved.features, len(solved.samples)
        passes = images * (FACTOR**2 + len(SHARES) - 1) + min(images, TRIED) * PLACES
        trial = Trial(solved.model, solved.header, seen.side, plain, images, passes, seen.seconds)
        doubt = against(trial, options)
        if doubt is not None:
            return _with_words(solved, doubt)
    closer = solve_closer(
        solved.model,
        solved.samples,
        solved.header,
        places=asked or PLACES,
        balanced=options.balance != "none",
        enough=-1.0 if asked else plain + GAIN,
    )
    if not isinstance(closer, Closer):
        if asked is not None:
            raise LookcloserError(
                "no class has two images, so that no answer of a second look can be rated",
                fix="Add images, or use `--zoom off`",
            )
        return _with_words(
            solved,
            f"zoom: not used; crops where the class is seen would be right in {closer:.1%}, "
            f"{plain:.1%} are without",
        )
    both = f"{plain:.1%} of images left out are right, {closer.accuracy:.1%} with a second look"
    if asked is None and not pays(plain, closer.accuracy, closer.calibration.images):
        return _with_words(solved, f"zoom: not used; {both}")
    model, header = with_closer(solved.model, solved.header, closer)
    validation = closer.accuracy, solved.validation[1]
    found = replace(solved, model=model, header=header, validation=validation)
    return _with_words(found, f"zoom: {places_of(closer.places, closer.share)}; {both}")


class Trial(NamedTuple):
    """A second look that could be tried.

    Attributes:
        model: That looks once.
        header: Its header.
        side: The smaller side of the images, the middle one of all.
        plain: The share of right answers without; nan where that is not known.
        images: How many are seen at the resolution of the source.
        passes: Of the backbone, at the size of a place's view.
        seconds: Of one such pass.
        rated: Which images the share is of, in words.
    """

    model: LooksTwice
    header: ModelHeader
    side: float
    plain: float
    images: int
    passes: int
    seconds: float
    rated: str = "images left out"


def against(trial: Trial, options: TrainOptions) -> str | None:
    """Why a second look is not tried, in words; None where it is worth the try."""
    if trial.side < LEAST * options.size:
        return f"zoom: not tried; images of {trial.side:.0f} px have little more to show"
    if math.isnan(trial.plain):
        return "zoom: not tried; no class has two images, so that nothing would tell if it pays"
    if not trial.plain < 1 - GAIN:
        return f"zoom: not tried; {trial.plain:.1%} of {trial.rated} are right without"
    source = source_of(trial.header).preprocessing
    lacking = _impossible(trial.model, trial.header) or no_room(trial.model, trial.images, source)
    if lacking is not None:
        return f"zoom: not tried; {lacking}"
    minutes = trial.seconds * trial.passes / 60
    if minutes > options.budget:
        return (
            f"zoom: not tried; it would take about {duration(max(60 * minutes, 1))}, more than "
            f"--budget {options.budget:g}; --zoom {PLACES} does it all the same"
        )
    return None


def places_of(places: int, share: float) -> str:
    """How a model looks again, in words."""
    return f"{count(places, 'place')} of {share:.0%} of the side"


def check_source(model: LooksTwice, header: ModelHeader, asked: int) -> None:
    """Refuse places that were asked for where the backbone cannot look at the source.

    Raises:
        UsageError: Then.
    """
    impossible = _impossible(model, header)
    if impossible is not None:
        raise UsageError(f"{{}} {asked}: {impossible}", option="zoom")


def _impossible(model: LooksTwice, header: ModelHeader) -> str | None:
    """Why the backbone cannot look at the source, in words; None where it can."""
    grid = source_of(header).preprocessing.size
    if max(grid) > LARGEST_INPUT:
        return (
            f"a first look at {grid.columns} px is too large; at most {LARGEST_INPUT} are possible"
        )
    try:
        model.timm_backbone.check(grid)
    except LookcloserError as error:
        return error.what
    return None


def _with_words(solved: Solved, words: str) -> tuple[Solved, str]:
    provenance = {**solved.header.provenance, "zoom": words.removeprefix("zoom: ")}
    return replace(solved, header=replace(solved.header, provenance=provenance)), words
