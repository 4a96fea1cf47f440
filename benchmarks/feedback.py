"""Where feeding the class map back helps: MNIST digits alone, in noise, and among other digits.

Arms of equal training (images, steps, rate) in each setting of `_clutter.py`, with the two-block
network of the original experiment and with a small ResNet:

- attention: `feedback`; "both passes learn" adds the loss of the first pass; "half" feeds back
  (1 + map) / 2, which leaves a place at least half of what it was
- ones, another image's map, own map at random places, random map: the same two passes with
  something else in the place of the map
- weighted pooling: one pass whose last features are averaged by the same map, no second look
- plain, equal compute: one pass of a network as deep as two passes are
- plain, longer training: the control of ones, in the training time that attention takes

With ``--start N`` all arms of a seed begin with the network that N single digits have trained.

All seeds of an arm are trained side by side as one batched network (torch.func); each has images,
weights and an order of its own. "first pass" is the trained network without what it feeds back,
"other map at test" with that of another image, "on digit" the mean of the map on the digit's box
(1 is no preference). Differences are paired by seed, with their 95 % t interval.

Arms come one after the other through all settings, and what is in --lines is not run again.

python benchmarks/feedback.py MNIST_ROOT --lines feedback.jsonl --device cuda
python benchmarks/feedback.py MNIST_ROOT --lines feedback.jsonl --small
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from _clutter import SETTINGS, Setting, draw
from _feedback_arms import (
    ARMS,
    BASE,
    BOTH,
    LONGER,
    NETWORKS,
    RATES,
    SMALL,
    START,
    TESTED,
    WARMUP,
    Batched,
    Rows,
)
from _harness import arguments, machine, report
from _paired import append, fill, is_above, parsed, points, read_lines, spread
from torch import Tensor
from torch.nn import functional as F
from torchvision.datasets import MNIST


class Data(NamedTuple):
    """For S seeds: images (S, N, H, W) uint8, digits (S, N), boxes of the test digits (S, M, 4)."""

    images: Tensor
    digits: Tensor
    test_images: Tensor
    test_digits: Tensor
    boxes: Tensor


def load(root: Path, setting: Setting, given: argparse.Namespace) -> Data:
    parts: list[Any] = []
    for train, count in ((True, given.train), (False, given.test)):
        whole = MNIST(root, train=train, download=False)
        own = [
            draw(whole.data.numpy(), whole.targets.numpy(), setting, count, 2 * seed + train)
            for seed in given.seeds
        ]
        images, digits, boxes = (
            torch.stack([torch.from_numpy(value) for value in values])
            for values in zip(*own, strict=True)
        )
        smaller = F.avg_pool2d(images.float(), given.shrink).round().to(torch.uint8)
        parts += [smaller, digits] if train else [smaller, digits, boxes]
    return Data(*(part.to(given.device) for part in parts))


def steps_of(
    batched: Batched, data: Data, first_weight: float, given: argparse.Namespace
) -> tuple[Callable[[], None], Tensor, Tensor]:
    """A training step, the rate that it reads, and the images (S, B) that it takes."""
    rate = torch.zeros((), device=given.device)
    weights = list(batched.weights.values())
    on_gpu = given.device == "cuda"
    optimizer = torch.optim.AdamW(weights, lr=rate, capturable=on_gpu, foreach=on_gpu)
    seeds = len(given.seeds)
    chosen = torch.zeros(seeds, given.batch_size, dtype=torch.long, device=given.device)
    of_seed = torch.arange(seeds, device=given.device)[:, None]

    def step() -> None:
        answer, first, _ = batched(data.images[of_seed, chosen])
        digits = data.digits[of_seed, chosen].flatten()
        loss = F.cross_entropy(answer.flatten(0, 1), digits)
        if first_weight:
            loss = loss + first_weight * F.cross_entropy(first.flatten(0, 1), digits)
        optimizer.zero_grad()
        (seeds * loss).backward()  # each seed's own mean
        optimizer.step()

    return step, rate, chosen


def train(batched: Batched, data: Data, first_weight: float, given: argparse.Namespace) -> None:
    """AdamW, linear warm-up and a cosine to zero; on a GPU as one graph that is replayed."""
    batched.look.train()
    step, rate, chosen = steps_of(batched, data, first_weight, given)
    count = data.images.shape[1]
    drawn = torch.Generator().manual_seed(given.seeds[0])
    epoch_steps = count // given.batch_size
    run = captured(step) if given.device == "cuda" and not given.eager else step
    longer = LONGER if batched.look.arm.arm == "plain, longer training" else 1
    steps = round(epoch_steps * given.epochs * longer)
    for number in range(steps):
        place = number % epoch_steps
        if not place:
            orders = torch.stack([torch.randperm(count, generator=drawn) for _ in given.seeds])
            orders = orders.to(given.device)
        rate.fill_(RATES[batched.network] * rate_at(number / steps))
        chosen.copy_(orders[:, place * given.batch_size : (place + 1) * given.batch_size])
        run()


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """The kernels of a step as one graph; the steps before, at a rate of 0, change no weight."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def rate_at(done: float) -> float:
    """Share of the peak rate."""
    return min(done / WARMUP, 0.5 * (1 + math.cos(math.pi * done))) + 1e-3


