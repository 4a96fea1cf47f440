"""Does looking closer pay? RA-CNN beside the plain classifier, on scenes with one small digit.

At the input size a digit is 3 to 4 pixels high: enough to find it, too little to read it well.

Every network starts from random weights and learns from labels alone, with the same backbone,
input size, epochs and images. RA-CNN cuts its finer views from the source; `cam` sees the whole
source at its input size. A second `cam` has about the compute of RA-CNN: it sees the source at a
larger input size. Seeds take turns. No validation split: the last weights are scored.

python benchmarks/looking.py --seeds 1 2 3
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from _harness import arguments, machine, report

from lookcloser.core import boxes as geometry
from lookcloser.core.images import load_image
from lookcloser.data import Catalog, read_data
from lookcloser.data.scenes import write_scenes
from lookcloser.models import load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options

BACKBONE = {"backbone": "test_resnet", "weights": "none", "stride": 8}
RECIPE = {
    "augment": "shift", "flip": False, "workers": 0, "batch_size": 32,
    "lr": 0.03, "backbone_lr": 0.1, "warmup": 1.0, "clip": 5.0,
}  # fmt: skip
# Clear digits among few other things: with fainter ones half of the training passes at chance.
LOOKS: dict[str, Any] = {"clutter": (0, 3), "contrast": (0.6, 0.9)}


def scenes(folder: Path, source: int, digit: tuple[int, int], train: int, test: int) -> Catalog:
    """Scenes of one digit, kept in memory."""
    write_scenes(
        folder, "single", train=train, val=0, test=test, size=source, digit_size=digit, **LOOKS
    )
    catalog = read_data(folder, val_share=0.0)
    samples = (
        replace(sample, source=np.asarray(load_image(sample.source))) for sample in catalog.samples
    )
    return replace(catalog, samples=tuple(samples))


def measure(catalog: Catalog, **options: Any) -> dict[str, float]:
    """Train, and score on the test split."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        fit(
            catalog, make_options(**BACKBONE, **RECIPE, **options), Path(folder) / "run", quiet=True
        )
        seconds = time.process_time() - start
        model, header = load_model_file(Path(folder) / "run" / "model.safetensors")
    recognizer = Recognizer(model, header)
    scores = recognizer.evaluation(catalog, "test")
    wanted = [name for name in scores.metrics if name.startswith("top1") and "loc" not in name]
    row = {name: scores.metrics[name] for name in wanted}
    found = [answer for answer in scores.answers if answer.boxes]
    finest = [
        box
        for answer in found
        for box in [region.box for region in answer.prediction.regions if region.kind == "scale"][
            -1:
        ]
        if box is not None
    ]
    if finest:
        truth = geometry.as_boxes([answer.boxes[0] for answer in found])
        row |= placed(geometry.as_boxes(finest), truth, found[0].prediction.size[0])
    row["training CPU s"] = seconds
    row["parameters"] = float(sum(parameter.numel() for parameter in model.parameters()))
    return row


def placed(boxes: geometry.Boxes, truth: geometry.Boxes, source: int) -> dict[str, float]:
    """How the finest boxes lie to the digits' own, beside boxes of their size elsewhere."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    middle = source / 2 + np.concatenate([-half, half], axis=1)
    other = np.roll(boxes, 1, axis=0)  # of another image: what knows the data, not the image
    return {
        "contains": float(contained(boxes, truth).mean()),
        "contains, center box": float(contained(middle, truth).mean()),
        "contains, another image's": float(contained(other, truth).mean()),
        "share of the digit": float(covered(boxes, truth).mean()),
        "IoU": float(np.diagonal(geometry.iou(boxes, truth)).mean()),
        "side / source": float((2 * half).mean() / source),
    }


def contained(boxes: geometry.Boxes, truth: geometry.Boxes) -> geometry.Boxes:
    """1 where a true box lies inside the other box, else 0."""
    slack = np.concatenate([truth[:, :2] - boxes[:, :2], boxes[:, 2:] - truth[:, 2:]], axis=1)
    inside: geometry.Boxes = (slack >= 0).all(axis=1).astype(float)
    return inside


def covered(boxes: geometry.Boxes, truth: geometry.Boxes) -> geometry.Boxes:
    """Share of each true box inside the other box."""
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, 2:], truth[:, 2:])
    share: geometry.Boxes = geometry.area(np.hstack([low, high])) / geometry.area(truth)
    return share


def summarized(name: str, rows: list[dict[str, float]]) -> dict[str, Any]:
    """Means over the seeds; beside them each seed's scores that the promise is about."""
    result: dict[str, Any] = {"method": name}
    for key in rows[0]:
        values = [row[key] for row in rows]
        result[key] = mean(values)
        if key.startswith("top1") or key == "contains":
            result[f"{key}, by seed"] = ", ".join(f"{value:.3f}" for value in values)
        if key == "top1":
            result["sd"] = stdev(values) if len(values) > 1 else 0.0
    return result


def main() -> None:
    parser = arguments("looking", __doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--source", type=int, default=192, help="side of a scene in pixels")
    parser.add_argument("--digit", type=int, nargs=2, default=(20, 26), help="its height, pixels")
    parser.add_argument("--size", type=int, default=32, help="side of every network's input")
    parser.add_argument("--scales", type=int, default=2)
    parser.add_argument("--half-side", type=float, default=0.45)
    parser.add_argument("--train", type=int, default=3200)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--only", nargs="*", help="of the methods")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # Equal compute: as many input pixels as all scales have together, in steps of the stride.
    larger = 8 * round(given.size * math.sqrt(given.scales) / 8)
    closer = {
        "method": "racnn", "size": given.size, "source_size": given.source,
        "scales": given.scales, "half_side": given.half_side,
    }  # fmt: skip
    methods: dict[str, dict[str, Any]] = {
        f"cam, {given.size} px": {"method": "cam", "size": given.size},
        f"cam, {larger} px": {"method": "cam", "size": larger},
        "racnn, alternate": {**closer, "train_mode": "alternate"},
        "racnn, joint": {**closer, "train_mode": "joint"},
    }
    methods = {name: own for name, own in methods.items() if not given.only or name in given.only}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    with tempfile.TemporaryDirectory() as folder:
        catalog = scenes(
            Path(folder) / "scenes", given.source, tuple(given.digit), given.train, given.test
        )
        for seed in given.seeds:
            for name, options in methods.items():
                results[name].append(measure(catalog, epochs=given.epochs, seed=seed, **options))
                print(seed, name, results[name][-1], flush=True)
    title = (
        f"scenes of {given.source} px, digits of {given.digit[0]} to {given.digit[1]} px, "
        f"{given.train} images, {given.epochs} epochs, {len(given.seeds)} seeds"
    )
    rows = [summarized(name, found) for name, found in results.items()]
    report(given.json, machine(), {title: rows})


if __name__ == "__main__":
    main()
