"""Several attentions (osme) beside one classifier (cam) on look-alikes, at a large input.

Two kinds of images: "whole", the birds as they are, enlarged to the input; "small", birds laid into
photographs by `_feathered.py`. All arms of a seed see the same images in views drawn once (random
crops, mirrored), which lie on the device as what the first stages of the backbone make of them:
these stages stand still, the rest learns with the package's own module, losses and rates. With
``--small`` the heads alone learn, on images as they are.

- cam; "batches of pairs" has the batches that osme needs
- osme; without MAMC; with one attention; gates of ones (no attention, the same layers and losses);
  gates of another image; the paper's flattened head
- "gates over images" is the standard deviation of a gate over the test images, "between
  attentions" the mean difference of two attentions' gates; a gate is between 0 and 1

Differences are paired by seed, with their 95 % t interval.

python benchmarks/attentions.py BIRDS PHOTOS --weights FILE --lines attentions.jsonl --device cuda
python benchmarks/attentions.py BIRDS PHOTOS --weights FILE --lines attentions.jsonl --small
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _attentions_arms import ARMS, BASE, GATES, KINDS, SMALL, Arm, promises, rows_of
from _feathered import Setting, write_birds
from _harness import arguments, machine, report
from _paired import append, fill, parsed, read_lines
from look_alikes import draw
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lookcloser.core.images import load_image
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.data.samplers import ClassBalancedBatchSampler
from lookcloser.models import Model
from lookcloser.models.backbone import Backbone
from lookcloser.models.feedback.stages import BackboneStages
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import TrainOptions, make_options
from lookcloser.training.tasks.classification import ClassificationModule


class Late(nn.Module):
    """The rest of a backbone behind the stages that stand still, in the backbone's place."""

    def __init__(self, backbone: Backbone, stage: int, size: int) -> None:
        super().__init__()
        self.backbone, self.width = backbone, backbone.width
        self.stages, self.size = BackboneStages(backbone, stage), torch.Size((size, size))

    def early(self, images: Tensor) -> Tensor:
        return self.stages.early(images)

    def forward(self, raw: Tensor) -> Tensor:
        return self.stages.late(raw, self.size)


class Still(Late):
    """The whole backbone stands still, and what every head here reads of it is its mean."""

    def __init__(self, backbone: Backbone) -> None:
        nn.Module.__init__(self)
        self.backbone, self.width = backbone, backbone.width

    def early(self, images: Tensor) -> Tensor:
        return self.backbone(images).mean(dim=(2, 3), keepdim=True)

    def forward(self, raw: Tensor) -> Tensor:
        return raw


class Seen(NamedTuple):
    """What the first stages make of V views of each training image, and of the test images."""

    views: Tensor  # (V, N, C, h, w)
    labels: Tensor
    test: Tensor
    test_labels: Tensor


