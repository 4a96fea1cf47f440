"""Whether a fine-tuned run looks twice: as asked, or where images of val say that it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.wording import count
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.models import load_model_file, read_header, save_model_file
from lookcloser.models.backbone import in_channels_last
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import TrainOptions
from lookcloser.training.recipes.closer import FACTOR, PLACES, SHARES, pays
from lookcloser.training.recipes.features import FEWEST, Features, collect_features, head_logits
from lookcloser.training.recipes.tuned_look import Choice, TunedLook, solve_tuned, with_tuned
from lookcloser.training.recipes.zooming import (
    Trial,
    against,
    check_source,
    looks_twice,
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
        assert isinstance(model, LooksTwice)  # as `check_zoom` has seen to
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
    if places_asked(options) is not None:
        return _tried(file, model, header, catalog, options)
    try:
        return _tried(file, model, header, catalog, options)
    except LookcloserError as error:  # nobody has asked for it, and the training is done
        return _kept(file, model, header, f"zoom: not tried; {error.what}")


def _tried(
    file: Path, model: LooksTwice, header: ModelHeader, catalog: Catalog, options: TrainOptions
) -> str:
    """See `look_closer`."""
    asked, val = places_asked(options), _split(catalog, "val")
    rated = _seen(model, val, header, options) if len(val) >= FEWEST else None
    if rated is None or len(rated.rows) < FEWEST:
        if asked is None:
            few = count(len(val), "image")
            said = f"zoom: not tried; {few} of val cannot tell whether it pays"
            return _kept(file, model, header, said)
        found = _solved(model, header, catalog, options, (), asked)
        both = "there are too few images of val to tell whether it pays"
        return _looking(file, model, header, found, asked, both)
    plain, images = _accuracy(model, rated), len(rated.rows)
    if asked is None:
        trial = _trial(model, header, rated, plain, len(_split(catalog, "train")))
        doubt = against(trial, options)
        if doubt is not None:
            return _kept(file, model, header, doubt)
    places = asked or PLACES
    found = _solved(model, header, catalog, options, val, places)
    both = (
        f"{plain:.1%} of {count(images, 'image')} of val are right, "
        f"{found.choice.accuracy:.1%} with a second look"
    )
    if asked is None and not pays(plain, found.choice.accuracy, images):
        return _kept(file, model, header, f"zoom: not used; {both}")
    return _looking(file, model, header, found, places, both)


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
    size = decided.arguments["share"], decided.arguments["whole"]
    choice = Choice(*size, own, crops, decided.calibration, *rates)
    found = _solved(model, header, catalog, options, (), places, choice)
    _keep(file, *with_tuned(model, header, found, places), words, choice)


def _may(header: ModelHeader, options: TrainOptions) -> bool:
    """Whether a model is one that could look twice; a racnn that has become a cam has decided.

    Methods that show attentions of their own would lose them, and keep them unless asked not to.
    """
    asked = places_asked(options) is not None
    same = header.method == (options.method or "cam")
    plain = header.method == "cam" or (asked and looks_twice(header.method))
    return same and plain and header.task == "classification" and options.strategy != "fsdp"


def _opened(file: Path) -> tuple[LooksTwice, ModelHeader]:
    model, header = load_model_file(file)
    assert isinstance(model, LooksTwice)  # as its header says
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    return in_channels_last(model), header


def _split(catalog: Catalog, name: str) -> Sequence[Sample]:
    own = catalog.split(name) if name in catalog.splits else ()
    return sorted(own, key=lambda sample: sample.name)


def _seen(
    model: LooksTwice, samples: Sequence[Sample], header: ModelHeader, options: TrainOptions
) -> Features:
    given = header.names, header.task, header.preprocessing
    return collect_features(model, samples, *given, workers=options.workers)


def _solved(
    model: LooksTwice,
    header: ModelHeader,
    catalog: Catalog,
    options: TrainOptions,
    held: Sequence[Sample],
    places: int,
    choice: Choice | None = None,
) -> TunedLook:
    train, balanced = _split(catalog, "train"), options.balance != "none"
    return solve_tuned(model, header, train, held, places=places, balanced=balanced, choice=choice)


def _accuracy(model: LooksTwice, found: Features) -> float:
    right = head_logits(model, found).argmax(axis=1) == found.labels.argmax(axis=1)
    return float(right.mean())


def _trial(
    model: LooksTwice, header: ModelHeader, val: Features, plain: float, train: int
) -> Trial:
    """What it would take: see `solve_tuned`."""
    held = len(val.rows)
    passes = train * (FACTOR**2 + len(SHARES))
    passes += held * (1 + FACTOR**2 + len(SHARES) * PLACES)
    images = train + held
    return Trial(model, header, val.side, plain, images, passes, val.seconds, "images of val")


def _kept(file: Path, model: LooksTwice, header: ModelHeader, said: str) -> str:
    """The network stays as it is."""
    _keep(file, model, header, said.removeprefix("zoom: "))
    return said


def _looking(
    file: Path, model: LooksTwice, header: ModelHeader, found: TunedLook, places: int, both: str
) -> str:
    """The network looks twice from now on."""
    words = f"{places_of(places, found.choice.share)}; {both}"
    if found.choice.whole:
        words += f"; the whole image counts {found.choice.whole:.0%}"
    _keep(file, *with_tuned(model, header, found, places), words, found.choice)
    return f"zoom: {words}"


def _keep(
    file: Path, model: LooksTwice, header: ModelHeader, words: str, choice: Choice | None = None
) -> None:
    heads = {} if choice is None else {_CHOICE: [choice.own, choice.crops]}
    provenance = {**header.provenance, "zoom": words, **heads}
    save_model_file(file, model.state_dict(), replace(header, provenance=provenance))
