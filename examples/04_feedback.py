"""The attention feedback experiment: attention against control, with and without noise.

python examples/04_feedback.py                      # scikit-learn's digits, a few minutes
python examples/04_feedback.py --mnist DATA         # MNIST; DATA is the folder that holds MNIST/raw
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.models import FeedbackNet

SCORED = 500


def digits(mnist: Path | None) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 28, 28) in [0, 1], in random order, and their digits."""
    if mnist is not None:
        from torchvision.datasets import MNIST

        data = MNIST(mnist, train=True)
        gray, labels = data.data[:, None] / 255.0, data.targets
    else:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        gray = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16.0
        gray, labels = F.interpolate(gray, 28, mode="bilinear"), torch.tensor(bunch.target)
    order = torch.randperm(len(gray), generator=torch.Generator().manual_seed(0))
    return gray[order].expand(-1, 3, -1, -1), labels[order]


def learn(
    control: str, noise: float, seed: int, data: tuple[Tensor, Tensor], epochs: int
) -> list[float]:
    """Accuracy after each epoch, on images with the noise of training."""
    (test, train), (test_labels, labels) = (t.split((SCORED, len(t) - SCORED)) for t in data)
    test = test + noise / 255 * torch.randn(test.shape, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(seed)
    options = FeedbackNet.Options("two-block", feedback_control=control, noise=noise, std=(1, 1, 1))
    model = FeedbackNet(10, options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    curve = []
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(train)).split(16):
            loss = F.cross_entropy(model(train[batch]).logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            found = model.eval()(test).logits.argmax(dim=1)
        curve.append(float((found == test_labels).float().mean()))
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--noise", type=float, default=127.5, help="on pixels of 0 to 255")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--save", type=Path, default=Path("feedback.png"))
    options = parser.parse_args()
    images, labels = digits(options.mnist)
    data = images[: SCORED + options.images], labels[: SCORED + options.images]

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(layout="constrained")
    for noise in (0.0, options.noise):
        for title, control in (("attention", "none"), ("control", "ones")):
            curves = torch.tensor(
                [learn(control, noise, seed, data, options.epochs) for seed in options.seeds]
            )
            name = f"{title}, noise {noise:g}"
            ends = ", ".join(f"{end:.3f}" for end in curves[:, -1].tolist())
            print(f"{name:24} top-1 {curves[:, -1].mean():.3f}  by seed {ends}", flush=True)
            axis.plot(range(1, options.epochs + 1), curves.mean(dim=0), label=name)
    axis.set(xlabel="epoch", ylabel="top-1, mean over the seeds")
    axis.legend()
    figure.savefig(options.save)
    print(options.save)


if __name__ == "__main__":
    main()
