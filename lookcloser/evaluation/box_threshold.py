"""Where maps are cut into boxes: chosen on the validation split, where it has boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lookcloser.core.types import Task
from lookcloser.data import Catalog, Sample
from lookcloser.evaluation.classification import class_places
from lookcloser.evaluation.localization import best_cut
from lookcloser.evaluation.loop import Loop
from lookcloser.evaluation.map_boxes import Places
from lookcloser.evaluation.tag_sets import tag_places
from lookcloser.inference.engine import TorchEngine

# Tasks of which it is known whose map belongs to which box.
PLACES: dict[Task, Callable[[Loop, Sequence[Sample]], Iterator[Places]]] = {
    "classification": class_places,
    "multilabel": tag_places,
}


def choose_box_threshold(engine: TorchEngine, catalog: Catalog) -> float | None:
    """The cut of the maps that gives the best boxes on val; None without boxes there."""
    samples = catalog.split("val") if "val" in catalog.splits else ()
    if engine.header.task not in PLACES or not any(sample.boxes for sample in samples):
        return None
    places = PLACES[engine.header.task](Loop(engine), samples)
    return best_cut(places, len(engine.header.names))
