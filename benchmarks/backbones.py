"""Every family of timm once: does it train, is its map of the image, is it saved and loaded?

A family is a module of timm; its member is the smallest of a few that by their name are small. Each
gets random weights and, at the smallest size it takes that gives 4×4 places or more:

- forward and backward of `cam` in training: the logits are finite and every parameter has a
  finite gradient;
- map: a change in each corner of the image moves the features in that corner most;
- save and load: a model file gives the same logits.

python benchmarks/backbones.py                      # writes its results and docs/backbones.md
python benchmarks/backbones.py --families vgg resnet  # these anew, the others as they were
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from _harness import arguments, machine, report, table
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.models import CAM, Backbone, load_model_file, save_model_file

SMALL = ("atto", "femto", "pico", "zepto", "nano", "xxt", "xxs", "xx_small", "xt", "xs", "x_small")
SMALL += ("tiny", "mini", "small", "lite", "_s0", "_m0", "_t0", "_b0", "_a0", "050", "035", "_s_")
SIDES = (64, 128, 192)
LIMIT = 60e6
YES = "yes"


def smallest(family: str, looked_at: int = 4) -> tuple[str, float]:
    """A small member of a family and its number of parameters, without memory for its weights."""

    def likely(name: str) -> tuple[int, int, str]:
        numbers = [int(digits) for digits in re.findall(r"\d+", name.split("_", maxsplit=1)[0])]
        return -sum(word in name for word in SMALL), sum(numbers), name

    counts = {}
    for name in sorted(timm.list_models(module=family), key=likely)[:looked_at]:
        with torch.device("meta"):
            net = timm.create_model(name, num_classes=0)
        counts[name] = sum(parameter.numel() for parameter in net.parameters())
    chosen = min(counts, key=lambda name: counts[name])
    return chosen, counts[chosen]


def fitting_size(backbone: Backbone, name: str) -> tuple[int, tuple[int, int]]:
    """The smallest side it takes and its grid; its own side where it takes no other."""
    native = timm.get_pretrained_cfg(name).input_size[-1]
    for side in sorted({*SIDES, native}):
        if side > native:
            break
        try:
            grid = backbone.grid((side, side))
        except LookcloserError:
            continue
        if min(grid) >= 4:
            return side, grid
    return native, backbone.grid((native, native))


def trains(model: CAM, images: Tensor) -> str:
    model.train()
    F.cross_entropy(model(images).logits, torch.tensor([0, 1])).backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None]
    if without:
        return f"no gradient: {without[0]} and {len(without) - 1} more"
    finite = all(bool(weight.grad.isfinite().all()) for weight in model.parameters())  # type: ignore[union-attr]  # none is without
    return YES if finite else "gradients are not finite"


@torch.no_grad()
def lies_right(backbone: Backbone, images: Tensor) -> str:
    """Whether each corner of the map answers most to its corner of the image."""
    backbone.eval()
    image, other, half = images[:1], images[1:], images.shape[-1] // 2
    before = backbone(image)
    rows, columns = before.shape[2] // 2, before.shape[3] // 2
    for down in (False, True):
        for right in (False, True):
            changed = image.clone()
            y, x = down * half, right * half
            changed[:, :, y : y + half, x : x + half] = other[:, :, y : y + half, x : x + half]
            moved = (backbone(changed) - before).abs().mean(dim=1)[0]
            corners = [moved[-rows:] if far else moved[:rows] for far in (False, True)]
            found = [
                float((part[:, -columns:] if far else part[:, :columns]).mean())
                for part in corners
                for far in (False, True)
            ]
            if max(found) != found[2 * down + right]:
                return "another place answers most"
    return YES


@torch.no_grad()
def saved(model: CAM, name: str, images: Tensor) -> str:
    header = ModelHeader(
        "cam", {"num_classes": 3, "backbone": name}, "classification", ("a", "b", "c")
    )
    expected = model.eval()(images).logits
    with tempfile.TemporaryDirectory() as folder:
        path = save_model_file(Path(folder) / "m.safetensors", model.state_dict(), header)
        loaded, _ = load_model_file(path)
    return YES if torch.equal(loaded(images).logits, expected) else "other logits"


def attempt(check: Callable[[], str]) -> str:
    """What ``check`` says, or the first line of the error."""
    try:
        return check()
    except Exception as error:  # a table of what works also lists what does not, and why
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def tried(family: str) -> dict[str, Any]:
    name, count = smallest(family)
    row: dict[str, Any] = {
        "family": family,
        "backbone": name,
        "M parameters": round(count / 1e6, 2),
    }
    if count > LIMIT:
        return row | {"note": f"not tried: above {LIMIT / 1e6:.0f} M parameters"}
    torch.manual_seed(0)
    try:
        model = CAM(3, name)
        side, grid = fitting_size(model.backbone, name)
    except LookcloserError as error:
        return row | {"note": str(error)}
    images = torch.randn(2, 3, side, side)
    kept = sum(weight.numel() for weight in model.backbone.parameters())
    return row | {
        "kept": round(kept / 1e6, 2),
        "side": side,
        "map": f"{grid[0]}×{grid[1]}",
        # Before the training, whose one step would leave the batch norms between two scales.
        "place": attempt(lambda: lies_right(model.backbone, images)),
        "trains": attempt(lambda: trains(model, images)),
        "save, load": attempt(lambda: saved(model, name, images)),
    }


def page(rows: list[dict[str, Any]], version: str) -> str:
    """docs/backbones.md."""
    good = sum(
        all(row.get(key) == YES for key in ("trains", "place", "save, load")) for row in rows
    )
    return (
        "# Backbones that were tried\n\n"
        "Written by `python benchmarks/backbones.py`; do not edit.\n\n"
        f"One small member of each of the {len(rows)} families of timm {version}, with random "
        f"weights; **{good} of {len(rows)} pass everything**. *kept*: millions of parameters that "
        "the features need, without what timm has behind them. *side*: the smallest input that was "
        "taken with 4×4 places, of 64, 128, 192 and the network's own. *trains*: forward and "
        "backward of `cam`, with a finite gradient for every parameter. *place*: a change in each "
        "corner of the image moves the map in that corner most. *save, load*: the model file gives "
        "the same logits.\n\n"
        f"{table(rows)}\n"
    )


def kept(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier run with this timm; those of the families named now are replaced."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    same = found["machine"]["versions"]["timm"] == timm.__version__
    rows: list[dict[str, Any]] = found["backbones"] if same else []
    return rows


def main() -> None:
    parser = arguments("backbones", __doc__)
    parser.add_argument("--families", nargs="+", default=timm.list_modules())
    docs = Path(__file__).parent.parent / "docs"
    parser.add_argument("--page", type=Path, default=docs / "backbones.md")
    given = parser.parse_args()
    rows = {row["family"]: row for row in kept(given.json)}
    for family in given.families:
        start = time.perf_counter()
        rows[family] = tried(family)
        print(f"{time.perf_counter() - start:5.1f} s  {rows[family]}", flush=True)
    ordered = [rows[family] for family in sorted(rows)]
    report(given.json, machine(), {"backbones": ordered})
    given.page.write_text(page(ordered, timm.__version__), encoding="utf-8")


if __name__ == "__main__":
    main()
