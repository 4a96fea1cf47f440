"""Fine-tuning on real photographs: the default recipe beside a plain loop, at equal epochs.

Same backbone, weights, images, size, batch and epochs; the plain loop is what people write first:
cross-entropy, random crops and flips, SGD with momentum or AdamW, a cosine to zero. Both are
scored on the test split with their last weights. Seeds take turns, so that drift hits both.

python benchmarks/finetune.py DATA --weights mobilenetv2_100.safetensors --seeds 0 1 2
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import timm
import torch
from _harness import arguments, machine, report
from safetensors.torch import load_file
from torch import Tensor, nn

from lookcloser.data import Catalog, read_data
from lookcloser.data.dataset import EpochSampler, ImageDataset, image_loader
from lookcloser.data.targets import ClassTargets
from lookcloser.data.transforms import (
    Augmentation,
    Preprocessing,
    evaluation_transform,
    training_transform,
)
from lookcloser.models import load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit
from lookcloser.training.options import TrainOptions, make_options

PLAIN = {
    "plain SGD 0.01": ("sgd", 0.01, 1e-4),
    "plain AdamW 3e-4": ("adamw", 3e-4, 0.05),
    "plain AdamW 1e-3": ("adamw", 1e-3, 0.05),
}


def train_ours(catalog: Catalog, options: TrainOptions) -> tuple[float, float]:
    """Top-1 on test and seconds of training, by the package's own training."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fit(catalog, options, Path(folder) / "run")
        seconds = time.perf_counter() - start
        model, header = load_model_file(Path(folder) / "run" / "model.safetensors")
    return Recognizer(model, header).evaluate(catalog)["top1"], seconds


def train_plain(
    catalog: Catalog, options: TrainOptions, recipe: tuple[str, float, float]
) -> tuple[float, float]:
    """The same by a loop of forty lines."""
    kind, rate, decay = recipe
    torch.manual_seed(options.seed)
    net = timm.create_model(
        options.backbone, num_classes=len(catalog.names), **options.model_kwargs
    )
    state = load_file(options.weights)
    wanted = net.state_dict()
    net.load_state_dict(
        {name: value for name, value in state.items() if wanted[name].shape == value.shape},
        strict=False,
    )
    preprocessing = _preprocessing(options)
    transform = training_transform(preprocessing, Augmentation("crop"))
    targets = ClassTargets(catalog.names)
    dataset = ImageDataset(catalog.split("train"), targets, transform, options.seed)
    sampler = EpochSampler(len(dataset), seed=options.seed)
    loader = image_loader(
        dataset, sampler, batch_size=options.batch_size, workers=options.workers or 0
    )
    optimizer: torch.optim.Optimizer
    if kind == "sgd":
        optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=decay)
    else:
        optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * len(loader))
    net = net.to(memory_format=torch.channels_last)
    start = time.perf_counter()
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        net.train()
        for batch in loader:
            images = batch.images.contiguous(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(net(images), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - start
    return _accuracy(net, catalog, preprocessing), seconds


@torch.no_grad()
def _accuracy(net: nn.Module, catalog: Catalog, preprocessing: Preprocessing) -> float:
    dataset = ImageDataset(
        catalog.split("test"), ClassTargets(catalog.names), evaluation_transform(preprocessing)
    )
    order = EpochSampler(len(dataset), shuffle=False)
    net.eval()
    right: list[Tensor] = []
    for batch in image_loader(dataset, order, batch_size=64, workers=0, keep_last=True):
        right.append(net(batch.images).argmax(dim=1) == batch.targets)
    return float(torch.cat(right).float().mean())


def _preprocessing(options: TrainOptions) -> Preprocessing:
    assert options.mean is not None  # given below
    assert options.std is not None
    return Preprocessing((options.size, options.size), options.mean, options.std)


def main() -> None:
    parser = arguments("finetune", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--plain", choices=list(PLAIN), nargs="*", default=list(PLAIN))
    given = parser.parse_args()
    catalog = read_data(given.data, val_share=0.0)
    half = (0.5, 0.5, 0.5)
    options = make_options(
        backbone=given.backbone, weights=given.weights, model_kwargs={"pad_type": "same"},
        mean=half, std=half, size=given.size, epochs=given.epochs, workers=1,
    )  # fmt: skip
    results: dict[str, list[tuple[float, float]]] = {}
    for seed in given.seeds:
        seeded = replace(options, seed=seed)
        results.setdefault("lookcloser, default recipe", []).append(train_ours(catalog, seeded))
        for name in given.plain:
            results.setdefault(name, []).append(train_plain(catalog, seeded, PLAIN[name]))
        print({name: rows[-1] for name, rows in results.items()}, flush=True)
    rows: list[dict[str, Any]] = [
        {
            "recipe": name,
            "top-1": mean(accuracy for accuracy, _ in found),
            "by seed": ", ".join(f"{accuracy:.4f}" for accuracy, _ in found),
            "training s": mean(seconds for _, seconds in found),
        }
        for name, found in results.items()
    ]
    title = f"{given.data.name}, {given.backbone}, {given.size} px, {given.epochs} epochs"
    report(given.json, machine(), {title: rows})


if __name__ == "__main__":
    main()
