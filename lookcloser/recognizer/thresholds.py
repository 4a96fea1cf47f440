"""Where maps are cut into boxes: chosen on the validation split, where it has boxes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lookcloser.core.types import Task
from lookcloser.data import Catalog
from lookcloser.models import Model, Package
from lookcloser.recognizer.evaluation import class_places
from lookcloser.recognizer.localisation import Places, best_cut
from lookcloser.recognizer.tagged import tag_places

# Tasks of which it is known whose map belongs to which box.
PLACES: dict[Task, Callable[..., Places]] = {
    "classification": class_places,
    "multilabel": tag_places,
}


def choose_box_threshold(
    model: Model, package: Package, catalog: Catalog, device: torch.device
) -> float | None:
    """The cut of the maps that gives the best boxes on val; None without boxes there."""
    samples = catalog.split("val") if "val" in catalog.splits else ()
    if package.task not in PLACES or not any(sample.boxes for sample in samples):
        return None
    places = PLACES[package.task](model, package, samples, device)
    return best_cut(places) if places.rows else None
