"""Crop-and-zoom and the MAMC loss: speed, quality of the reduction, cost and memory against n.

Every time is forward and backward. Peers run in the same interleaved rounds:

- crop-and-zoom: one bare `grid_sample` on a grid made beforehand, and the loop over images that
  public RA-CNN code has (mask of three channels at source size, slice, `interpolate`);
- MAMC: the one product of all features with each other, and a loop over the anchors with masks.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _harness as harness
import _plots as plots
import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.layers import crop_and_zoom
from lookcloser.losses import mamc_loss

ANCHORS = (64, 128, 256, 512, 1024, 2048)
# Anchors, and how many of them at a time: None is all.
PEAKS = (
    *((1024, None), (2048, None), (4096, None), (8192, None)),
    *((1024, 512), (2048, 512), (4096, 512), (8192, 512), (16384, 512)),
)
QUICK_ANCHORS = (64, 128, 256)
QUICK_PEAKS = ((256, None), (512, None), (1024, None), (512, 128), (1024, 128), (2048, 128))


def random_boxes(count: int) -> Tensor:
    half_sides = torch.empty(count, 1).uniform_(0.3, 0.7)
    return torch.cat(((1 - half_sides) * torch.empty(count, 2).uniform_(-1, 1), half_sides), 1)


def crop_loop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """One image after the other, in pixels, as public implementations do it."""

    def logistic(x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-20 / source * x))  # k = 10 in [-1, 1]

    source = images.shape[-1]
    line = torch.arange(source, dtype=images.dtype)
    x = torch.stack([line.expand(source, source)] * 3)
    y = torch.stack([line[:, None].expand(source, source)] * 3)
    crops = []
    for image, box in zip(images, boxes, strict=True):
        center_x, center_y, half = (box + torch.tensor([1.0, 1.0, 0.0])) * source / 2
        left, right, top, bottom = (
            center_x - half,
            center_x + half,
            center_y - half,
            center_y + half,
        )
        across = logistic(x - left) - logistic(x - right)
        mask = across * (logistic(y - top) - logistic(y - bottom))
        part = (image * mask)[:, int(top) : int(bottom), int(left) : int(right)]
        crops.append(F.interpolate(part[None], size, mode="bilinear", align_corners=False))
    return torch.cat(crops)


def crop_table(
    rounds: int, source: int = 448, size: int = 224, batch: int = 16
) -> list[dict[str, Any]]:
    images, boxes = torch.rand(batch, 3, source, source), random_boxes(batch)
    weight = torch.randn(batch, 3, size, size)
    centers = (2 * torch.arange(size) + 1) / size - 1
    xs, ys = boxes[:, :1] + boxes[:, 2:] * centers, boxes[:, 1:2] + boxes[:, 2:] * centers
    grid = torch.stack((xs[:, None].expand(-1, size, -1), ys[:, :, None].expand(-1, -1, size)), -1)

    def bare() -> None:
        leaf = grid.detach().requires_grad_()
        crops = F.grid_sample(images, leaf, padding_mode="border", align_corners=False)
        crops.backward(weight)

    def ours(mode: str) -> None:
        crop_and_zoom(images, boxes.detach().requires_grad_(), size, mode).backward(weight)

    def loop() -> None:
        crop_loop(images, boxes.detach().requires_grad_(), size).backward(weight)

    calls = {
        "grid_sample": bare,
        "crop_and_zoom grid": lambda: ours("grid"),
        "crop_and_zoom mask": lambda: ours("mask"),
        "crop_and_zoom saliency": lambda: ours("saliency"),
        "loop over images": loop,
    }
    seconds = harness.interleave(calls, rounds)
    rows = harness.summary(seconds, "grid_sample")
    for row in rows:
        row["loop over it"] = harness.ratios(
            {"loop": seconds["loop over images"], "it": seconds[row["name"]]}, "it"
        )["loop"]
    return rows


def quality_table() -> list[dict[str, Any]]:
    """PSNR against the antialiased resize of two photographs, on the whole image."""
    from sklearn.datasets import load_sample_images

    photos = [torch.tensor(image).permute(2, 0, 1) / 255.0 for image in load_sample_images().images]
    images = torch.stack(
        [photo[:, :384, left : left + 384] for photo in photos for left in (0, 200)]
    )
    whole = torch.tensor([[0.0, 0.0, 1.0]]).expand(len(images), 3)
    rows = []
    for size in (384, 192, 96, 48):
        best = F.interpolate(images, size, mode="bilinear", antialias=True)
        crops = {
            "one sample per pixel, dB": F.interpolate(images, size, mode="bilinear"),
            "crop_and_zoom, dB": crop_and_zoom(images, whole, size),
        }
        decibels = {
            name: -10 * (crop - best).square().mean().clamp(min=1e-12).log10().item()
            for name, crop in crops.items()
        }
        rows.append({"source / output": 384 // size, **decibels})
    return rows


def mamc_loop(features: Tensor, labels: Tensor) -> Tensor:
    """One anchor after the other: masks pick its positives and negatives from its row."""
    images, attentions, _ = features.shape
    flat = features.flatten(0, 1)
    products = flat @ flat.T
    classes = labels.repeat_interleave(attentions)
    kinds = torch.arange(attentions).repeat(images)
    same_class, same_kind = classes[:, None] == classes, kinds[:, None] == kinds
    close = same_class & same_kind
    sasc, dadc = close & ~torch.eye(len(flat), dtype=torch.bool), ~same_class & ~same_kind
    total = flat.new_zeros(())
    for i in range(len(flat)):
        for positives, negatives in (
            (sasc, ~close),
            (same_kind & ~same_class, dadc),
            (same_class & ~same_kind, dadc),
        ):
            gaps = products[i][negatives[i]][None] - products[i][positives[i]][:, None]
            total = total + torch.log(1 + torch.exp(gaps).sum(1)).sum()
    return total / len(labels.unique())


def random_batch(anchors: int, attentions: int = 4, width: int = 1024) -> tuple[Tensor, Tensor]:
    images = anchors // attentions
    features = torch.randn(images, attentions, width) * width**-0.5
    return features, torch.arange(images) // 2


def mamc_calls(anchors: int, width: int = 1024) -> dict[str, Any]:
    features, labels = random_batch(anchors, width=width)
    slope = torch.randn(anchors, anchors)

    def product() -> None:
        flat = features.flatten(0, 1).requires_grad_()
        (flat @ flat.T).backward(slope)

    return {
        "similarity product": product,
        "mamc_loss": lambda: mamc_loss(features.clone().requires_grad_(), labels).backward(),
        "loop over anchors": lambda: mamc_loop(
            features.clone().requires_grad_(), labels
        ).backward(),
    }


def mamc_table(rounds: int, anchors: int = 256) -> list[dict[str, Any]]:
    calls = mamc_calls(anchors)
    rows = harness.summary(seconds := harness.interleave(calls, rounds), "similarity product")
    relative = harness.ratios(seconds, "mamc_loss")
    return [{**row, "over mamc_loss": relative[row["name"]]} for row in rows]


def scaling_table(rounds: int, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    rows = []
    for anchors in sizes:
        calls = mamc_calls(anchors)
        del calls["loop over anchors"]
        product, loss = harness.summary(harness.interleave(calls, rounds), "similarity product")
        rows.append(
            {
                "n": anchors,
                "product_s": product["median_s"],
                "mamc_loss_s": loss["median_s"],
                "over product": loss["over similarity product"],
                "mamc_loss_s / n²": loss["median_s"] / anchors**2,
            }
        )
    return rows


def memory_table(sizes: tuple[tuple[int, int | None], ...]) -> list[dict[str, Any]]:
    """Peak memory of a fresh process for each, above what it had before the loss."""
    rows = []
    for anchors, chunk in sizes:
        command = [sys.executable, __file__, "--peak", str(anchors), str(chunk or 0)]
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        above, total, seconds = (float(part) for part in line.split())
        rows.append(
            {
                "n": anchors,
                "chunk_size": chunk or "all",
                "above idle, GiB": above,
                "whole process, GiB": total,
                "seconds": seconds,
            }
        )
    return rows


def cost_figure(path: Path, scaling: list[dict[str, Any]], peaks: list[dict[str, Any]]) -> None:
    """Time and memory of the loss against the number of anchors."""
    loss = [(row["n"], row["mamc_loss_s"] * 1000) for row in scaling]
    product = [(row["n"], row["product_s"] * 1000) for row in scaling]
    by_chunk: dict[str, list[tuple[float, float]]] = {}
    for row in peaks:
        name = "all at once" if row["chunk_size"] == "all" else f"chunks of {row['chunk_size']}"
        by_chunk.setdefault(name, []).append((row["n"], row["above idle, GiB"]))
    plots.draw(
        path,
        [
            plots.Panel(
                "MAMC, forward and backward, width 1024",
                "anchors n (images × attentions)",
                "milliseconds",
                {"mamc_loss": loss, "one similarity product": product},
                guides={"n²": plots.power(loss, 2)},
            ),
            plots.Panel(
                "Peak memory above idle",
                "anchors n (images × attentions)",
                "GiB",
                by_chunk,
                guides={"n²": plots.power(by_chunk["all at once"], 2)},
            ),
        ],
    )


def print_peak(anchors: int, chunk: int) -> None:
    few, classes = random_batch(64)
    mamc_loss(few.requires_grad_(), classes).backward()
    features, labels = random_batch(anchors)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before, start = memory("VmRSS"), time.perf_counter()
    mamc_loss(features.requires_grad_(), labels, chunk_size=chunk or None).backward()
    seconds, peak = time.perf_counter() - start, memory("VmHWM")
    print(peak - before, peak, seconds)


def memory(field: str) -> float:
    """GiB, from the kernel's account of this process (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def main() -> None:
    parser = harness.arguments("attention", __doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--figure", type=Path, default=plots.IMAGES / "mamc_cost.png")
    parser.add_argument("--quick", action="store_true", help="MAMC's costs only, at small sizes")
    parser.add_argument("--peak", type=int, nargs=2, metavar=("N", "CHUNK"), help="one process")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.peak:
        print_peak(*options.peak)
        return
    anchors = QUICK_ANCHORS if options.quick else ANCHORS
    tables = {} if options.quick else speed_tables(options.rounds)
    scaling = scaling_table(max(3, options.rounds // 3), anchors)
    peaks = memory_table(QUICK_PEAKS if options.quick else PEAKS)
    tables |= {
        "MAMC against the number of anchors": scaling,
        "MAMC, memory, width 1024": peaks,
    }
    cost_figure(options.figure, scaling, peaks)
    harness.report(options.json, harness.machine(), tables)


def speed_tables(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Side by side with what others do."""
    return {
        "Crop and zoom, 16 images, 448 to 224": crop_table(rounds),
        "Reduction of photographs": quality_table(),
        "MAMC, 256 anchors, P = 4, width 1024": mamc_table(rounds),
    }


if __name__ == "__main__":
    main()
