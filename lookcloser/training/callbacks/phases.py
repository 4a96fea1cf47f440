"""Phases of a training: which part learns, for how long, and what a killed run must remember."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from lookcloser.models.base import Model, Phase

# Time constant of the moving average: a share of the phase's longest duration, and at least so many
# steps that a batch does not decide. Twice as many without a new low is the shortest patience.
_WINDOW, _LEAST = 0.1, 10


class PhaseClock:
    """Where a training stands among the phases of a model.

    A phase ends when its share of the steps is used up, or sooner, when the moving average of its
    losses has reached no new low for a while. The average decides, never a batch. The last phase
    takes what is left.

    Args:
        phases: In their order, at least one.
        total_steps: Optimizer steps of the whole training.

    Attributes:
        index: Of the phase that lasts.
        steps: Optimizer steps so far in all phases.
    """

    def __init__(self, phases: Sequence[Phase], total_steps: int) -> None:
        self.phases = tuple(phases)
        self.total_steps = total_steps
        self.index = self.steps = 0
        self._restarted = 0
        self._count = self._since_low = 0
        self._average = self._lowest = 0.0

    @property
    def phase(self) -> Phase:
        """The phase that lasts."""
        return self.phases[self.index]

    @property
    def schedule(self) -> tuple[int, int]:
        """First step and length, in steps, of the rate's schedule that the phase lies in.

        The length is that of its phases if none ends sooner; the last takes what is left.
        """
        begins = [number for number, phase in enumerate(self.phases) if phase.restarts]
        first = max((number for number in begins if number <= self.index), default=0)
        after = next((number for number in begins if number > self.index), None)
        if after is None:
            return self._restarted, max(1, self.total_steps - self._restarted)
        return self._restarted, sum(self._length(phase) for phase in self.phases[first:after])

    def tick(self, steps: int, loss: float) -> bool:
        """After an optimizer step, with its loss: whether another phase begins with the next one.

        Args:
            steps: Optimizer steps so far in the whole training.
            loss: Of this step, in any unit that stays the same within a phase.
        """
        self.steps = steps
        if self.index == len(self.phases) - 1:
            return False
        length = self._length(self.phase)
        window = max(_LEAST, round(_WINDOW * length))
        patience = max(2 * _LEAST, round(self.phase.patience * length))
        self._count += 1
        self._average += (loss - self._average) / min(self._count, window)
        self._since_low += 1
        # The first averages are of few losses, and a lucky one would never be reached again.
        if self._count <= window or self._average < self._lowest:
            self._lowest, self._since_low = self._average, 0
        if self._count < length and self._since_low < patience:
            return False
        self.index += 1
        self._count = self._since_low = 0
        if self.phase.restarts:
            self._restarted = steps
        return True

    def _length(self, phase: Phase) -> int:
        """The most steps of a phase that is not the last."""
        return max(1, round(phase.share * self.total_steps))

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs: plain numbers."""
        own = ("index", "steps", "_restarted", "_count", "_average", "_lowest", "_since_low")
        return {name: getattr(self, name) for name in own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name in self.state_dict():
            setattr(self, name, state[name])


def let_learn(model: Model, phase: Phase) -> None:
    """Freeze what does not learn in ``phase``, without gradients and in evaluation mode.

    In evaluation mode batch norms neither use nor move the statistics of a batch, and there is no
    dropout: what stands still is the same function at every step. Autograd builds no graph for a
    frozen part that no learning part comes before.
    """
    model.phase = phase.name
    model.train().requires_grad_(False)
    for child in model.children():
        child.eval()
    for name in phase.learns:
        part: nn.Module = model.get_submodule(name)
        part.train().requires_grad_(True)
