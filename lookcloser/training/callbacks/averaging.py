"""Weights that are kept instead of those of the last step: means over steps, or with the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor

from lookcloser.training.parallel.strategies import whole_state
from lookcloser.training.tasks.module import TrainingModule


class Averaged(Protocol):
    """Has the weights that are validated and saved."""

    def weights(self) -> Mapping[str, Tensor]:
        """The state dict of the Lightning module with these weights."""
        ...


class EMA(WeightAveraging):
    """Exponential moving average of all weights, used in validation and in what is saved.

    The decay rises as min(decay, (1 + n) / (10 + n)), so that short trainings are averaged too.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            if not averaged.is_floating_point():
                return current
            n = float(count)
            return torch.lerp(current, averaged, min(decay, (1 + n) / (10 + n)))

        super().__init__(use_buffers=True, avg_fn=average)

    def weights(self) -> dict[str, Tensor]:
        """The averaged state dict of the Lightning module."""
        assert self._average_model is not None  # set up before training starts
        return dict(self._average_model.module.state_dict())


class Blend(Callback):
    """Weights between the first ones and the trained ones, validated and saved instead of these.

    Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022: both answer well, and so
    does what lies between them, often better than either.

    Args:
        module: With its first weights.
        share: Of the trained weights, in (0, 1).
    """

    def __init__(self, module: TrainingModule, share: float) -> None:
        self.module, self.share = module, share
        self._first = {name: value.clone() for name, value in self._learned().items()}
        self._trained: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """The first weights, which a resumed run has to go on from."""
        return {"first": self._first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._first = state["first"]

    def on_validation_start(self, *_: Any) -> None:
        """Put the blended weights into the network."""
        self._trained = {name: value.clone() for name, value in self._learned().items()}
        self._set(self._blended())

    def on_validation_end(self, *_: Any) -> None:
        """Put the trained ones back."""
        self._set(self._trained)
        self._trained = {}

    def weights(self) -> dict[str, Tensor]:
        """The blended state dict of the Lightning module."""
        prefix = "model."
        blended = {f"{prefix}{name}": value for name, value in self._blended().items()}
        return {**self.module.state_dict(), **blended}

    def _learned(self) -> dict[str, Tensor]:
        state = self.module.model.state_dict()
        return {name: value for name, value in state.items() if value.is_floating_point()}

    def _blended(self) -> dict[str, Tensor]:
        trained = self._trained or self._learned()
        return {
            name: torch.lerp(self._first[name].to(value.device), value, self.share)
            for name, value in trained.items()
        }

    def _set(self, state: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._learned().items():
                value.copy_(state[name])


def averaged(module: TrainingModule) -> EMA | Blend | None:
    """What the options ask for; without a word, what suits the model's first weights."""
    options = module.options
    if options.ema:
        return EMA(options.ema)
    # Statistics of batches on the way between two networks are those of neither.
    suits = module.model.blend if options.frozen_norm else 1.0
    share = suits if options.blend is None else options.blend
    return None if share == 1 else Blend(module, share)


def trained_state(module: TrainingModule, instead: Averaged | None) -> dict[str, Tensor]:
    """The network's state dict, of the weights kept ``instead`` where there are any."""
    state = whole_state(module) if instead is None else instead.weights()
    prefix = "model."
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
