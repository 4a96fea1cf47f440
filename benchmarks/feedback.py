"""Attention feedback on MNIST: attention against its controls, with and without noise.

The two-block network is trained on the first ``--train`` training images, the same for all arms of
a seed, and scored on the last 2,000 test images. Noise is Gaussian, on pixels of 0 to 255 (2.5 in
the original experiment), fresh in every step and fixed on the test images. "clean images" are those
without it; "first pass" is the trained network without what it feeds back.

python benchmarks/feedback.py MNIST_ROOT --seeds 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import torch
from _harness import arguments, machine, report
from torch import Tensor
from torch.nn import functional as F
from torchvision.datasets import MNIST

from lookcloser.models import FeedbackNet

ARMS: dict[str, dict[str, Any]] = {
    "attention, soft": {},
    "attention, predicted": {"feedback_select": "predicted"},
    "control: ones": {"feedback_control": "ones"},
    "control: shuffled": {"feedback_control": "shuffled"},
    "as once written": {"feedback_control": "literal"},
}
SCORED = 2000  # test images, from the end
FOLLOWED = 500  # of them, after each epoch


class Data(NamedTuple):
    """Images (N, 3, 28, 28) in [0, 1] and their digits."""

    images: Tensor
    digits: Tensor
    test_images: Tensor
    test_digits: Tensor


class Trained(NamedTuple):
    """One training: the accuracy after each epoch and at the end, on images as in training."""

    curve: list[float]
    top1: float
    clean: float
    first_pass: float
    seconds: float


def load(root: Path, count: int) -> Data:
    train, test = (MNIST(root, train=part, download=False) for part in (True, False))

    def images(raw: Tensor) -> Tensor:
        return (raw[:, None] / 255.0).expand(-1, 3, -1, -1)

    return Data(
        images(train.data[:count]), train.targets[:count],
        images(test.data[-SCORED:]), test.targets[-SCORED:],
    )  # fmt: skip


@torch.no_grad()
def accuracy(model: FeedbackNet, images: Tensor, digits: Tensor) -> float:
    model.eval()
    found = torch.cat([model(part, top=1).logits.argmax(1) for part in images.split(500)])
    return float((found == digits).float().mean())


def train(
    data: Data, options: Mapping[str, Any], noise: float, seed: int, given: argparse.Namespace
) -> Trained:
    torch.manual_seed(seed)
    own = FeedbackNet.Options("two-block", noise=noise, std=(1, 1, 1), **options)
    model = FeedbackNet(10, own)
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.lr)
    generator = torch.Generator().manual_seed(seed)
    disturbed = data.test_images
    if noise:
        fixed = torch.Generator().manual_seed(1000)
        disturbed = disturbed + noise / 255 * torch.randn(disturbed.shape, generator=fixed)
    curve, start = [], time.process_time()
    for _ in range(given.epochs):
        model.train()
        for batch in torch.randperm(len(data.images), generator=generator).split(given.batch_size):
            loss = F.cross_entropy(model(data.images[batch]).logits, data.digits[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        curve.append(accuracy(model, disturbed[:FOLLOWED], data.test_digits[:FOLLOWED]))
    seconds = time.process_time() - start
    top1 = accuracy(model, disturbed, data.test_digits)
    clean = accuracy(model, data.test_images, data.test_digits) if noise else top1
    model.control = "ones"
    return Trained(curve, top1, clean, accuracy(model, disturbed, data.test_digits), seconds)


def row(name: str, noise: float, runs: list[Trained]) -> dict[str, Any]:
    return {
        "arm": name,
        "noise": noise,
        "top-1": mean(run.top1 for run in runs),
        "by seed": ", ".join(f"{run.top1:.4f}" for run in runs),
        "deviation": stdev(run.top1 for run in runs) if len(runs) > 1 else 0.0,
        "clean images": mean(run.clean for run in runs),
        "first pass": mean(run.first_pass for run in runs),
        "processor s": mean(run.seconds for run in runs),
    }


def draw(path: Path, found: Mapping[float, Mapping[str, list[Trained]]]) -> None:
    """Mean over the seeds, with the range as a band; one panel for each noise."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(found), figsize=(4 * len(found), 3), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (noise, arms) in zip(axes[0], found.items(), strict=True):
        for name, runs in arms.items():
            curves = torch.tensor([run.curve for run in runs])
            epochs = range(1, curves.shape[1] + 1)
            axis.plot(epochs, curves.mean(dim=0), label=name)
            axis.fill_between(epochs, curves.amin(dim=0), curves.amax(dim=0), alpha=0.15)
        axis.set(title=f"noise {noise:g}", xlabel="epoch", xticks=list(epochs))
    axes[0, 0].set_ylabel("top-1 on test")
    axes[0, 0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = arguments("feedback", __doc__)
    parser.add_argument("root", type=Path, help="the folder that holds MNIST/raw")
    parser.add_argument("--train", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 2.5, 127.5])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--figure", type=Path, default=Path("docs/images/feedback.png"))
    given = parser.parse_args()
    data = load(given.root, given.train)
    found: dict[float, dict[str, list[Trained]]] = {}
    for seed in given.seeds:  # the arms take turns, so that a stopped benchmark has compared them
        for noise in given.noise:
            for name in given.arms:
                runs = found.setdefault(noise, {}).setdefault(name, [])
                runs.append(train(data, ARMS[name], noise, seed, given))
                print(f"seed {seed}, noise {noise:g}, {name}: {runs[-1].curve}", flush=True)
    title = f"MNIST, {given.train} training images, {given.epochs} epochs"
    rows = [row(name, noise, runs) for noise, arms in found.items() for name, runs in arms.items()]
    draw(given.figure, found)
    report(given.json, machine(), {title: rows})


if __name__ == "__main__":
    main()
