"""The first scale of racnn in closed form, before the finer one learns from what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import torch

from lookcloser.closed_form import Memory
from lookcloser.core.choices import Task
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader, with_box_rule
from lookcloser.core.sizes import Grid
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.layers.class_head import ClassHead
from lookcloser.models import Model, build_model
from lookcloser.models.cam.model import CAM
from lookcloser.models.racnn.evidence import EvidenceProposal
from lookcloser.models.racnn.model import RACNN
from lookcloser.training.options import TrainOptions
from lookcloser.training.recipes.closed_form import as_cam, solve
from lookcloser.training.recipes.closer import FACTOR, LEAST, Closer, fill, pays, solve_closer
from lookcloser.training.recipes.features import collect_features
from lookcloser.training.recipes.start import HEAD_SHARE, fill_to_learn

MOST = 2000  # images that the first look is solved from


def by_evidence(options: TrainOptions, task: Task, processes: int = 1) -> TrainOptions:
    """The options of a training whose finer scale is shown what the first one finds.

    That is racnn on loaded weights, unless something was asked for that goes with a proposal that
    learns; all others stay as they are.

    Args:
        options: Of the training.
        task: Of the data.
        processes: How many train together; of several none could solve for the others.

    Raises:
        UsageError: For evidence that was asked for and is not possible.
    """
    own = dict(options.own)
    asked = own.get("apn")
    if options.method != "racnn" or task != "classification" or asked not in (None, "evidence"):
        return options
    side = own.get("source_size") or FACTOR * options.size
    needed = {"devices": processes == 1, "source_size": side == FACTOR * options.size}
    if asked is not None:
        for name, there in needed.items():
            if not there:
                raise UsageError(
                    f"{{}} {own.get(name) or processes}: not with evidence",
                    allowed=f"One device; a source of {FACTOR * options.size}, twice the input",
                    option=name,
                )
        return options
    plain = {"scales": (None, 2), "fusion": ("mean", None), "train_mode": ("joint", None)}
    fits = all(own.get(name) in possible for name, possible in plain.items())
    if fits and all(needed.values()) and options.weights != "none":
        return replace(options, own={**own, "apn": "evidence"})
    return options


def with_first_look(
    model: Model,
    header: ModelHeader,
    catalog: Catalog,
    options: TrainOptions,
    prepare: Callable[[TrainOptions, Catalog], tuple[Model, ModelHeader]],
    say: Callable[[str], None],
) -> tuple[Model, ModelHeader]:
    """The model of a training: a racnn by what its first scale finds, or a cam if that is no use.

    Args:
        model: With its first weights; one that does not go by evidence stays as it is.
        header: Of the model.
        catalog: The data.
        options: Of the training.
        prepare: Makes a model with its header.
        say: Told what was found.
    """
    if not isinstance(model, RACNN) or not model.by_evidence:
        return model, header
    found, words = begin_by_evidence(model, header, catalog.split("train"), options)
    plain = replace(options, method="cam", own={})
    new, header = prepare(plain, catalog) if found is None else found
    say(f"racnn: {'one scale' if found is None else 'two scales'}; {words}")
    return new, replace(header, provenance={**header.provenance, "scales": words})


def begin_by_evidence(
    model: RACNN, header: ModelHeader, samples: Sequence[Sample], options: TrainOptions
) -> tuple[tuple[RACNN, ModelHeader] | None, str]:
    """Solve the first scale, and where the finer one looks.

    Args:
        model: By evidence, with its first weights.
        header: Of the model.
        samples: That it is trained on; those that cannot be read are passed over.
        options: Of the training.

    Returns:
        The model that is to be fine-tuned, with its header, and what was found, in words; None for
        the model where nobody has asked for two scales and looking closer does not pay, or cannot
        be tried.

    Raises:
        LookcloserError: Where two scales were asked for and nothing can be solved, or the disk is
            full.
    """
    forced = options.own.get("scales") is not None
    try:
        return _begun(model, header, samples, options, forced=forced)
    except LookcloserError as error:
        if forced:
            raise
        return None, error.what


def _begun(
    model: RACNN,
    header: ModelHeader,
    samples: Sequence[Sample],
    options: TrainOptions,
    *,
    forced: bool,
) -> tuple[tuple[RACNN, ModelHeader] | None, str]:
    """See `begin_by_evidence`."""
    cam, seen = _first_scale(model, header, options.size)
    chosen = _evenly(samples)
    found = collect_features(
        cam, chosen, header.names, "classification", seen.preprocessing, workers=options.workers
    )
    if not forced and found.side < LEAST * options.size:
        return None, f"images of {found.side:.0f} px have little more to show"
    memory = Memory.of(found.values, found.labels)
    closer = solve_closer(
        cam, [chosen[row] for row in found.rows], seen, places=1,
        balanced=options.balance != "none", enough=-1.0,
        share=options.own.get("half_side"), rated=not forced,
    )  # fmt: skip
    if not isinstance(closer, Closer):
        if forced:
            raise LookcloserError(
                "no class has two images, so that no first scale can be solved",
                fix="Add images, or use `--apn light`",
            )
        return None, "no class has two images, so that nothing would tell if it pays"
    place = f"a place of {closer.share:.0%} of the side"
    if forced:
        return _filled(model, header, closer, options), f"{place}; asked for"
    plain = max(solve(memory, "classification").accuracy, closer.first.accuracy)
    words = (
        f"{plain:.1%} of images left out are right in closed form, {closer.accuracy:.1%} with a "
        f"second look at {place}"
    )
    if not pays(plain, closer.accuracy, closer.calibration.images):
        return None, words
    return _filled(model, header, closer, options), words


def _first_scale(model: RACNN, header: ModelHeader, side: int) -> tuple[CAM, ModelHeader]:
    """As a model of its own, for images at the size of the finer view."""
    sized = replace(header.preprocessing, size=Grid(side, side))
    cam, seen = as_cam(model.backbones[-1], header, sized)
    return cam.to("cuda" if torch.cuda.is_available() else "cpu"), seen


def _evenly(samples: Sequence[Sample]) -> list[Sample]:
    """About `MOST` of them: of every class its share, and one of the rarest, ordered by name."""
    ordered = sorted(samples, key=lambda sample: (sample.labels, sample.name))
    step = max(1, -(-len(ordered) // MOST))
    classes = groupby(ordered, key=lambda sample: sample.labels)
    return [sample for _, own in classes for sample in list(own)[::step]]


def _filled(
    model: RACNN, header: ModelHeader, closer: Closer, options: TrainOptions
) -> tuple[RACNN, ModelHeader]:
    """The model with what was solved, its box of the size that images left out are for."""
    arguments = {**header.arguments, "half_side": closer.share}
    torch.manual_seed(options.seed)
    new = build_model(header.method, arguments)
    assert isinstance(new, RACNN)  # as the one before
    for backbone in new.backbones:  # of a run that goes on, the finer scale's has learned
        backbone.load_state_dict(model.backbones[-1].state_dict())
    (proposal,), (first, second) = new.proposals, new.heads
    assert isinstance(proposal, EvidenceProposal)  # by evidence
    assert isinstance(first, ClassHead)
    assert isinstance(second, ClassHead)
    fill(first, closer.first)
    fill(proposal.finder, closer.finder)
    fill_to_learn(second, closer.second, closer.crops)
    new.head_share = HEAD_SHARE
    # The map of the answer is 0 outside of its box; see `source_of`.
    return new, replace(with_box_rule(header, "max"), arguments=arguments)
