"""Mean losses and scores of an epoch, the same whatever it is broken into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lookcloser.training.parallel import processes


class LossMeans:
    """Means over an epoch's images, over all processes and over the break of a resumed one."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._images: dict[str, int] = {}

    def clear(self) -> None:
        """A new epoch."""
        self._sums, self._images = {}, {}

    def add(self, losses: Mapping[str, Tensor], images: int) -> None:
        """Losses or scores of a batch, each a mean over its ``images``; they stay on its device."""
        for name, loss in losses.items():
            exact = loss.detach().to(torch.float32 if loss.device.type == "mps" else torch.float64)
            total = exact * images
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            self._images[name] = self._images.get(name, 0) + images

    def __call__(self) -> dict[str, float]:
        """The means so far; every process has to ask."""
        return {name: total / images for name, (total, images) in self._totals().items()}

    def latest(self, name: str) -> float | None:
        """A mean so far in this process alone; None where there is none."""
        return float(self._sums[name]) / self._images[name] if name in self._sums else None

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs, of all processes together."""
        return {name: list(pair) for name, pair in self._totals().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`; the first process has it all."""
        self.clear()
        for name, (total, images) in state.items() if processes.rank() == 0 else ():
            self._sums[name] = torch.tensor(total, dtype=torch.float64)
            self._images[name] = images

    def _totals(self) -> dict[str, tuple[float, int]]:
        own = {name: (float(total), self._images[name]) for name, total in self._sums.items()}
        totals: dict[str, tuple[float, int]] = {}
        for one in processes.all_of(own):
            for name, (total, images) in one.items():
                before = totals.get(name, (0.0, 0))
                totals[name] = before[0] + total, before[1] + images
        return totals
