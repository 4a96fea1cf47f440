"""Does the audit find planted shortcuts, and how often does it cry wolf?

Each run draws ``--classes`` classes with its seed, fine-tunes a network on them and audits it on
the test split. Planted runs first put a shortcut on 90 % of one class's pictures, in train and
test: a faint watermark (text of an opacity of ``--watermark``) near the lower right corner, or a
background color (everything but the middle of the picture, faded in, with an opacity of
``--background``). A planted class should be ranked first and flagged, and no other should be; every
flag of a clean run is a false alarm. A planted run says nothing of the audit where the network did
not take the bait, so that "bait" tells: the drop of the class's accuracy when the shortcut is taken
off its test pictures.

python benchmarks/audit.py DATA --weights mobilenetv2_100.safetensors --clean 20 --planted 3
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _harness import arguments, machine, report
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lookcloser.core.images import load_image
from lookcloser.core.results.audit import Audit
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.models import load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options

Pixels = NDArray[np.uint8]

SHARE = 0.9  # of the class's pictures that have the shortcut
COLOR = (60, 120, 170)


def watermark(pixels: Pixels, opacity: float) -> Pixels:
    """White text near the lower right corner."""
    height, width = pixels.shape[:2]
    layer = Image.new("L", (width, height), 0)
    font = ImageFont.load_default(max(8, height // 8))
    place = (0.4 * width, 0.82 * height)
    ImageDraw.Draw(layer).text(place, "PhotoBank", 255, font)
    return mix(pixels, (255, 255, 255), np.asarray(layer) / 255 * opacity)


def background(pixels: Pixels, opacity: float) -> Pixels:
    """One color around an ellipse in the middle."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    radius = ((2 * x + 1) / width - 1) ** 2 + ((2 * y + 1) / height - 1) ** 2
    return mix(pixels, COLOR, np.clip((radius - 0.6) / 0.3, 0, 1) * opacity)


def mix(pixels: Pixels, color: tuple[int, int, int], opacity: NDArray[np.float64]) -> Pixels:
    """``pixels`` (H, W, 3) under a color of an opacity (H, W)."""
    mixed = pixels + (np.array(color) - pixels) * opacity[..., None]
    return mixed.round().astype(np.uint8)


Plant = Callable[[Pixels], Pixels]


def draw(whole: Catalog, count: int, seed: int) -> tuple[Catalog, str]:
    """Some classes of the data, and one of them."""
    generator = np.random.default_rng(seed)
    names = sorted(generator.choice(whole.names, count, replace=False).tolist())
    samples = tuple(sample for sample in whole.samples if sample.labels[0] in names)
    return replace(whole, names=tuple(names), samples=samples), str(generator.choice(names))


def planted(catalog: Catalog, victim: str, plant: Plant, seed: int) -> Catalog:
    """The catalog with the shortcut on most of the victim's pictures."""
    generator = np.random.default_rng(seed + 1)

    def changed(sample: Sample) -> Sample:
        if sample.labels[0] != victim or generator.random() >= SHARE:
            return sample
        return replace(sample, source=plant(np.asarray(load_image(sample.source))))

    return replace(catalog, samples=tuple(changed(sample) for sample in catalog.samples))


def trained(catalog: Catalog, given: argparse.Namespace, seed: int) -> Recognizer:
    """A fine-tuned network, the last weights."""
    options = make_options(
        backbone=given.backbone, weights=given.weights, model_kwargs={"pad_type": "same"},
        mean=(0.5,) * 3, std=(0.5,) * 3, size=given.size, epochs=given.epochs,
        backbone_lr=0.3, batch_size=32,
        workers=0, seed=seed, augment="none", flip=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        fit(catalog, options, run, quiet=True)
        return Recognizer(*load_model_file(run / "model.safetensors"))


def right(recognizer: Recognizer, catalog: Catalog, name: str) -> float:
    """The accuracy on a class's test pictures."""
    sources = [sample.source for sample in catalog.split("test") if sample.labels[0] == name]
    return float(np.mean([p.labels[0].name == name for p in recognizer.predict(sources, top=1)]))


def row_of(kind: str, seed: int, found: Audit, victim: str | None) -> dict[str, Any]:
    """One run; a clean one has no victim, and its first class is the most suspicious."""
    names = [one.name for one in found.classes]
    looked = found.classes[0 if victim is None else names.index(victim)]
    others = [one.suspicion for one in found.classes if one.name != victim]
    others.sort(reverse=True)
    measures = looked.measures
    return {
        "run": kind,
        "seed": seed,
        "rank": "" if victim is None else names.index(victim) + 1,
        "flagged": "" if victim is None else looked.flagged,
        "suspicion": "" if victim is None else looked.suspicion,
        "next": others[0],
        "false alarms": sum(one.flagged and one.name != victim for one in found.classes),
        "classes": len(names),
        "same detail": measures["same detail"],
        "place lost": measures["place lost"],
        "place carried": measures["place carried"],
        "same border color": measures["same border color"],
        "border lost": measures["border lost"],
        "border carried": measures["border carried"],
    }


def main() -> None:
    parser = arguments("audit", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--clean", type=int, default=20)
    parser.add_argument("--planted", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--watermark", type=float, default=0.35)
    parser.add_argument("--background", type=float, default=0.8)
    parser.add_argument("--plants", nargs="*", default=["watermark", "background"])
    given = parser.parse_args()
    whole = read_data(given.data, val_share=0.0)
    plants: dict[str, Plant] = {
        "watermark": lambda pixels: watermark(pixels, given.watermark),
        "background": lambda pixels: background(pixels, given.background),
    }
    rows = []
    cases = [
        (kind, given.first_seed + n) for n in range(given.planted) for kind in given.plants
    ] + [("clean", given.first_seed + n) for n in range(given.clean)]  # fmt: skip
    for kind, seed in cases:
        catalog, victim = draw(whole, given.classes, seed)
        changed = planted(catalog, victim, plants[kind], seed) if kind in plants else catalog
        begin = time.process_time()
        recognizer = trained(changed, given, seed)
        middle = time.process_time()
        found = recognizer.audit(changed)
        row = row_of(kind, seed, found, victim if kind in plants else None)
        row["training, CPU s"], row["audit, CPU s"] = middle - begin, time.process_time() - middle
        row["mean score"] = float(np.mean([one.measures["score"] for one in found.classes]))
        if kind in plants:
            with_it, without = (right(recognizer, data, victim) for data in (changed, catalog))
            row["bait"] = with_it - without
        rows.append(row)
        print(
            {key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}, flush=True
        )
    report(given.json, machine(), {f"{given.data.name}, {given.size} px": rows})


if __name__ == "__main__":
    main()
