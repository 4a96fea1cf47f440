"""The three cells a captioner can be built from, behind one set of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lookcloser.scratch.gru import gru_backward, gru_forward, gru_step_forward
from lookcloser.scratch.lstm import lstm_backward, lstm_forward, lstm_step_forward
from lookcloser.scratch.rnn import rnn_backward, rnn_forward, rnn_step_forward


class Cell(NamedTuple):
    """One kind of recurrent layer.

    Attributes:
        name: As `CaptioningRNN` takes it.
        gates: Wx is (D, gates · H), Wh (H, gates · H).
        biases: Rows of b; 1 stands for a vector.
        states: Arrays a step carries: 1, or 2 where there is a cell state, which starts at zero.
        step: ``step(x, *states, Wx, Wh, b) -> (*states, cache)``.
        forward: ``forward(x, h0, Wx, Wh, b) -> (h, cache)``.
        backward: ``backward(dh, cache) -> (dx, dh0, dWx, dWh, db)``.
    """

    name: str
    gates: int
    biases: int
    states: int
    step: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]


CELLS = (
    Cell("rnn", 1, 1, 1, rnn_step_forward, rnn_forward, rnn_backward),
    Cell("lstm", 4, 1, 2, lstm_step_forward, lstm_forward, lstm_backward),
    Cell("gru", 3, 2, 1, gru_step_forward, gru_forward, gru_backward),
)
