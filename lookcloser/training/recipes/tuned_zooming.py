"""Whether a fine-tuned run looks twice: as asked, or where images of val say that it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lookcloser.core.header import ModelHeader
from lookcloser.core.wording import count
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.models import load_model_file, read_header, save_model_file
from lookcloser.models.cam.model import CAM
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import TrainOptions
from lookcloser.training.recipes.closer import FACTOR, PLACES, SHARES
from lookcloser.training.recipes.features import FEWEST, Features, collect_features, head_logits
from lookcloser.training.recipes.tuned_look import Choice, TunedLook, solve_tuned, with_tuned
from lookcloser.training.recipes.zooming import (
    Trial,
    against,
    check_source,
    pays,
    places_asked,
    places_of,
)

_CHOICE = "zoom temperatures"  # of the fine-tuned head, and of the crops', see `Choice`


def check_possible(catalog: Catalog, options: TrainOptions) -> None:
    """Refuse, before a fine-tuning, places that were asked for and that it could not look at.

    Raises:
        UsageError: Then.
    """
    asked = places_asked(options)
    if asked is not None:
        model, header = prepare_model(options, catalog)
        assert isinstance(model, CAM)  # as `check_zoom` has seen to
        check_source(model, header, asked)


def look_closer(file: Path, catalog: Catalog, options: TrainOptions) -> str:
    """Give the fine-tuned model in a file a second look, where that was asked for or pays.

    What was decided is in the model's provenance, and decided once. The images of val choose; they
    are not learned from.

    Args:
        file: The model.
        catalog: That it was trained on.
        options: Of its training.

    Returns:
        What was decided, in words; "" where there was nothing to decide.

    Raises:
        LookcloserError: Where a second look was asked for and nothing can be solved, or the disk is
            too small for it.
    """
    header = read_header(file)
    if options.zoom == "off" or not _may(header, options) or "zoom" in header.provenance:
        return ""
    model, header = _opened(file)
    asked, val = places_asked(options), _split(catalog, "val")
    if asked is None and len(val) < FEWEST:
        said = f"zoom: not tried; {count(len(val), 'image')} of val cannot tell whether it pays"
        return _kept(file, model, header, said)
    rated = _seen(model, val, header, options) if len(val) >= FEWEST else None
    plain = float("nan") if rated is None else _accuracy(model, rated)
    train = _split(catalog, "train")
    if asked is None:
        assert rated is not None  # there are images
        doubt = against(_trial(model, header, rated, plain, len(train)), options)
        if doubt is not None:
            return _kept(file, model, header, doubt)
    places = asked or PLACES
    found = solve_tuned(
        model, header, _readable(model, train, header, options),
        () if rated is None else [val[row] for row in rated.rows],
        places=places, balanced=options.balance != "none",
    )  # fmt: skip
    both = "there are too few images of val to tell whether it pays"
    if rated is not None:
        both = (
            f"{plain:.1%} of {count(len(rated.rows), 'image')} of val are right, "
            f"{found.choice.accuracy:.1%} with a second look"
        )
        if asked is None and not pays(plain, found.choice.accuracy, len(rated.rows)):
            return _kept(file, model, header, f"zoom: not used; {both}")
    how = places_of(places, found.choice.share)
    if found.choice.whole:
        how += f", the whole image counts {found.choice.whole:.0%}"
    return _looking(file, model, header, found, places, f"zoom: {how}; {both}")


def look_alike(file: Path, like: Path, catalog: Catalog, options: TrainOptions) -> None:
    """Give the fine-tuned model in a file the second look of another, solved from its own images.

    Args:
        file: A model that has learned from all images.
        like: The one before it, about which images of val have decided.
        catalog: With all images in train.
        options: Of the training.

    Raises:
        LookcloserError: As `look_closer`.
    """
    decided, header = read_header(like), read_header(file)
    words = decided.provenance.get("zoom")
    if words is None or "zoom" in header.provenance:
        return
    model, header = _opened(file)
    places = decided.arguments.get("places", 0)
    if not places:
        _kept(file, model, header, words)
        return
    own, crops = decided.provenance[_CHOICE]
    rates = (decided.scores.get(name, float("nan")) for name in ("val_acc", "val_loss"))
    looks = decided.arguments["share"], decided.arguments["whole"]
    choice = Choice(*looks, own, crops, decided.calibration, *rates)
    found = solve_tuned(
        model, header, _readable(model, _split(catalog, "train"), header, options), (),
        places=places, balanced=options.balance != "none", choice=choice,
    )  # fmt: skip
    _looking(file, model, header, found, places, words)


def _may(header: ModelHeader, options: TrainOptions) -> bool:
    """Whether a model is one that could look twice; a racnn that has become a cam has decided."""
    plain = header.method == "cam" and options.method in {None, "cam"}
    return plain and header.task == "classification" and options.strategy != "fsdp"


def _opened(file: Path) -> tuple[CAM, ModelHeader]:
    model, header = load_model_file(file)
    assert isinstance(model, CAM)  # as its header says
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(memory_format=torch.channels_last), header


def _split(catalog: Catalog, name: str) -> Sequence[Sample]:
    own = catalog.split(name) if name in catalog.splits else ()
    return sorted(own, key=lambda sample: sample.name)


def _seen(
    model: CAM, samples: Sequence[Sample], header: ModelHeader, options: TrainOptions
) -> Features:
    given = header.names, header.task, header.preprocessing
    return collect_features(model, samples, *given, workers=options.workers)


def _readable(
    model: CAM, samples: Sequence[Sample], header: ModelHeader, options: TrainOptions
) -> list[Sample]:
    return [samples[row] for row in _seen(model, samples, header, options).rows]


def _accuracy(model: CAM, found: Features) -> float:
    right = head_logits(model, found).argmax(axis=1) == found.labels.argmax(axis=1)
    return float(right.mean())


def _trial(model: CAM, header: ModelHeader, val: Features, plain: float, train: int) -> Trial:
    """What it would take: see `solve_tuned`."""
    held = len(val.rows)
    passes = train * (1 + FACTOR**2 + len(SHARES))
    passes += held * (1 + FACTOR**2 + len(SHARES) * PLACES)
    images = train + held
    return Trial(model, header, val.side, plain, images, passes, val.seconds, "images of val")


def _kept(file: Path, model: CAM, header: ModelHeader, said: str, **more: Any) -> str:
    provenance = {**header.provenance, "zoom": said.removeprefix("zoom: "), **more}
    save_model_file(file, model.state_dict(), replace(header, provenance=provenance))
    return said


def _looking(
    file: Path, model: CAM, header: ModelHeader, found: TunedLook, places: int, said: str
) -> str:
    new, header = with_tuned(model, header, found, places)
    return _kept(file, new, header, said, **{_CHOICE: [found.choice.own, found.choice.crops]})
