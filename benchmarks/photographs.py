"""Localization on real photographs with boxes: the class map against the center box.

- boxes20: `cam` fine-tuned from labels alone, thresholds chosen on val, scored on test, maps of the
  true class.
- coco200: no training; the ImageNet classifier's map of its own best class against every annotated
  object of the picture. Thresholds are chosen on every other picture and scored on the rest.

python benchmarks/photographs.py SHARED_DATA --epochs 2
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from _harness import arguments, machine, report
from safetensors.torch import load_file

from lookcloser import metrics
from lookcloser.core import boxes as geometry
from lookcloser.core.images import load_image
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data.transforms import evaluation_transform
from lookcloser.explain import normalize
from lookcloser.models import CAM, load_backbone_weights
from lookcloser.recognizer import run_training

HALF = (0.5, 0.5, 0.5)
Choice = Literal["all", "largest"]

IOUS = (0.3, 0.5, 0.7)


def boxes20(data: Path, side: int, epochs: int, stride: int | None) -> list[dict[str, Any]]:
    """Fine-tune, then score the test split."""
    with tempfile.TemporaryDirectory() as folder:
        result = run_training(
            data / "boxes20", out=Path(folder) / "run", backbone="mobilenetv2_100",
            weights=str(data / "weights" / "mobilenetv2_100.safetensors"), stride=stride,
            model_kwargs={"pad_type": "same"}, mean=HALF, std=HALF, size=side, epochs=epochs,
            workers=1, recipe="fine-tune", zoom="off",
        )  # fmt: skip
        scores = result.recognizer.evaluate(data / "boxes20")
    return [{"score": name, "value": value} for name, value in scores.items()]


def coco200(data: Path, side: int) -> list[dict[str, Any]]:
    """Score the ImageNet classifier's own maps, raw and of positive evidence only."""
    weights = data / "weights" / "mobilenetv2_100.safetensors"
    model = CAM(1000, CAM.Options("mobilenetv2_100", model_kwargs={"pad_type": "same"}))
    load_backbone_weights(model.backbone, str(weights))
    state = load_file(weights)
    model.head.load_state_dict(
        {"weight": state["classifier.weight"], "bias": state["classifier.bias"]}
    )
    model.eval()
    prepare = evaluation_transform(Preprocessing((side, side), HALF, HALF))
    annotations = json.loads((data / "coco200" / "instances.json").read_text())
    boxes: dict[int, list[list[float]]] = {}
    for item in annotations["annotations"]:
        x, y, width, height = item["bbox"]
        if width >= 1 and height >= 1 and not item.get("iscrowd"):
            boxes.setdefault(item["image_id"], []).append([x, y, x + width, y + height])
    maps, truth = [], []
    for image in annotations["images"]:
        if image["id"] not in boxes:
            continue
        picture = load_image(data / "coco200" / "images" / image["file_name"])
        with torch.inference_mode():
            found = model(prepare(picture)[None], top=1).maps
        assert found is not None  # this method always has maps
        maps.append(found[0])
        truth.append(geometry.scale(boxes[image["id"]], picture.size, (side, side)))
    raw = torch.cat(maps)
    kinds = {
        "class map": normalize(raw).numpy(),
        "class map with negative evidence": raw.numpy(),
    }
    rows = [
        _half_and_half(name, metrics.upsample_maps(kind, (side, side)), truth)
        for name, kind in kinds.items()
    ]
    rows.append(_half_and_half("center box", metrics.center_maps(len(raw), (side, side)), truth))
    return rows


def _half_and_half(name: str, maps: Any, truth: list[Any]) -> dict[str, Any]:
    """Thresholds from the even pictures for the odd ones, and the other way round."""
    row: dict[str, Any] = {"map": name, "pictures": len(maps)}
    choices: tuple[Choice, ...] = ("largest", "all")
    for components in choices:
        scores: dict[str, float] = {}
        for scored, other in ((0, 1), (1, 0)):
            chosen = metrics.box_accuracy_curve(
                maps[other::2], truth[other::2], IOUS, components, "corrected"
            ).best()
            found = metrics.box_acc_at(
                maps[scored::2], truth[scored::2], chosen, components, "corrected"
            )
            for key, value in found.items():
                share = len(maps[scored::2]) / len(maps)
                scores[key] = scores.get(key, 0.0) + share * value
        row |= {f"{components} {key}": value for key, value in scores.items()}
    return row


def main() -> None:
    parser = arguments("photographs", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--side", type=int, default=160, help="input of boxes20")
    parser.add_argument("--stride", type=int)
    parser.add_argument("--only", choices=["boxes20", "coco200"])
    given = parser.parse_args()
    tables: dict[str, list[dict[str, Any]]] = {}
    if given.only != "boxes20":
        for side in (224, 320, 448):  # its objects are small
            tables[f"coco200 at {side} px"] = coco200(given.data, side)
    if given.only != "coco200":
        title = f"boxes20 at {given.side} px, {given.epochs} epochs, stride {given.stride}"
        tables[title] = boxes20(given.data, given.side, given.epochs, given.stride)
    report(given.json, machine(), tables)


if __name__ == "__main__":
    main()