def catalog_of(kind: str, given: argparse.Namespace, folder: Path, seed: int) -> Catalog:
    """Birds as they are, or laid into photographs: the seed draws which, and where."""
    if kind == "whole":
        return draw(read_data(given.birds, val_share=0.0), given.images, seed, choose=False)
    bird = (given.size * 80 // 448, given.size * 160 // 448)
    setting = Setting((given.size,) * 2, bird, train=given.images, test=given.test)
    path = folder / f"small-{given.size}-{seed}"
    write_birds(given.birds, given.photos, path, setting, seed, workers=given.workers)
    return read_data(path, val_share=0.0)


def pixels(samples: list[Sample], workers: int) -> Tensor:
    """(N, 3, H, W) uint8; images of one size."""
    with ThreadPool(workers) as pool:
        arrays = pool.map(lambda sample: np.asarray(load_image(sample.source)), samples)
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def view(images: Tensor, options: TrainOptions, generator: torch.Generator) -> Tensor:
    """A random crop of each image, in its own proportions, mirrored by lot; (N, 3, size, size)."""
    drawn = torch.rand(len(images), 4, generator=generator).to(images.device)
    side = (options.crop_area + (1 - options.crop_area) * drawn[:, 0]).sqrt()
    mirrored = torch.where(drawn[:, 1] < 0.5, -1.0, 1.0)
    middle = (2 * drawn[:, 2:] - 1) * (1 - side[:, None])
    none = torch.zeros_like(side)
    rows = [side * mirrored, none, middle[:, 0], none, side, middle[:, 1]]
    matrix = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, [len(images), 3, options.size, options.size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@torch.no_grad()
def seen_by(
    late: Late,
    catalog: Catalog,
    options: TrainOptions,
    seed: int,
    known: dict[object, Tensor],
    given: argparse.Namespace,
) -> Seen:
    """Run the first stages once over all that will be needed and is not known as it is."""
    late = late.to(given.device).eval()
    generator = torch.Generator().manual_seed(seed)

    def features(images: Tensor, *, random: bool) -> Tensor:
        images = images.to(given.device).float() / 127.5 - 1
        if random:
            images = view(images, options, generator)
        else:
            size = (options.size,) * 2
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        with half(given):
            return late.early(images.contiguous(memory_format=torch.channels_last))

    def every(samples: list[Sample], *, random: bool) -> Tensor:
        found = []
        for start in range(0, len(samples), 50):
            part = samples[start : start + 50]
            missing = [sample for sample in part if random or sample.source not in known]
            if missing:
                new = features(pixels(missing, given.workers), random=random)
                own = {sample.source: one for sample, one in zip(missing, new, strict=True)}
                if random:
                    found += own.values()
                    continue
                known.update(own)
            found += [known[sample.source] for sample in part]
        return torch.stack(found)

    names = {name: index for index, name in enumerate(catalog.names)}
    train, test = list(catalog.split("train")), list(catalog.split("test"))
    test = test[:: -(-len(test) // given.test)]
    labels = [
        torch.tensor([names[sample.labels[0]] for sample in split]).to(given.device)
        for split in (train, test)
    ]
    views = [every(train, random=True) for _ in range(given.views)] or [every(train, random=False)]
    return Seen(torch.stack(views), labels[0], every(test, random=False), labels[1])


def half(given: argparse.Namespace) -> torch.autocast:
    return torch.autocast(given.device, torch.bfloat16, enabled=given.device == "cuda")


def options_of(arm: Arm, seed: int, given: argparse.Namespace) -> TrainOptions:
    """The recipe, with the method's own options on top."""
    return make_options(
        **{
            "recipe": "fine-tune", "backbone": given.backbone, "weights": given.weights,
            "mean": (0.5,) * 3, "std": (0.5,) * 3, "model_kwargs": given.model_kwargs,
            "size": given.size, "epochs": given.epochs, "batch_size": given.batch_size,
            "seed": seed, **arm.options,
        }
    )  # fmt: skip


def prepared(
    arm: Arm, catalog: Catalog, seed: int, given: argparse.Namespace
) -> tuple[Model, TrainOptions]:
    """The network behind the stages that stand still."""
    options = options_of(arm, seed, given)
    model, _ = prepare_model(options, catalog)
    own = model.backbone
    model.backbone = Still(own) if given.stage < 0 else Late(own, given.stage, given.size)
    if arm.gates is not None:
        own, change = model.osme.gates, GATES[arm.gates]
        model.osme.gates = lambda features: change(own(features))
    return model.to(given.device, memory_format=torch.channels_last), options


def batches(arm: Arm, labels: Tensor, seed: int, given: argparse.Namespace) -> Iterator[list[int]]:
    """Of all epochs; pairs of images of a class, or any."""
    sampler = ClassBalancedBatchSampler(labels.tolist(), given.batch_size // 2, 2, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(given.epochs):
        sampler.set_epoch(epoch)
        if arm.pairs:
            yield from sampler
        else:
            order = torch.randperm(len(labels), generator=generator)
            yield from (part.tolist() for part in order.tensor_split(len(sampler)))


def train(
    arm: Arm, catalog: Catalog, seen: Seen, seed: int, given: argparse.Namespace
) -> tuple[Model, float]:
    """The model, and the training loss of the last epoch."""
    model, options = prepared(arm, catalog, seed, given)
    every = list(batches(arm, seen.labels, seed, given))
    warmup = round(len(every) / given.epochs * options.warmup)
    module = ClassificationModule(
        model, options, catalog, total_steps=len(every), warmup_steps=warmup
    )
    module.train()
    module.begin_epoch()
    configured: Any = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    losses = []
    for chosen in every:
        places = torch.tensor(chosen)
        turns = torch.randint(len(seen.views), places.shape, generator=generator)
        places, turns = places.to(given.device), turns.to(given.device)
        targets = seen.labels[places]
        with half(given):
            output = model(seen.views[turns, places], top=1)
            loss = sum(model.losses(output, targets, module.criterion).values(), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return model, float(torch.stack(losses[-len(every) // given.epochs :]).mean())


@torch.no_grad()
def tested(model: Model, seen: Seen, given: argparse.Namespace) -> dict[str, float]:
    """Top-1, and how much the gates tell images and attentions apart."""
    model.eval()
    right, gates = [], []
    for part, labels in zip(seen.test.split(200), seen.test_labels.split(200), strict=True):
        with half(given):
            right.append(model(part, top=1).logits.argmax(dim=1) == labels)
            if hasattr(model, "osme"):
                gates.append(model.osme.gates(model.backbone(part)).float())
    found = {"top-1": float(torch.cat(right).float().mean())}
    if gates:
        every = torch.cat(gates)
        found["gates over images"] = float(every.std(dim=0).mean())
        found["between attentions"] = float((every[:, 0] - every[:, -1]).abs().mean())
    return found


def cost(arm: Arm, catalog: Catalog, given: argparse.Namespace) -> float:
    """Floating-point operations of a whole forward pass, in 10⁹."""
    model, _ = prepare_model(options_of(arm, 0, given), catalog)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, given.size, given.size), top=1)
    return counter.get_total_flops() / 1e9


def main(words: list[str] | None = None) -> None:
    parser = arguments("attentions", __doc__)
    parser.add_argument("birds", type=Path, help="class folders below train and test")
    parser.add_argument("photos", type=Path, help="a folder of photographs without birds")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--pad-type", default="same", help="of the backbone; empty for none")
    parser.add_argument(
        "--stage", type=int, default=2, help="the last that stands still, from 0; -1: all"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--size", type=int, default=448)
    parser.add_argument("--images", type=int, default=30, help="of each class; all, if fewer")
    parser.add_argument("--test", type=int, default=1452, help="test images, at most")
    parser.add_argument("--views", type=int, default=4, help="of each training image; 0: as it is")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1, help="that write and read images")
    given = parsed(parser, SMALL, words)
    given.model_kwargs = {"pad_type": given.pad_type} if given.pad_type else {}
    lines = read_lines(given.lines or [])
    known: dict[object, Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in given.seeds if not given.only_report else ():
            for kind in given.kinds:
                measured(kind, seed, Path(folder), lines, known, given)
    report(given.json, machine(), rows_of(lines))
    fill(given.json, promises(lines))


def measured(
    kind: str,
    seed: int,
    folder: Path,
    lines: list[dict[str, Any]],
    known: dict[object, Tensor],
    given: argparse.Namespace,
) -> None:
    """Every arm on the images of a seed, but for those that have a line already."""
    asked = [
        {"kind": kind, "size": given.size, "images": given.images, "epochs": given.epochs,
         "stage": given.stage, "views": given.views, "arm": name, "seed": seed}
        for name in given.arms
    ]  # fmt: skip
    asked = [one for one in asked if not any(line | one == line for line in lines)]
    if not asked:
        return
    start = time.perf_counter()
    catalog = catalog_of(kind, given, folder, seed)
    first, options = prepared(ARMS[BASE], catalog, seed, given)
    seen = seen_by(first.backbone, catalog, options, seed, known, given)
    print(f"{kind}, seed {seed}: ready in {time.perf_counter() - start:.0f} s", flush=True)
    for one in asked:
        start, arm = time.perf_counter(), ARMS[one["arm"]]
        model, loss = train(arm, catalog, seen, seed, given)
        line = one | tested(model, seen, given)
        line |= {
            "training loss": loss, "GFLOP": cost(arm, catalog, given),
            "seconds": time.perf_counter() - start, "device": given.device,
        }  # fmt: skip
        print({key: line[key] for key in ("kind", "arm", "seed", "top-1", "seconds")}, flush=True)
        if given.lines:
            append(given.lines[0], line)
        lines.append(line)


if __name__ == "__main__":
    main()
