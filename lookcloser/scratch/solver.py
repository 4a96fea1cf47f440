"""A training loop for any model with named parameters and a loss that returns gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.scratch.arrays import Array
from lookcloser.scratch.update_rules import UPDATE_RULES, Config


class Model(Protocol):
    """What a `Solver` trains."""

    params: dict[str, Array]

    @property
    def loss(self) -> Callable[..., tuple[float, dict[str, Array]]]:
        """A method: loss of one batch, and the gradient of every parameter under its name."""
        ...


@dataclass
class History:
    """One entry per iteration: the batch's loss before the update, and the learning rate used."""

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)


class Solver:
    """Mini-batch training.

    Every epoch visits all items once, in an order drawn from ``seed``; a last, smaller batch is
    kept. After every epoch the learning rate is multiplied by ``lr_decay``.

    Args:
        model: Its ``params`` are replaced, by name, after every batch.
        data: Arrays of equal length; items of the same index form one example, and a batch is
            passed to ``model.loss`` in this order.
        update_rule: "sgd", "sgd_momentum", "rmsprop" or "adam".
        learning_rate: Of the first epoch.
        optim_config: The other settings of the rule; see `update_rules`.
        lr_decay: Factor on the learning rate after every epoch.
        batch_size: Examples per update.
        num_epochs: Passes over the data that one call of `train` makes.
        seed: Of the order of examples.

    Attributes:
        history: Grows with every iteration.
        learning_rate: Of the next iteration.

    Raises:
        LookcloserError: If the rule is unknown, the arrays are empty or differ in length, or
            ``batch_size`` is below 1.
    """

    def __init__(
        self,
        model: Model,
        data: Sequence[NDArray[Any]],
        *,
        update_rule: str = "adam",
        learning_rate: float = 1e-3,
        optim_config: Mapping[str, float] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 50,
        num_epochs: int = 10,
        seed: int = 0,
    ) -> None:
        rules = {rule.__name__: rule for rule in UPDATE_RULES}
        if update_rule not in rules:
            raise unknown(update_rule, "update rule", rules)
        lengths = sorted({len(array) for array in data})
        if len(lengths) != 1 or lengths == [0]:
            raise LookcloserError(f"{lengths}: lengths of the data", allowed="one, not zero")
        if batch_size < 1:
            raise LookcloserError(f"{batch_size}: batch size", allowed="1 or more")
        self.model, self.data, self.history = model, tuple(data), History()
        self.rule, self.learning_rate, self.lr_decay = rules[update_rule], learning_rate, lr_decay
        self.batch_size, self.num_epochs = batch_size, num_epochs
        self._configs: dict[str, Config] = {n: dict(optim_config or {}) for n in model.params}
        self._order = np.random.default_rng(seed)

    def train(self) -> History:
        """Run ``num_epochs`` epochs, from where the last call stopped; returns `history`."""
        for _ in range(self.num_epochs):
            order = self._order.permutation(len(self.data[0]))
            for start in range(0, len(order), self.batch_size):
                chosen = order[start : start + self.batch_size]
                self._step(*(array[chosen] for array in self.data))
            self.learning_rate *= self.lr_decay
        return self.history

    def _step(self, *batch: NDArray[Any]) -> None:
        loss, grads = self.model.loss(*batch)
        self.history.losses.append(loss)
        self.history.learning_rates.append(self.learning_rate)
        for name, config in self._configs.items():
            config["learning_rate"] = self.learning_rate
            w, self._configs[name] = self.rule(self.model.params[name], grads[name], config)
            self.model.params[name] = w
