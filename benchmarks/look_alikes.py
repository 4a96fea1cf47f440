"""Methods side by side on look-alikes: few images per class, small inputs, one recipe.

A method is its name, with options behind it: ``--methods cam osme "osme mamc_weight=0"``. For each
seed, ``--images`` images of every class are drawn from the train split; all methods get the same
ones, and the options of one recipe. The last weights are scored on the whole test split, or, with
``--choose``, on ten images of each class that were not drawn: what is chosen there may be reported
on test. The speed of a forward pass with the map of the best class is taken in turns at the end.

python benchmarks/look_alikes.py DATA --weights mobilenetv2_100.safetensors --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
import yaml
from _harness import arguments, interleave, machine, report
from torch import Tensor

from lookcloser.data import Catalog, Sample, read_data
from lookcloser.models import Model, load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit
from lookcloser.training.options import TrainOptions, make_options

HELD_OUT = 10  # images per class for choosing


class Trained(NamedTuple):
    """One training: its scores, and the model of it."""

    model: Model
    top1: float
    per_scale: tuple[float, ...]
    images_per_second: float


def parse_method(text: str) -> dict[str, Any]:
    """ "osme parts=3" -> {"method": "osme", "parts": 3}."""
    name, *pairs = text.split()
    return {"method": name, **{k: yaml.safe_load(v) for k, v in (p.split("=") for p in pairs)}}


def draw(catalog: Catalog, count: int, seed: int, *, choose: bool) -> Catalog:
    """``count`` training images of each class; with ``choose``, others take the place of test."""
    generator = torch.Generator().manual_seed(seed)
    train: list[Sample] = []
    scored: list[Sample] = [] if choose else list(catalog.split("test"))
    every = sorted(catalog.split("train"), key=lambda sample: sample.name)
    for name in catalog.names:
        of_class = [sample for sample in every if sample.labels[0] == name]
        order = torch.randperm(len(of_class), generator=generator).tolist()
        train += [of_class[index] for index in order[:count]]
        if choose:
            held_out = [of_class[index] for index in order[count : count + HELD_OUT]]
            scored += [replace(sample, split="test") for sample in held_out]
    return replace(catalog, samples=(*train, *scored))


def train(catalog: Catalog, options: TrainOptions) -> Trained:
    """Train, keep the last weights, score the test split."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        fit(catalog, options, run, quiet=True)
        with (run / "metrics.csv").open(encoding="utf-8") as file:
            speed = mean(float(row["images_per_second"]) for row in csv.DictReader(file))
        model, header = load_model_file(run / "model.safetensors")
    recognizer = Recognizer(model, header)
    metrics = recognizer.evaluate(catalog)
    scales = tuple(value for name, value in metrics.items() if name.startswith("top1 scale"))
    return Trained(model, metrics["top1"], scales, speed)


def rows_of(
    found: Mapping[str, list[Trained]], seconds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One row per method."""
    return [
        {
            "method": name,
            "top-1": mean(run.top1 for run in runs),
            "by seed": ", ".join(f"{run.top1:.4f}" for run in runs),
            "scales": ", ".join(
                f"{mean(s):.4f}" for s in zip(*(r.per_scale for r in runs), strict=True)
            ),
            "parameters, M": sum(p.numel() for p in runs[0].model.parameters()) / 1e6,
            "training img/s": mean(run.images_per_second for run in runs),
            "forward img/s": 1 / seconds[name],
        }
        for name, runs in found.items()
    ]


def forward_seconds(
    found: Mapping[str, list[Trained]], side: Mapping[str, int]
) -> dict[str, float]:
    """Seconds per image of each method, taken in turns."""

    def call(name: str) -> Tensor:
        images = torch.zeros(16, 3, side[name], side[name])
        with torch.inference_mode():
            return found[name][0].model(images, top=1).logits

    taken = interleave({name: lambda name=name: call(name) for name in found}, rounds=5)
    return {name: min(values) / 16 for name, values in taken.items()}


def options_of(text: str, size: int, seed: int, given: argparse.Namespace) -> TrainOptions:
    """The recipe, with the method's own options on top."""
    values: dict[str, Any] = {
        "backbone": given.backbone, "weights": given.weights, "model_kwargs": {"pad_type": "same"},
        "mean": (0.5,) * 3, "std": (0.5,) * 3, "size": size, "epochs": given.epochs,
        "batch_size": given.batch_size, "workers": 0, "seed": seed, "freeze_norm": True,
    }  # fmt: skip
    return make_options(**(values | parse_method(text)))


def main() -> None:
    parser = arguments("look_alikes", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--methods", nargs="+", default=["cam", "osme"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[112])
    parser.add_argument(
        "--images", type=int, nargs="+", default=[5, 10], help="of each class; all, if fewer"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--choose", action="store_true", help="score on images not drawn, not test")
    given = parser.parse_args()
    whole = read_data(given.data, val_share=0.0)
    tables = {}
    for size in given.sizes:
        for count in given.images:
            found: dict[str, list[Trained]] = {name: [] for name in given.methods}
            for seed in given.seeds:
                catalog = draw(whole, count, seed, choose=given.choose)
                for name in given.methods:
                    found[name].append(train(catalog, options_of(name, size, seed, given)))
                    print(f"{size} px, {count} images, seed {seed}, {name}: ", end="")
                    print(f"{found[name][-1].top1:.4f}", flush=True)
            sides = {
                name: options.own_option("source_size") or options.size
                for name in given.methods
                for options in (options_of(name, size, 0, given),)
            }
            title = f"{given.data.name}, {size} px, {count} images of each class, "
            title += f"{given.epochs} epochs, scored on {'held-out' if given.choose else 'test'}"
            tables[title] = rows_of(found, forward_seconds(found, sides))
    report(given.json, machine(), tables)


if __name__ == "__main__":
    main()
