"""The derivatives of one recurrent step, written out: graphs without autograd hold them too.

Each takes the step's input, the state before it, and the derivatives of a score by its output and
by the state after it; it gives those by the state before it. `lookcloser.scratch` has the same
equations in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.layers import GRUCell, LSTMCell, RecurrentCell, TanhCell

State = tuple[Tensor, ...]
Derivative = Callable[[RecurrentCell, Tensor, State, State], State]


def step_back(cell: RecurrentCell, x: Tensor, state: State, after: State) -> State:
    """The derivatives by ``state`` (n, H) each, from those by the state ``after`` the step.

    The output of these cells is the hidden part of the state, so that what a score takes from the
    output is added to ``after[0]`` before.

    Args:
        cell: The step's.
        x: (n, D), what it read.
        state: What it started from.
        after: Derivatives by the state it made.
    """
    return _DERIVATIVES[type(cell)](cell, x, state, after)


def _tanh(cell: RecurrentCell, x: Tensor, state: State, after: State) -> State:
    weight_x, weight_h, bias_x, bias_h = _weights(cell)
    hidden = (F.linear(x, weight_x, bias_x) + F.linear(state[0], weight_h, bias_h)).tanh()
    return ((after[0] * (1 - hidden * hidden)) @ weight_h,)


def _lstm(cell: RecurrentCell, x: Tensor, state: State, after: State) -> State:
    weight_x, weight_h, bias_x, bias_h = _weights(cell)
    gates = F.linear(x, weight_x, bias_x) + F.linear(state[0], weight_h, bias_h)
    i, f, g, o = gates.chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    seen = (f * state[1] + i * g).tanh()
    by_hidden, by_cell = after
    by_cell = by_cell + by_hidden * o * (1 - seen * seen)
    by_gates = (
        by_cell * g * i * (1 - i),
        by_cell * state[1] * f * (1 - f),
        by_cell * i * (1 - g * g),
        by_hidden * seen * o * (1 - o),
    )
    return torch.cat(by_gates, dim=1) @ weight_h, by_cell * f


def _gru(cell: RecurrentCell, x: Tensor, state: State, after: State) -> State:
    weight_x, weight_h, bias_x, bias_h = _weights(cell)
    read, recurrent = F.linear(x, weight_x, bias_x), F.linear(state[0], weight_h, bias_h)
    (rx, zx, nx), (rh, zh, nh) = read.chunk(3, dim=1), recurrent.chunk(3, dim=1)
    r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
    n = (nx + r * nh).tanh()
    by_n = after[0] * (1 - z) * (1 - n * n)
    by_recurrent = (by_n * nh * r * (1 - r), after[0] * (state[0] - n) * z * (1 - z), by_n * r)
    return (after[0] * z + torch.cat(by_recurrent, dim=1) @ weight_h,)


def _weights(cell: RecurrentCell) -> tuple[Tensor, ...]:
    layer = cell.layer
    assert isinstance(layer, nn.RNNBase)  # of the cells below
    return tuple(layer.parameters())


_DERIVATIVES: dict[type[RecurrentCell], Derivative] = {
    TanhCell: _tanh,
    LSTMCell: _lstm,
    GRUCell: _gru,
}
