"""What the validation split says of a trained model: where its maps are cut, its own doubt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lookcloser.core.types import Task
from lookcloser.data import Catalog
from lookcloser.models import Model, Package
from lookcloser.recognizer.evaluation import answer_split, class_places
from lookcloser.recognizer.localisation import Places, best_cut
from lookcloser.recognizer.tagged import tag_places
from lookcloser.uncertainty import Calibration, calibrate, fit_temperature

# Tasks of which it is known whose map belongs to which box.
PLACES: dict[Task, Callable[..., Places]] = {
    "classification": class_places,
    "multilabel": tag_places,
}

FEWEST = 20  # images from which a temperature is taken


def measured_on_val(
    model: Model, package: Package, catalog: Catalog, device: torch.device
) -> dict[str, Any]:
    """Fields of the header that val decides: ``box_threshold``, ``calibration``; those it can."""
    given = model, package, catalog, device
    measured = {"box_threshold": choose_box_threshold(*given), "calibration": doubt_on_val(*given)}
    return {name: value for name, value in measured.items() if value is not None}


def doubt_on_val(
    model: Model, package: Package, catalog: Catalog, device: torch.device
) -> Calibration | None:
    """The calibration of a trained classifier; None without enough images.

    A closed form keeps its own, from its images left out one by one.
    """
    samples = catalog.split("val") if "val" in catalog.splits else ()
    known = package.calibration.images > 0
    if known or package.task != "classification" or len(samples) < FEWEST:
        return None
    answered = answer_split(model, package, samples, device=device)
    logits, targets = answered.evidence.logits.double().numpy(), answered.targets.numpy()
    return calibrate(logits, targets, fit_temperature(logits, targets))


def choose_box_threshold(
    model: Model, package: Package, catalog: Catalog, device: torch.device
) -> float | None:
    """The cut of the maps that gives the best boxes on val; None without boxes there."""
    samples = catalog.split("val") if "val" in catalog.splits else ()
    if package.task not in PLACES or not any(sample.boxes for sample in samples):
        return None
    places = PLACES[package.task](model, package, samples, device)
    return best_cut(places) if places.rows else None
