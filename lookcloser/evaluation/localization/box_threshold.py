"""What the validation split says of a trained model: where its maps are cut, its own doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lookcloser.core.calibration import Calibration
from lookcloser.core.choices import TRAITS
from lookcloser.data import Catalog, Sample
from lookcloser.evaluation.classification import answer_split, class_places
from lookcloser.evaluation.localization.map_boxes import Places
from lookcloser.evaluation.localization.scoring import best_cut
from lookcloser.evaluation.loop import Loop
from lookcloser.evaluation.tag_sets import tag_places
from lookcloser.inference.engine import TorchEngine
from lookcloser.uncertainty import OF_A_NETWORK, calibrate, fit_temperature

# By the labels of an image, where it is known whose map belongs to which box.
PLACES: dict[str, Callable[[Loop, Sequence[Sample]], Iterator[Places]]] = {
    "one": class_places,
    "some": tag_places,
}

FEWEST = 20  # images from which a temperature is taken


def measured_on_val(engine: TorchEngine, catalog: Catalog) -> dict[str, Any]:
    """Fields of the header that val decides: ``box_threshold``, ``calibration``; those it can."""
    measured = {
        "box_threshold": choose_box_threshold(engine, catalog),
        "calibration": doubt_on_val(engine, catalog),
    }
    return {name: value for name, value in measured.items() if value is not None}


def doubt_on_val(engine: TorchEngine, catalog: Catalog) -> Calibration | None:
    """The calibration of a trained classifier; None without enough images.

    A closed form keeps its own, from its images left out one by one.
    """
    samples = catalog.split("val") if "val" in catalog.splits else ()
    known = engine.header.calibration.images > 0
    if known or TRAITS[engine.header.task].labels != "one" or len(samples) < FEWEST:
        return None
    answered = [
        (some.output.logits, some.targets) for some in answer_split(Loop(engine), samples, [])
    ]
    logits, targets = (np.concatenate(parts) for parts in zip(*answered, strict=True))
    return calibrate(logits, targets, fit_temperature(logits, targets, expected=OF_A_NETWORK))


def choose_box_threshold(engine: TorchEngine, catalog: Catalog) -> float | None:
    """The cut of the maps that gives the best boxes on val; None without boxes there."""
    samples = catalog.split("val") if "val" in catalog.splits else ()
    labels = TRAITS[engine.header.task].labels
    if labels not in PLACES or not any(sample.boxes for sample in samples):
        return None
    places = PLACES[labels](Loop(engine), samples)
    return best_cut(places, len(engine.header.names))
