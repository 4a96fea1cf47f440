"""Where a network runs."""

from __future__ import annotations

import torch

from lookcloser.core.errors import UsageError


def usable_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; None takes a GPU where there is one.

    Raises:
        UsageError: For a name that is none, and a device that this machine does not have.
    """
    gpus = torch.cuda.device_count()
    if name is None:
        return torch.device("cuda" if gpus else "cpu")
    mps = torch.backends.mps.is_available()
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is not None:
        there = {"cpu": True, "cuda": (device.index or 0) < gpus, "mps": mps}
        if there.get(device.type, False):
            return device
    here = ["cpu", *(f"cuda:{number}" for number in range(gpus)), *(["mps"] if mps else [])]
    raise UsageError(f"{name}: not a device of this machine", allowed=", ".join(here))
