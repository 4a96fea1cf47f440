"""What training costs over the bare loop, and whether the loader keeps it fed.

The bare step is forward, cross-entropy, backward and AdamW on batches that lie in memory; ours is
the whole of `lookcloser train` on a step: Lightning, logging, callbacks, loading in workers.
Both run the same network on the same number of threads, in turns, epoch by epoch.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _harness import arguments, machine, report
from PIL import Image
from torch.nn import functional as F

from lookcloser.data import Catalog, read_data
from lookcloser.training.fit import fit, prepare_model
from lookcloser.training.options import TrainOptions, make_options
from lookcloser.training.tasks.module import parameter_groups


def write_images(folder: Path, count: int, side: int = 256) -> Path:
    """JPEG files of noise over gradients, in two classes."""
    generator = np.random.default_rng(0)
    ramp = np.linspace(0, 200, side)[None, :, None] + np.zeros((side, side, 3))
    for number in range(count):
        pixels = (ramp + generator.integers(0, 55, (side, side, 3))).astype(np.uint8)
        target = folder / "train" / "ab"[number % 2] / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target)
    return folder


def bare_epoch(options: TrainOptions, steps: int) -> float:
    """Seconds per step of the bare loop."""
    model, _ = prepare_model(options, Catalog(Path(), "", "classification", ("a", "b"), ()))
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, options), lr=options.lr)
    shape = (options.batch_size, 3, options.size, options.size)
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(options.batch_size) % 2
    start = 0.0
    for step in range(steps + 1):
        if step == 1:  # the first step allocates
            start = time.perf_counter()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images).logits, targets, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - start) / steps


def our_epoch(options: TrainOptions, data: Path, steps: int) -> tuple[float, float]:
    """Seconds per step of an epoch after the first, and the share of time waiting for data."""
    import csv

    with tempfile.TemporaryDirectory() as folder:
        fit(read_data(data), options, Path(folder) / "run", quiet=True)
        with (Path(folder) / "run" / "metrics.csv").open() as file:
            last = list(csv.DictReader(file))[-1]
    return options.batch_size / float(last["images_per_second"]), float(last["data_wait"])


def main() -> None:
    parser = arguments("training", __doc__)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        count = options.steps * options.batch_size
        data = write_images(Path(folder), count)
        for workers in (0, 1, 2):
            chosen = make_options(
                backbone=options.backbone, weights="none", size=options.size, epochs=3,
                batch_size=options.batch_size, workers=workers, val_share=0.0, test_share=0.0,
            )  # fmt: skip
            measured = [
                (bare_epoch(chosen, options.steps), *our_epoch(chosen, data, options.steps))
                for _ in range(options.rounds)
            ]
            ratios = sorted(ours / bare for bare, ours, _ in measured)
            rows.append(
                {
                    "workers": workers,
                    "bare s/step": sorted(bare for bare, _, _ in measured)[len(measured) // 2],
                    "ours s/step": sorted(ours for _, ours, _ in measured)[len(measured) // 2],
                    "ours over bare (median)": ratios[len(ratios) // 2],
                    "min": ratios[0],
                    "max": ratios[-1],
                    "waiting for data": sorted(w for _, _, w in measured)[len(measured) // 2],
                }
            )
    report(options.json, machine(), {f"{options.backbone}, batch {options.batch_size}": rows})


if __name__ == "__main__":
    main()