@torch.no_grad()
def tested(batched: Batched, data: Data, setting: Setting, arm: str) -> Rows:
    """Of each seed: right answers of both passes, and the map on the digit."""
    batched.look.eval()
    own = batched.look.arm.arm
    batched.look.arm.arm = arm
    fixed = torch.Generator().manual_seed(1000)
    sums: dict[str, Tensor] = {}
    for start in range(0, data.test_images.shape[1], TESTED):
        part = slice(start, start + TESTED)
        images = data.test_images[:, part]
        noise = None
        if setting.noise:
            drawn = torch.randn(images.shape[1:], generator=fixed)
            noise = setting.noise / 255 * drawn.to(images.device)
        answer, first, fed = batched(images, noise)
        digits = data.test_digits[:, part]
        found = {
            "top-1": (answer.argmax(dim=2) == digits).float(),
            "first pass": (first.argmax(dim=2) == digits).float(),
            "on digit": on_boxes(fed[:, :, 0], data.boxes[:, part] / setting.side),
        }
        for name, values in found.items():
            sums[name] = sums.get(name, torch.zeros(())).to(values) + values.sum(dim=1)
    batched.look.arm.arm = own
    return {name: (total / data.test_images.shape[1]).tolist() for name, total in sums.items()}


def on_boxes(maps: Tensor, boxes: Tensor) -> Tensor:
    """Mean of each map (S, B, h, w) over the places whose middle is in the box, in [0, 1]."""
    inside = []
    for axis, length in ((1, maps.shape[2]), (0, maps.shape[3])):
        middle = (torch.arange(length, device=maps.device) + 0.5) / length
        low, high = boxes[..., axis, None], boxes[..., axis + 2, None]
        inside.append((middle >= low) & (middle < high))
    mask = inside[0][..., :, None] & inside[1][..., None, :]
    return (maps * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp(min=1)


def started(
    batched: Batched, known: dict[tuple[str, int], dict[str, Tensor]], given: argparse.Namespace
) -> None:
    """Give it the weights of plain networks of its kind that single digits have trained."""
    arm = "plain, equal compute" if batched.look.arm.arm == "plain, equal compute" else BASE
    key = batched.network, len(batched.weights)
    if key not in known:
        own = argparse.Namespace(**{**vars(given), "train": given.start, "epochs": 1})
        first = Batched(batched.network, arm, 0.0, own)
        train(first, load(given.root, SETTINGS[START], own), 0.0, own)
        known[key] = {name: weight.detach() for name, weight in first.weights.items()}
    for name, weight in batched.weights.items():
        weight.data.copy_(known[key][name])


def measure(
    network: str,
    name: str,
    arm: str,
    data: Data,
    known: dict[tuple[str, int], dict[str, Tensor]],
    given: argparse.Namespace,
) -> dict[str, Any]:
    """Train and test one arm on all seeds."""
    setting = SETTINGS[name]
    batched = Batched(network, arm, setting.noise, given)
    if given.start:
        started(batched, known, given)
    start = time.perf_counter()
    train(batched, data, float(arm.endswith(BOTH)), given)
    scores = tested(batched, data, setting, arm)
    if "attention" in arm:
        swapped = tested(batched, data, setting, "control: another image's map")
        scores["other map at test"] = swapped["top-1"]
    return {
        **scores,
        "parameters": sum(weight[0].numel() for weight in batched.weights.values()),
        "seconds": time.perf_counter() - start,
        "device": given.device,
    }


def tables(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """One table for each network: the arms of each setting, beside the control of ones."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=order):
        bases = [o for o in lines if o["arm"] == BASE and same_training(o, line)]
        title = f"{line['network']}, {line['train']} training images, {line['epochs']} epochs"
        title += f" after {line['start']} single digits" if line["start"] else ""
        title += f", {line['shrink']} pixels as one" if line["shrink"] > 1 else ""
        found.setdefault(title, []).append(
            {
                "setting": line["setting"],
                "arm": line["arm"],
                "top-1": mean(line["top-1"]),
                "deviation": spread(line["top-1"]),
                "points over ones": points(line["top-1"], bases[0]["top-1"])
                if bases and line["arm"] != BASE
                else "",
                "by seed": ", ".join(f"{value:.4f}" for value in line["top-1"]),
                **{
                    name: mean(line[name]) if name in line else ""
                    for name in ("first pass", "other map at test", "on digit")
                },
            }
        )
    return found


def promises(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for docs/benchmarks.md: attention above ones, with the other arms as its peers."""
    rows = []
    for line in sorted(lines, key=order):
        others = [other for other in lines if same_training(other, line) and other is not line]
        ones = [other for other in others if other["arm"] == BASE]
        if line["arm"] != "attention" or not ones:
            continue
        base = ones[0]["top-1"]
        peers = [
            f"{other['arm']} {points(other['top-1'], base)}"
            for other in sorted(others, key=order)
            if other is not ones[0]
        ]
        what = f"{line['network']}, {line['setting']}: attention above the control of ones, points"
        measured = f"{points(line['top-1'], base)}; {100 * mean(base):.1f} % with ones"
        rows.append(
            {
                "promise": what,
                "measured": measured,
                "held": is_above(line["top-1"], base),
                "peer": "; ".join(peers),
            }
        )
    return rows


def order(line: dict[str, Any]) -> tuple[int, ...]:
    return (
        list(NETWORKS).index(line["network"]), line["train"] * line["epochs"],
        list(SETTINGS).index(line["setting"]), ARMS.index(line["arm"]),
    )  # fmt: skip


def same_training(one: dict[str, Any], other: dict[str, Any]) -> bool:
    keys = ("network", "setting", "seeds", "train", "epochs", "shrink", "start")
    return all(one[key] == other[key] for key in keys)


def main(words: list[str] | None = None) -> None:
    parser = arguments("feedback", __doc__)
    parser.add_argument("root", type=Path, help="the folder that holds MNIST/raw")
    parser.add_argument("--train", type=int, default=10000)
    parser.add_argument("--test", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--start", type=int, default=0, help="single digits to begin with")
    parser.add_argument("--shrink", type=int, default=1, help="pixels that become one, each way")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--eager", action="store_true", help="no CUDA graph")
    given = parsed(parser, SMALL, words)
    lines = read_lines(given.lines or [])
    asked = [
        {"network": network, "setting": setting, "arm": arm, "seeds": given.seeds,
         "train": given.train, "epochs": given.epochs, "shrink": given.shrink,
         "start": given.start}
        for arm, setting, network in product(given.arms, given.settings, given.networks)
    ]  # fmt: skip
    kept: dict[str, Data] = {}
    known: dict[tuple[str, int], dict[str, Tensor]] = {}
    for one in asked if not given.only_report else ():
        if any(line | one == line for line in lines):
            continue
        setting = one["setting"]
        if setting not in kept:
            kept[setting] = load(given.root, SETTINGS[setting], given)
        line = one | measure(one["network"], setting, one["arm"], kept[setting], known, given)
        print({name: line[name] for name in ("network", "setting", "arm", "top-1", "seconds")},
              flush=True)  # fmt: skip
        lines.append(line)
        if given.lines:
            append(given.lines[0], line)
    report(given.json, machine(), tables(lines))
    fill(given.json, promises(lines))


if __name__ == "__main__":
    main()
