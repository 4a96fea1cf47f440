"""Update rules: ``rule(w, dw, config) -> (next_w, config)``.

``config`` holds the rule's settings and its memory of this parameter; keys that are absent get the
defaults named below. A rule changes neither ``w`` nor ``dw``; the returned config is to be passed
to the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lookcloser.scratch.arrays import Array

Config = dict[str, Any]
UpdateRule = Callable[[Array, Array, Config], tuple[Array, Config]]


def sgd(w: Array, dw: Array, config: Config) -> tuple[Array, Config]:
    """Stochastic gradient descent: learning_rate 1e-2."""
    return w - config.get("learning_rate", 1e-2) * dw, config


def sgd_momentum(w: Array, dw: Array, config: Config) -> tuple[Array, Config]:
    """Gradient descent with momentum 0.9: ``v = momentum v - learning_rate dw``, ``w + v``.

    Defaults: learning_rate 1e-2, momentum 0.9. The learning rate is inside the velocity, so that
    after it decays the earlier, larger steps still roll on; torch.optim.SGD keeps it outside.
    """
    velocity = config.get("velocity", np.zeros_like(w))
    velocity = config.get("momentum", 0.9) * velocity - config.get("learning_rate", 1e-2) * dw
    return w + velocity, {**config, "velocity": velocity}


def rmsprop(w: Array, dw: Array, config: Config) -> tuple[Array, Config]:
    """RMSProp (Tieleman and Hinton, 2012): steps divided by a running root mean square.

    Defaults: learning_rate 1e-2, decay_rate 0.99, epsilon 1e-8.
    """
    decay = config.get("decay_rate", 0.99)
    square = decay * config.get("square", np.zeros_like(w)) + (1 - decay) * dw**2
    step = config.get("learning_rate", 1e-2) * dw / (np.sqrt(square) + config.get("epsilon", 1e-8))
    return w - step, {**config, "square": square}


def adam(w: Array, dw: Array, config: Config) -> tuple[Array, Config]:
    """Adam (Kingma and Ba, 2015, algorithm 1) with bias correction.

    Defaults: learning_rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-8.
    """
    beta1, beta2 = config.get("beta1", 0.9), config.get("beta2", 0.999)
    t = config.get("t", 0) + 1
    mean = beta1 * config.get("mean", np.zeros_like(w)) + (1 - beta1) * dw
    square = beta2 * config.get("square", np.zeros_like(w)) + (1 - beta2) * dw**2
    root = np.sqrt(square / (1 - beta2**t)) + config.get("epsilon", 1e-8)
    step = config.get("learning_rate", 1e-3) * (mean / (1 - beta1**t)) / root
    return w - step, {**config, "t": t, "mean": mean, "square": square}


UPDATE_RULES: tuple[UpdateRule, ...] = (sgd, sgd_momentum, rmsprop, adam)
