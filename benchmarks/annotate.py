"""Pseudo-boxes of photographs against their true boxes, read again by other people's readers.

A network learns ``--images`` training pictures by their labels alone; the data's test pictures are
annotated, with their own labels and with the predicted ones, at the threshold that boxes of a val
split give, per class, and at the one that needs no boxes. Recall is the share of true boxes that
have a box of their class with an IoU of at least 0.5, precision the share of boxes that have such a
true box; AP@0.5 is that of pycocotools, from the written file, sorted by score.

python benchmarks/annotate.py DATA --weights mobilenetv2_100.safetensors
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _harness import arguments, machine, report
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.datasets import CocoDetection, VOCDetection

from lookcloser.annotation import Annotation
from lookcloser.core import boxes as geometry
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.models import load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options

IOU = 0.5


def hits(found: Annotation, samples: Sequence[Sample]) -> tuple[float, float, int]:
    """Recall, precision, and how many boxes there are."""
    recalled = true = good = boxes = 0
    for record, sample in zip(found.records, samples, strict=True):
        true += len(sample.boxes)
        boxes += len(record.things)
        for name, box in sample.boxes:
            own = [t.box for t in record.things if t.label == (name or sample.labels[0])]
            recalled += bool(own) and bool(geometry.iou([box], own).max() >= IOU)
        for thing in record.things:
            own = [box for name, box in sample.boxes if (name or sample.labels[0]) == thing.label]
            good += bool(own) and bool(geometry.iou([thing.box], own).max() >= IOU)
    return recalled / true, good / max(boxes, 1), boxes


def truth_file(path: Path, samples: Sequence[Sample], written: Path) -> COCO:
    """The true boxes in the ids of a written file."""
    content = json.loads(written.read_text(encoding="utf-8"))
    category = {entry["name"]: entry["id"] for entry in content["categories"]}
    image = {entry["file_name"]: entry["id"] for entry in content["images"]}
    content["annotations"] = [
        {
            "id": number,
            "image_id": image[sample.name],
            "category_id": category[name or sample.labels[0]],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
        }
        for number, (sample, (name, (x0, y0, x1, y1))) in enumerate(
            ((sample, box) for sample in samples for box in sample.boxes), 1
        )
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    return COCO(path)


def average_precision(written: Path, truth: COCO) -> float:
    """AP@0.5 of pycocotools."""
    coco = COCO(written)
    keys = ("image_id", "category_id", "bbox", "score")
    rows = [{key: entry[key] for key in keys} for entry in coco.dataset["annotations"]]
    scored = COCOeval(truth, truth.loadRes(rows), "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    return float(scored.stats[1])


def trained(catalog: Catalog, given: Any) -> Recognizer:
    """Fine-tuned on some of the training pictures."""
    train = list(catalog.split("train"))
    order = np.random.default_rng(given.seed).permutation(len(train))[: given.images]
    others = [sample for sample in catalog.samples if sample.split != "train"]
    part = replace(catalog, samples=(*(train[index] for index in sorted(order)), *others))
    options = make_options(
        backbone=given.backbone, weights=given.weights, model_kwargs={"pad_type": "same"},
        mean=(0.5,) * 3, std=(0.5,) * 3, size=given.size, stride=given.stride,
        epochs=given.epochs, batch_size=32, workers=0, seed=given.seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fit(part, options, Path(folder) / "run", quiet=True)
        return Recognizer(*load_model_file(Path(folder) / "run" / "model.safetensors"))


def main() -> None:
    parser = arguments("annotate", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--stride", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    catalog = read_data(given.data)
    recognizer = trained(catalog, given)
    blind = replace(catalog, samples=tuple(replace(s, boxes=()) for s in catalog.samples))
    sources = {"val, per class": catalog, "none: the paper's 0.2": blind}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # pycocotools 2.0.11 answers NumPy 2's call of __array__ in the old way.
        warnings.simplefilter("ignore", DeprecationWarning)
        for labels in ("given", "predicted"):
            for source, data in sources.items():
                out = Path(folder) / f"{labels}{len(rows)}"
                rows.append(
                    {"labels": labels, "thresholds from": source}
                    | scored(recognizer, data, catalog.split("test"), out, labels)
                )
                print(rows[-1], flush=True)
    title = f"{given.data.name}, {given.images} training images, {given.size} px"
    report(given.json, machine("pycocotools"), {title: rows})


def scored(
    recognizer: Recognizer, data: Catalog, test: Sequence[Sample], out: Path, labels: str
) -> dict[str, Any]:
    """Annotate the test split, compare with its true boxes, read it with other readers."""
    begin = time.process_time()
    found = recognizer.annotate(data, out, labels=labels, split="test")
    seconds = time.process_time() - begin
    recall, precision, count = hits(found, test)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = truth_file(out / "truth.json", test, found.files[0])
        average = average_precision(found.files[0], truth)
        read = reread(recognizer, data, out, labels)
    return {
        "images": len(test),
        "boxes": count,
        "recall": recall,
        "precision": precision,
        "AP@0.5": average,
        "read by torchvision": read,
        "images per CPU s": len(found.records) / seconds,
    }


def reread(recognizer: Recognizer, data: Catalog, out: Path, labels: str) -> str:
    """How many boxes torchvision's readers of COCO and of VOC find in what is written."""
    coco = CocoDetection(data.root, out / "annotations.json")
    in_coco = sum(len(coco[index][1]) for index in range(len(coco)))
    recognizer.annotate(data, out, form="voc", labels=labels, split="test")
    lists = out / "VOCdevkit/VOC2012/ImageSets/Main"
    # The reader knows a list "test" of the year 2007 alone.
    (lists / "val.txt").write_text((lists / "test.txt").read_text(), encoding="utf-8")
    voc = VOCDetection(out, "2012", "val", download=False)
    found = (voc[index][1]["annotation"].get("object", []) for index in range(len(voc)))
    return f"COCO {in_coco}, VOC {sum(map(len, found))}"


if __name__ == "__main__":
    main()
