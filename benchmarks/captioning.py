"""Captions: unseen scenes of digits, and a handful of COCO photographs learned by heart.

- scenes: a small network, trained from random weights on captions of digit scenes. An
  image counts as right where the caption equals a reference: every size, color, digit and the
  relation. The pointing game asks whether the map of a digit's word is highest inside that digit.
- coco: 80 photographs with five captions each and the features of a pretrained network, made once.
  The captioner shall reproduce a caption of each: scored on its own training images, this says
  that learning and decoding work, not that it describes other images.

Data and weights are not downloaded: --data is a folder with coco200/captions.json, and --weights a
.safetensors file of mobilenetv2_100.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _harness as harness
import torch
from torch.nn import functional as F

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.types import Evaluation
from lookcloser.data import Catalog, read_data
from lookcloser.data.dataset import EpochSampler, ImageDataset, image_loader
from lookcloser.data.scenes import write_scenes
from lookcloser.data.scenes.kinds import COLORS, WORDS
from lookcloser.data.targets import CaptionTargets
from lookcloser.data.transforms import evaluation_transform
from lookcloser.data.vocabulary import longest_caption, tokenize, with_vocabulary
from lookcloser.models import build_model, load_backbone_weights
from lookcloser.recognizer import Recognizer, run_training

SHARED = Path(__file__).parents[2] / "shared" / "data"
SCENES: dict[str, Any] = {"train": 6000, "val": 300, "test": 1000, "size": 64}
# One block, so that a place sees 27 pixels: as much as the largest digit. A place that sees more
# names digits that it lies beside.
RECIPE: dict[str, Any] = {
    "backbone": "resnetv2_18",
    "model_kwargs": {"layers": [1, 1, 1, 1]},
    "stride": 4,
    "weights": "none",
    "size": 64,
    "epochs": 16,
    "batch_size": 16,
    "lr": 3e-3,
    "clip": 5.0,
    "label_smoothing": 0.0,
    "augment": "shift",
    "embed_size": 64,
    "hidden_size": 128,
    "workers": 0,
}
KINDS = {
    "digits": set(WORDS),
    "colors": set(COLORS),
    "sizes": {"small", "large"},
    "relation": {"left", "right", "above", "below"},
}
HEAD: dict[str, Any] = {"embed_size": 256, "hidden_size": 512}


def attributes(evaluation: Evaluation) -> dict[str, float]:
    """Share of the images whose words of each kind are those of a reference, in its order."""

    def right(kind: set[str], said: str, references: Sequence[str]) -> bool:
        words = [[word for word in tokenize(text) if word in kind] for text in (said, *references)]
        return words[0] in words[1:]

    answers = evaluation.answers
    return {
        name: statistics.fmean(right(kind, a.prediction.caption or "", a.truth) for a in answers)
        for name, kind in KINDS.items()
    }


def scenes_row(data: Path, out: Path, method: str, attend: bool, seed: int) -> dict[str, Any]:
    start = time.process_time()
    found = run_training(data, out=out, method=method, attend=attend, seed=seed, **RECIPE)
    seconds = time.process_time() - start
    evaluation = found.recognizer.evaluation(data, "test")
    scores = evaluation.metrics
    return {
        "method": method + (" --attend" if attend else ""),
        "seed": seed,
        "all attributes": scores["exact caption"],
        **attributes(evaluation),
        "pointing": scores.get("pointing", math.nan),
        "center": scores.get("pointing center box", math.nan),
        "BLEU-4": scores["BLEU-4"],
        "CIDEr-D": scores["CIDEr-D"],
        "CPU s": seconds,
    }


def scenes_table(seeds: int) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            data = write_scenes(Path(folder) / f"scenes{seed}", "captions", seed=seed, **SCENES)
            for attend in (True, False)[: 2 if seed == 0 else 1]:
                out = Path(folder) / f"run{seed}{attend}"
                rows.append(scenes_row(data, out, "lstm", attend, seed))
                print(rows[-1], flush=True)
    return rows


def learned_by_heart(
    catalog: Catalog, weights: Path, method: str, attend: bool, seed: int, epochs: int
) -> dict[str, Any]:
    """Features once, then every caption of every image in each epoch, in batches of 40 pairs."""
    start = time.process_time()
    torch.manual_seed(seed)
    catalog = with_vocabulary(catalog)
    backbone = {"backbone": "mobilenetv2_100", "model_kwargs": {"pad_type": "same"}}
    longest = longest_caption(catalog)
    arguments = {"num_classes": len(catalog.names), "attend": attend, "max_length": longest}
    model: Any = build_model(method, {**arguments, **backbone, **HEAD})
    load_backbone_weights(model.backbone, str(weights))
    size = Preprocessing((224, 224), (0.5,) * 3, (0.5,) * 3)
    header = ModelHeader(method, {**arguments, **backbone}, "captioning", catalog.names, size)

    samples, targets = catalog.split("train"), CaptionTargets(catalog.names, longest)
    dataset = ImageDataset(samples, targets, evaluation_transform(size))
    order = EpochSampler(len(dataset), shuffle=False)
    loader = image_loader(dataset, order, batch_size=16, workers=0, keep_last=True)
    with torch.inference_mode():
        model.eval()
        features = torch.cat([model.backbone(batch.images) for batch in loader]).clone()
    pairs = [(row, targets.of(text)) for row, s in enumerate(samples) for text in s.captions]
    images, captions = (torch.tensor([row for row, _ in pairs]), torch.stack([t for _, t in pairs]))

    head = [p for name, p in model.named_parameters() if not name.startswith("backbone")]
    optimizer = torch.optim.Adam(head, lr=3e-3)
    steps = epochs * -(-len(pairs) // 40)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(pairs)).split(40):
            output = model.describe(features[images[rows]])
            loss = model.losses(output, captions[rows], F.cross_entropy)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    seconds = time.process_time() - start
    scores = Recognizer(model, header, device="cpu").evaluate(catalog, "train")
    shown = ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr-D", "exact caption", "nll")
    name = method + (" --attend" if attend else "")
    return {"method": name, "seed": seed, **{k: scores[k] for k in shown}, "CPU s": seconds}


def coco_table(data: Path, weights: Path, seeds: int, epochs: int) -> list[dict[str, Any]]:
    catalog = read_data(data / "coco200" / "captions.json", val_share=0, test_share=0)
    rows = []
    for seed in range(seeds):
        for attend in (False, True):
            rows.append(learned_by_heart(catalog, weights, "lstm", attend, seed, epochs))
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = harness.arguments("captioning", __doc__)
    parser.add_argument("--only", choices=("scenes", "coco"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=120, help="of coco")
    parser.add_argument("--data", type=Path, default=SHARED)
    weights = SHARED / "weights" / "mobilenetv2_100.safetensors"
    parser.add_argument("--weights", type=Path, default=weights)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = {}
    if options.only != "coco":
        tables["scenes"] = scenes_table(options.seeds)
    if options.only != "scenes":
        tables["coco"] = coco_table(options.data, options.weights, options.seeds, options.epochs)
    about = {**harness.machine(), "scenes": SCENES, "recipe": RECIPE, "head": HEAD}
    harness.report(options.json, about, tables)


if __name__ == "__main__":
    main()
