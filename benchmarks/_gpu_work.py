"""What the parts of gpu.py work on, and how they read the time."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lookcloser.training.options import TrainOptions, make_options

LOOKING = {"osme": {"images_per_class": 2}, "racnn": {"scales": 2}}  # several times at an image


@dataclass(frozen=True)
class Work:
    """How much is done, and on what.

    Attributes:
        backbone: Of all parts but "fsdp" and those of `LOOKING`.
        sharded: That of "fsdp", with blocks that are worth sharding.
        looking: That of `LOOKING`.
        side: Of the input in pixels.
        batch: Images of a step.
        looks: The same in `LOOKING`.
        steps: Timed ones of a bare loop.
        images: Files that are different.
        repeats: How often each is seen in an epoch of "training".
        workers: Loading processes, or threads.
        epochs: Of `LOOKING`.
        folder: With ``images``, and ``often`` those with their repeats.
        birds: The data of `LOOKING`.
        weights: Of its network.
    """

    backbone: str
    sharded: str
    looking: str
    side: int
    batch: int
    looks: int
    steps: int
    images: int
    repeats: int
    workers: int
    epochs: int
    folder: str = ""
    birds: str = ""
    weights: str = "none"

    def options(self, **more: Any) -> TrainOptions:
        """Of a training that decodes, computes, and does nothing else."""
        return make_options(
            **{
                "backbone": self.backbone, "weights": "none", "size": self.side,
                "batch_size": self.batch, "workers": self.workers, "val_share": 0.0,
                "test_share": 0.0, "recipe": "fine-tune", "stride": None,
                "deterministic": False, **more,
            }
        )  # fmt: skip

    def looking_options(self, method: str) -> TrainOptions:
        """Of a method that looks several times."""
        return make_options(
            method=method, backbone=self.looking, weights=self.weights, size=self.side,
            epochs=self.epochs, batch_size=self.looks, workers=self.workers,
            precision="bf16-mixed", **LOOKING[method],
        )  # fmt: skip


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def done() -> None:
    """Wait for the GPU: what is asked of it is not done when the call returns."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def metrics(run: Path) -> list[dict[str, str]]:
    """The epochs of a training."""
    path = run / "metrics.csv"
    with path.open() if path.is_file() else nullcontext([]) as lines:
        return list(csv.DictReader(lines))


def median_seconds(call: Callable[[], Any], steps: int) -> float:
    """Of the steps after two that do not count."""
    times = []
    for _ in range(steps + 2):
        done()
        start = time.perf_counter()
        call()
        done()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])
