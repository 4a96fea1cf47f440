"""Which share a class map is best cut at: of its maximum (the paper) or of its range?

Boxes of the true class's map against the true box, IoU at least 0.5, at thresholds from 0.05 to
0.95; on scenes with a small network trained here, and on photographs (a folder of images with
boxes.csv) with a linear head on a frozen backbone. "chosen" is the threshold that is best on one
half of the images, scored on the other.

python benchmarks/box_rules.py [--photographs boxes20 --weights mobilenetv2_100.safetensors]
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from _harness import arguments, machine, report
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.boxes import iou
from lookcloser.core.choices import BoxRule
from lookcloser.core.images import load_image
from lookcloser.data.scenes import write_scenes
from lookcloser.data.transforms import Preprocessing, evaluation_transform
from lookcloser.layers.class_head import ClassHead
from lookcloser.metrics import boxes_from_maps, upsample_maps
from lookcloser.models import CAM, Backbone, load_backbone_weights

THRESHOLDS = np.arange(1, 20) / 20


class Split(NamedTuple):
    """Images (N, 3, S, S), classes (N,), and true boxes (N, 4) in shares of the side."""

    images: Tensor
    classes: Tensor
    boxes: NDArray[np.float64]


def read(folder: Path, preprocessing: Preprocessing, most: dict[str, int]) -> dict[str, Split]:
    """Splits of a folder with boxes.csv; ``most`` says how many images of a class at most."""
    with (folder / "boxes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    prepare = evaluation_transform(preprocessing)
    found = {}
    for split, count in most.items():
        taken = dict.fromkeys(names, 0)
        images, classes, boxes = [], [], []
        for row in rows:
            if row["split"] != split or taken[row["label"]] == count:
                continue
            taken[row["label"]] += 1
            image = load_image(folder / row["image"])
            images.append(prepare(image))
            classes.append(names.index(row["label"]))
            corners = [float(row[side]) for side in ("x0", "y0", "x1", "y1")]
            boxes.append(np.array(corners) / [*image.size, *image.size])
        found[split] = Split(torch.stack(images), torch.tensor(classes), np.array(boxes))
    return found


def learn(model: torch.nn.Module, images: Tensor, classes: Tensor, epochs: int, lr: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    batches = [len(images) // 32 * epochs, 32]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=batches[0] + 1)
    model.train()
    for step in range(batches[0]):
        chosen = torch.randint(len(images), (batches[1],))
        output = model(images[chosen])
        logits = output if isinstance(output, Tensor) else output.logits
        optimizer.zero_grad()
        F.cross_entropy(logits, classes[chosen]).backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} of {batches[0]}", flush=True)
    model.eval()


@torch.no_grad()
def scene_maps(folder: Path) -> tuple[str, Tensor, Split]:
    write_scenes(folder, train=2000, val=0, test=300, size=64)
    splits = read(folder, Preprocessing((64, 64)), {"train": 10_000, "test": 10_000})
    torch.manual_seed(0)
    model = CAM(10, CAM.Options("test_resnet", stride=8))
    with torch.enable_grad():
        learn(model, splits["train"].images, splits["train"].classes, epochs=12, lr=0.01)
    test = splits["test"]
    output = model(test.images, targets=test.classes[:, None])
    top1 = (output.logits.argmax(1) == test.classes).float().mean()
    return f"scenes, top-1 {top1:.3f}", output.maps[:, 0], test


@torch.no_grad()
def photograph_maps(folder: Path, weights: str) -> tuple[str, Tensor, Split]:
    half = (0.5, 0.5, 0.5)
    splits = read(folder, Preprocessing((128, 128), half, half), {"train": 40, "test": 20})
    backbone = Backbone("mobilenetv2_100", options={"pad_type": "same"})
    load_backbone_weights(backbone, weights)
    backbone.eval()
    features = {
        name: torch.cat([backbone(part) for part in split.images.split(50)])
        for name, split in splits.items()
    }
    torch.manual_seed(0)
    head, pooled = ClassHead(backbone.width, 20), features["train"].mean(dim=(2, 3))
    with torch.enable_grad():
        learn(head, pooled, splits["train"].classes, epochs=20, lr=3e-3)
    test, seen = splits["test"], features["test"]
    top1 = (head(seen.mean(dim=(2, 3))).argmax(1) == test.classes).float().mean()
    return f"photographs, top-1 {top1:.3f}", head.maps(seen, test.classes[:, None])[:, 0], test


def hits(maps: NDArray[np.float32], boxes: NDArray[np.float64], rule: BoxRule) -> Any:
    """(thresholds, N) whether the box of each map has an IoU of at least 0.5 with the true one."""
    side = maps.shape[1]
    found = [boxes_from_maps(maps, float(t), rule=rule) / side for t in THRESHOLDS]
    return np.stack([np.nan_to_num(np.diagonal(iou(each, boxes))) >= 0.5 for each in found])


def compared(name: str, maps: Tensor, split: Split) -> list[dict[str, Any]]:
    side = split.images.shape[-1]
    large = upsample_maps(maps.float().numpy(), (side, side))
    rows = []
    for rule in get_args(BoxRule):
        found = hits(large, split.boxes, rule)
        rates = found.mean(axis=1)
        halves = found[:, 0::2], found[:, 1::2]
        chosen = [other[own.mean(axis=1).argmax()].mean() for own, other in (halves, halves[::-1])]
        rows.append(
            {
                "data": name,
                "rule": rule,
                "images": found.shape[1],
                **{f"{t:g}": float(rates[list(THRESHOLDS).index(t)]) for t in (0.1, 0.2, 0.3, 0.5)},
                "best threshold": float(THRESHOLDS[rates.argmax()]),
                "chosen": float(np.mean(chosen)),
            }
        )
    return rows


def main() -> None:
    parser = arguments("box_rules", __doc__)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--weights", default="pretrained")
    given = parser.parse_args()
    rows = []
    if given.photographs:
        rows += compared(*photograph_maps(given.photographs, given.weights))
        print(rows, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows += compared(*scene_maps(Path(folder) / "scenes"))
    report(given.json, machine(), {"Box accuracy at IoU 0.5, by threshold": rows})


if __name__ == "__main__":
    main()
