"""A network of torch with what belongs to it, ready to be asked."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookcloser.core.header import ModelHeader
from lookcloser.core.hooks import evaluating
from lookcloser.core.preprocessing import Preprocessing, normalized
from lookcloser.core.types import Output
from lookcloser.models import Model
from lookcloser.runtime import ArrayOutput


@dataclass(frozen=True, eq=False)
class TorchEngine:
    """A network, its header, and the device it runs on.

    Several threads may ask one engine; the network is left as it was found.

    Attributes:
        model: The network.
        header: What belongs to it.
        device: Where it is.
        session: What its batches share; see `Model.session`.
    """

    model: Model
    header: ModelHeader
    device: torch.device
    session: AbstractContextManager[None] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "session", self.model.session())

    def answer(self, pixels: NDArray[np.uint8], top: int) -> ArrayOutput:
        """See `lookcloser.runtime.Engine`."""
        with torch.inference_mode(), evaluating(self.model), self.session:
            return as_arrays(self.model.answer(self.images(pixels), top))

    def evidence(self, pixels: NDArray[np.uint8], tokens: NDArray[np.int64]) -> ArrayOutput:
        """See `lookcloser.runtime.Engine`."""
        wanted = torch.from_numpy(tokens).to(self.device)
        with torch.inference_mode(), evaluating(self.model), self.session:
            output = self.model(self.images(pixels), targets=wanted.clamp(min=0))
            return as_arrays(output._replace(tokens=wanted))

    def images(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels as the normalized input of the network, on its device."""
        return as_input(pixels, self.header.preprocessing, self.device)

    def fingerprint(self) -> str:
        """See `lookcloser.runtime.Engine`."""
        return weights_digest(self.model, self.header)


def as_input(
    pixels: NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device
) -> Tensor:
    """What `normalized` makes of pixels (B, 3, H, W), on a device.

    A GPU gets a quarter of the bytes and computes the rest itself, by the same operations.
    """
    if device.type == "cpu":
        return torch.from_numpy(normalized(pixels, preprocessing))
    # Dividing by a plain number would multiply by its rounded inverse there.
    whole, mean, std = (
        torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
        for values in ((255.0,), preprocessing.mean, preprocessing.std)
    )
    return (torch.from_numpy(pixels).to(device).float() / whole - mean) / std


def weights_digest(model: nn.Module, header: ModelHeader) -> str:
    """What tells one network's answers from another's: its weights and preprocessing."""
    # As it was written when sizes were plain pairs: journals that were begun then go on.
    fields = vars(header.preprocessing) | {"size": tuple(header.preprocessing.size)}
    written = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    digest = hashlib.sha256(f"Preprocessing({written})".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def as_arrays(output: Output) -> ArrayOutput:
    """The fields that answers are made from, as float32 (indices as they are) on the CPU."""
    present: dict[str, Any] = {
        name: _array(value)
        for name, value in output._asdict().items()
        if value is not None and name in ArrayOutput._fields
    }
    return ArrayOutput(**present)


def _array(values: Tensor) -> NDArray[np.generic]:
    kept = values.float() if values.is_floating_point() else values
    array: NDArray[np.generic] = kept.detach().cpu().numpy()
    return array
