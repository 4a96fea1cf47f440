"""What evidence costs: maps and views against the bare forward pass and three packages.

ResNet-50, random weights, float32, 224 px where not said otherwise. `ours: maps` is the model of
`--method cam` answering with the map of its best class; the other rows of ours look into the bare
timm network. Peak memory is that of a fresh process per row at its first look at images of that
size, above what it held before the call.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _plots as plots
import timm
import torch
from _harness import arguments, interleave, machine, ratios, report, summary
from torch import Tensor

from lookcloser import explain
from lookcloser.models import CAM

PARTS = ("views", "transformer", "targets", "memory", "growth", "agreement")
LAYER = "layer4"  # looked at by name, so that no row pays for finding it


def networks() -> tuple[CAM, torch.nn.Module]:
    """The model of `--method cam` and timm's bare network with the same weights."""
    torch.manual_seed(0)
    ours = CAM(1000, CAM.Options("resnet50")).eval()
    # The peers add 1e-8 and 1e-7 to what they divide by; large scores make that vanish.
    ours.head.weight.data *= 1e4
    bare = timm.create_model("resnet50").eval()
    head = {"fc.weight": ours.head.weight.data, "fc.bias": ours.head.bias.data}
    bare.load_state_dict({**ours.backbone.net.state_dict(), **head})
    return ours, bare


def calls(ours: CAM, bare: torch.nn.Module, images: Tensor) -> dict[str, Callable[[], Any]]:
    """Every way to get a picture of the evidence, on the same weights and images."""

    def maps() -> Tensor | None:
        with torch.inference_mode():
            return ours(images, top=1).maps

    views = ("cam", "gradcam", "gradcampp", "layercam", "eigencam", "saliency")
    return {
        "bare forward": lambda: forward(bare, images),
        "ours: maps": maps,
        **{f"ours: {name}": view_of(name, bare, images) for name in views},
        "ours: guided_backprop": view_of("guided_backprop", bare, images),
        **torchcam_calls(bare, images),
        **grad_cam_calls(bare, images),
        **captum_calls(bare, images),
    }


def forward(model: torch.nn.Module, images: Tensor) -> Tensor:
    """What every row is measured against."""
    with torch.inference_mode():
        logits: Tensor = model(images)
    return logits


