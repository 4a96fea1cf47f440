"""Label sets: CNN-RNN against one sigmoid per label, and the orders in which sets are learned.

Scenes `tags`: one or two leading digits bring along a third that follows from both, half of the
time hardly visible. Every model has the same backbone from random weights, the same scenes, epochs
and rates, and its best epoch is chosen by the same score on val; one baseline has three times the
epochs. The sigmoid's threshold is 0.5, and tuned on val for each score apart. Scenes and trainings
have the seed of the row.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _harness import arguments, machine, report
from PIL import Image

from lookcloser.data import Catalog, read_data
from lookcloser.data.scenes import write_scenes
from lookcloser.evaluation.tag_sets import Tagged, tag_split
from lookcloser.inference.engine import TorchEngine
from lookcloser.metrics.multilabel import multilabel_scores, set_scores
from lookcloser.models import load_model_file
from lookcloser.training.files import MODEL_FILE
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options

SCENES: dict[str, Any] = {
    "train": 2500, "val": 300, "test": 600, "size": 64, "digit_size": (18, 23), "clutter": (0, 3),
}  # fmt: skip
RECIPE: dict[str, Any] = {
    "backbone": "test_resnet",
    "stride": 8,
    "weights": "none",
    "size": 64,
    "epochs": 6,
    "batch_size": 32,
    "lr": 5e-3,
    "clip": 5.0,
    "augment": "shift",
    "flip": False,
    "workers": 0,
}
BASELINES: dict[str, dict[str, Any]] = {
    "sigmoid, BCE": {"method": "sigmoid"},
    "sigmoid, asymmetric": {"method": "sigmoid", "loss": "asymmetric"},
    "sigmoid, BCE, three times the epochs": {"method": "sigmoid", "epochs": 18},
}
PAPER = "cnnrnn, frequent first"
ORDERS = {
    name: {"method": "cnnrnn", "label_order": name.split(", ")[1].split()[0]}
    for name in (
        PAPER,
        "cnnrnn, rare first",
        "cnnrnn, easy first",
        "cnnrnn, fixed random",
        "cnnrnn, shuffled",
        "cnnrnn, minimal loss alignment",
        "cnnrnn, predicted label alignment",
    )
}
THRESHOLDS = np.linspace(0.05, 0.95, 91)
SCORES = ("exact", "C-F1", "O-F1")


def scenes(folder: Path, seed: int) -> Catalog:
    """The data in memory, so that no time goes into files."""
    catalog = read_data(write_scenes(folder / f"tags{seed}", "tags", seed=seed, **SCENES))
    read = tuple(
        replace(sample, source=np.asarray(Image.open(sample.source))) for sample in catalog.samples
    )
    return replace(catalog, samples=read)


def trained(catalog: Catalog, folder: Path, **options: Any) -> dict[str, float]:
    """Scores on test of one training."""
    start = time.perf_counter()
    fit(catalog, make_options(**{**RECIPE, **options}), folder, quiet=True)
    seconds = time.perf_counter() - start
    model, header = load_model_file(folder / MODEL_FILE)
    engine = TorchEngine(model, header, torch.device("cpu"))
    test = tag_split(engine, catalog.split("test"))
    found = {name: set_scores(test.answered, test.targets)[name] for name in SCORES}
    found["mAP"] = multilabel_scores(probabilities(test), test.targets)["mAP"]
    found["train_s"] = seconds
    if options["method"] == "sigmoid":
        val = tag_split(engine, catalog.split("val"))
        found |= {f"{name}, tuned": tuned(val, test, name) for name in SCORES}
    return found


def probabilities(tagged: Tagged) -> np.ndarray:
    return tagged.logits.double().sigmoid().numpy()


def tuned(val: Tagged, test: Tagged, score: str) -> float:
    """The score on test at the one threshold that is best for it on val."""
    on_val = probabilities(val)
    best = max(THRESHOLDS, key=lambda tau: set_scores(on_val > tau, val.targets)[score])
    return set_scores(probabilities(test) > best, test.targets)[score]


def rows_of(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Mean over the seeds and, for exact sets, each seed's."""
    rows = []
    for name, runs in found.items():
        columns = list(runs[0])
        row: dict[str, Any] = {"method": name}
        row |= {column: statistics.mean(run[column] for run in runs) for column in columns}
        row["exact by seed"] = " ".join(f"{run['exact']:.3f}" for run in runs)
        rows.append(row)
    return rows


def margins(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """CNN-RNN as in the paper less each baseline, in points, by seed."""
    rows = []
    for name in BASELINES:
        for score in ("exact", "exact, tuned", "C-F1", "C-F1, tuned"):
            plain = score.removesuffix(", tuned")
            points = [
                100 * (ours[plain] - theirs[score])
                for ours, theirs in zip(found[PAPER], found[name], strict=True)
            ]
            row: dict[str, Any] = {"against": name, "score": score, "least": min(points)}
            row["points by seed"] = " ".join(f"{value:+.1f}" for value in points)
            rows.append(row)
    return rows


def main() -> None:
    parser = arguments("tagging", __doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--order-seeds", type=int, default=1, help="of the orders but the paper's")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = [scenes(Path(folder), seed) for seed in range(options.seeds)]
        for name, choice in (BASELINES | ORDERS).items():
            seeds = options.seeds if name in (*BASELINES, PAPER) else options.order_seeds
            for seed in range(seeds):
                run = Path(folder) / f"{name}{seed}"
                scored = trained(data[seed], run, seed=seed, **choice)
                found.setdefault(name, []).append(scored)
                shown = "  ".join(f"{score} {value:.4g}" for score, value in scored.items())
                print(f"{name}, seed {seed}: {shown}", flush=True)
    about = machine() | {"scenes": SCENES, "recipe": RECIPE, "seeds": options.seeds}
    kept = {name: found[name] for name in BASELINES} | {PAPER: found[PAPER]}
    orders = {name: found[name] for name in ORDERS if name in found}
    tables = {
        "Label sets, mean over the seeds": rows_of(kept),
        f"{PAPER} less the baselines, points": margins(found),
        "Orders of labels": rows_of(orders),
    }
    report(options.json, about, tables)


if __name__ == "__main__":
    main()
