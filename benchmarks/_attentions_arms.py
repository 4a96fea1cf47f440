"""The arms of attentions.py and its tables."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from typing import Any, NamedTuple

import torch
from _paired import is_above, points, spread
from torch import Tensor

KINDS = ("whole", "small")
BASE = "cam"
GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "ones": torch.ones_like,
    "another image's": lambda gates: gates.roll(1, 0),
}


class Arm(NamedTuple):
    """A method with options of its own, its batches, and what stands in for its gates."""

    options: dict[str, Any]
    pairs: bool = True
    gates: str | None = None


OSME = {"method": "osme"}
ARMS = {
    BASE: Arm({"method": "cam"}, pairs=False),
    "osme": Arm(OSME),
    "osme without MAMC": Arm({**OSME, "mamc_weight": 0.0}),
    "control: gates of ones": Arm(OSME, gates="ones"),
    "cam, batches of pairs": Arm({"method": "cam"}),
    "osme, one attention": Arm({**OSME, "parts": 1}),
    "control: another image's gates": Arm(OSME, gates="another image's"),
    # The paper's head, which tells places apart, as wide as its weights allow.
    "osme, flattened": Arm({**OSME, "part_head": "flattened", "part_width": 64}),
}


SMALL: dict[str, Any] = {  # what a CPU can do in ten minutes
    "stage": -1, "views": 0, "kinds": ["whole"], "images": 20, "test": 726, "epochs": 15,
    "arms": [name for name in ARMS if name not in ("cam, batches of pairs", "osme, flattened")],
}  # fmt: skip


Kept = dict[str, dict[str, list[dict[str, Any]]]]


def by_training(lines: list[dict[str, Any]]) -> Kept:
    """For each kind of images and training the lines of each arm."""
    found: Kept = {}
    for line in lines:
        title = f"{line['kind']} birds, {line['size']} px, {line['images']} images of each class, "
        title += f"{line['epochs']} epochs, "
        title += "heads alone" if line["stage"] < 0 else f"stages behind {line['stage']}"
        found.setdefault(title, {name: [] for name in ARMS})[line["arm"]].append(line)
    return dict(sorted(found.items()))


def paired(
    own: list[dict[str, Any]], base: list[dict[str, Any]]
) -> tuple[list[float], list[float]]:
    """Top-1 of both on the seeds that both have."""
    others = {line["seed"]: line["top-1"] for line in base}
    shared = [line for line in own if line["seed"] in others]
    return [line["top-1"] for line in shared], [others[line["seed"]] for line in shared]


def rows_of(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """One table for each kind of images and training."""
    measures = ("training loss", "gates over images", "between attentions", "GFLOP")
    tables: dict[str, list[dict[str, Any]]] = {}
    for title, arms in by_training(lines).items():
        for name, own in arms.items():
            if not own:
                continue
            values, base = paired(own, arms[BASE])
            row = {
                "arm": name,
                "top-1": mean(line["top-1"] for line in own),
                "deviation": spread([line["top-1"] for line in own]),
                "points over cam": points(values, base) if name != BASE and values else "",
                "by seed": ", ".join(f"{line['top-1']:.4f}" for line in own),
            }
            row |= {
                key: mean(line[key] for line in own) if key in own[0] else "" for key in measures
            }
            tables.setdefault(title, []).append(row)
    return tables


def promises(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for docs/benchmarks.md: osme above cam, with the other arms as its peers."""
    rows = []
    for title, arms in by_training(lines).items():
        values, base = paired(arms["osme"], arms[BASE])
        if not values:
            continue
        peers = [
            f"{name} {points(*paired(own, arms[BASE]))}"
            for name, own in arms.items()
            if own and name not in (BASE, "osme")
        ]
        rows.append(
            {
                "promise": f"{title}: osme above cam, points",
                "measured": f"{points(values, base)}; cam {100 * mean(base):.1f} %",
                "held": is_above(values, base),
                "peer": "; ".join(peers),
            }
        )
    return rows