def view_of(name: str, model: torch.nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """A call of one of our views for the best class."""
    return lambda: explain.VIEWS[name](model, images)


def torchcam_calls(model: torch.nn.Module, images: Tensor) -> dict[str, Callable[[], Any]]:
    """torchcam, used as its README shows."""
    try:
        from torchcam import methods as torchcam
    except ImportError:
        print("torchcam is not installed: left out")
        return {}

    def cam() -> Any:
        with torchcam.CAM(model, LAYER, "fc") as extractor, torch.inference_mode():
            return extractor(model(images).argmax(dim=1).tolist())

    def gradcam() -> Any:
        with torchcam.GradCAM(model, LAYER) as extractor:
            scores = model(images)
            return extractor(scores.argmax(dim=1).tolist(), scores)

    return {"torchcam: CAM": cam, "torchcam: GradCAM": gradcam}


def grad_cam_calls(model: torch.nn.Module, images: Tensor) -> dict[str, Callable[[], Any]]:
    """grad-cam, used as its README shows."""
    try:
        from pytorch_grad_cam import GradCAM
    except ImportError:
        print("grad-cam is not installed: left out")
        return {}

    def gradcam() -> Any:
        with GradCAM(model, [model.layer4]) as extractor:
            return extractor(images, None)

    return {"grad-cam: GradCAM": gradcam}


def captum_calls(model: torch.nn.Module, images: Tensor) -> dict[str, Callable[[], Any]]:
    """captum, used as its tutorials show; it wants to be told the class."""
    try:
        from captum import attr
    except ImportError:
        print("captum is not installed: left out")
        return {}

    def best() -> Tensor:
        return forward(model, images).argmax(dim=1).clone()

    def gradcam() -> Any:
        return attr.LayerGradCam(model, model.layer4).attribute(images, target=best())

    def saliency() -> Any:
        pixels = images.clone().requires_grad_()
        return attr.Saliency(model).attribute(pixels, target=best())

    return {"captum: LayerGradCam": gradcam, "captum: Saliency": saliency}


def views(rounds: int, batches: list[int]) -> dict[str, list[dict[str, Any]]]:
    """Time of every call at every batch size."""
    return {
        f"views, batch {batch}": summary(
            interleave(calls(*networks(), torch.randn(batch, 3, 224, 224)), rounds, 2),
            "bare forward",
        )
        for batch in batches
    }


def transformer(rounds: int, batches: list[int]) -> dict[str, list[dict[str, Any]]]:
    """Time of the views of attention: a ViT-Ti at 224 px."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224").eval()
    found = {}
    for batch in batches:
        images = torch.randn(batch, 3, 224, 224)
        timed = {"bare forward": lambda images=images: forward(model, images)}
        for name in ("attention_rollout", "attention_relevance", "gradcam", "saliency"):
            timed[f"ours: {name}"] = view_of(name, model, images)
        rows = summary(interleave(timed, rounds, 2), "bare forward")
        found[f"transformer, batch {batch}"] = rows
    return found


def targets(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """20 targets of one image over one target of it."""
    _, model = networks()
    images, many = torch.randn(1, 3, 224, 224), torch.arange(20)[None]
    rows = []
    for name in ("cam", "gradcam", "gradcampp", "layercam"):
        view = explain.VIEWS[name]
        timed = {
            "one": lambda view=view: view(model, images, 0),
            "twenty": lambda view=view: view(model, images, many),
        }
        seconds = interleave(timed, rounds, 2)
        medians = {f"{key}_s": statistics.median(values) for key, values in seconds.items()}
        rows.append({"name": name, **medians, "ratio": ratios(seconds, "one")["twenty"]})
    return {"20 targets of one image": rows}


def memory(batch: int = 8, times: int = 3) -> dict[str, list[dict[str, Any]]]:
    """Peak memory of every call above idle: the median of fresh processes, which the heap needs."""
    rows: list[dict[str, Any]] = []
    for name in calls(*networks(), torch.zeros(1)):
        command = [sys.executable, __file__, "--peak", name, "--batches", str(batch)]
        found = [
            float(subprocess.run(command, capture_output=True, check=True).stdout.split()[-1])
            for _ in range(times)
        ]
        middle = statistics.median(found)
        row = {"name": name, "peak_mb": middle, "most_mb": max(found)}
        base = rows[0] if rows else row
        rows.append(row | {"over bare forward": middle / base["peak_mb"]})
    return {f"peak memory above idle, batch {batch}": rows}


def peak(name: str, batch: int) -> float:
    """MB that one call takes at its highest above what the process held before (Linux)."""
    pair = networks()
    # Loads the code; what a view finds at its first look at this size is a part of the call.
    calls(*pair, torch.randn(1, 3, 64, 64))[name]()
    call = calls(*pair, torch.randn(batch, 3, 224, 224))[name]
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high mark starts anew
    before = status("VmRSS")
    call()
    return (status("VmHWM") - before) / 1024


def status(key: str) -> int:
    """A line of /proc/self/status in kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def growth(rounds: int, figure: Path, *, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Seconds of the bare forward, and the views over it, against batch and image size."""
    _, model = networks()
    names = ("cam", "gradcam", "saliency", "guided_backprop")
    tables: dict[str, list[dict[str, Any]]] = {"cost against batch": [], "cost against size": []}
    batches, sizes = (
        ((1, 2), (64, 96, 128)) if quick else ((1, 2, 4, 8, 16), (96, 160, 224, 320, 448))
    )
    cases = [("cost against batch", batch, max(sizes) if quick else 224) for batch in batches]
    cases += [("cost against size", 2, size) for size in sizes]
    for title, batch, size in cases:
        images = torch.randn(batch, 3, size, size)
        timed = {name: view_of(name, model, images) for name in names}
        seconds = interleave({"bare": lambda: forward(model, images), **timed}, rounds)  # noqa: B023
        row = {"batch": batch, "px": size, "bare_s": statistics.median(seconds["bare"])}
        tables[title].append(
            row | {n: r for n, r in ratios(seconds, "bare").items() if n != "bare"}
        )
    growth_figure(figure, tables, names)
    return tables


def growth_figure(
    path: Path, tables: dict[str, list[dict[str, Any]]], views: tuple[str, ...]
) -> None:
    """Milliseconds an image, against batch and image size."""
    panels = []
    for title, axis, what in (
        ("cost against batch", "batch", "images in the batch"),
        ("cost against size", "px", "side of the images, pixels"),
    ):
        rows = tables[title]
        bare = [(row[axis], 1000 * row["bare_s"] / row["batch"]) for row in rows]
        own = {
            name: [(x, ms * row[name]) for (x, ms), row in zip(bare, rows, strict=True)]
            for name in views
        }
        fixed = f"{rows[0]['px']} px" if axis == "batch" else f"batch {rows[0]['batch']}"
        panels.append(
            plots.Panel(
                f"ResNet-50, {fixed}",
                what,
                "milliseconds an image",
                {"bare forward": bare, **own},
                linear=axis == "batch",
                guides={"pixels": plots.power(bare, 2)} if axis == "px" else {},
            )
        )
    plots.draw(path, panels)


def agreement() -> dict[str, list[dict[str, Any]]]:
    """Largest difference between the normalized pictures, Grad-CAM on a pooled network."""
    _, bare = networks()
    images = torch.randn(2, 3, 224, 224)
    raw = explain.gradcam(bare, images)
    mine = explain.normalize(raw - raw.amin(dim=(1, 2), keepdim=True))  # peers stretch to [0, 1]
    rows = [
        {"peer": name, "max difference": float((mine - call()[0]).abs().max())}
        for name, call in torchcam_calls(bare, images).items()
        if name.endswith("GradCAM")
    ]
    return {"agreement": rows}


def options() -> argparse.Namespace:
    parser = arguments("evidence", __doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--figure", type=Path, default=plots.IMAGES / "evidence_cost.png")
    parser.add_argument("--quick", action="store_true", help="small batches and images in growth")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--peak", metavar="ROW", help="print the peak memory of one row, and end")
    return parser.parse_args()


def main() -> None:
    asked = options()
    if asked.peak:
        print(peak(asked.peak, asked.batches[0]))
        return
    rounds = asked.rounds
    parts: dict[str, Callable[[], dict[str, list[dict[str, Any]]]]] = {
        "views": lambda: views(rounds, asked.batches),
        "transformer": lambda: transformer(rounds, asked.batches),
        "targets": lambda: targets(rounds),
        "memory": memory,
        "growth": lambda: growth(max(3, rounds // 3), asked.figure, quick=asked.quick),
        "agreement": agreement,
    }
    tables: dict[str, list[dict[str, Any]]] = {}
    for part in asked.parts:
        tables |= parts[part]()
    report(asked.json, machine("torchcam", "grad-cam", "captum"), tables)


if __name__ == "__main__":
    main()
