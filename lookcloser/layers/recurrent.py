"""Recurrent cells behind one interface: vanilla tanh, LSTM, GRU, and the unit of CNN-RNN.

The first three hold torch's own layer, so that whole sequences run in its fused kernels, while the
single steps that decoders and attention need use the same weights. `lookcloser.scratch` computes
the same numbers in NumPy with hand-written gradients; `RecurrentCell.load_scratch` takes weights in
its layout.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.choices import Gate
from lookcloser.core.errors import unknown

State = tuple[Tensor, ...]
Prepared = tuple[Tensor, Tensor]


class RecurrentCell(nn.Module, ABC):
    """One recurrent layer, by step or by sequence.

    A state is a tuple of tensors (B, H), so that a decoder can repeat and reorder it along the
    first dimension. Both ways to run it give the same numbers.

    Args:
        input_size: D.
        hidden_size: H.
    """

    name: ClassVar[str]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    def initial_state(self, hidden: Tensor) -> State:
        """The state whose hidden part is ``hidden`` (B, H); an LSTM's cell state is zero."""
        return (hidden,)

    @abstractmethod
    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: inputs (B, D) -> outputs (B, H) and the next state."""

    @abstractmethod
    def sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps: inputs (B, T, D) -> outputs (B, T, H) and the state after the last."""

    @abstractmethod
    def load_scratch(self, Wx: NDArray[Any], Wh: NDArray[Any], b: NDArray[Any]) -> None:
        """Copy weights in the layout of `lookcloser.scratch`: Wx (D, G), Wh (H, G), b.

        Also lays out a gradient of those weights, for comparison.
        """


class TanhCell(RecurrentCell):
    """``h' = tanh(W_x x + W_h h + b)``."""

    name = "rnn"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.RNN(input_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step; see `RecurrentCell.forward`."""
        hidden = torch.rnn_tanh_cell(x, state[0], *_weights(self.layer))
        return hidden, (hidden,)

    def sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps; see `RecurrentCell.sequence`."""
        out, hidden = self.layer(x, state[0][None])
        return out, (hidden[0],)

    def load_scratch(self, Wx: NDArray[Any], Wh: NDArray[Any], b: NDArray[Any]) -> None:
        """``b`` (H,) becomes bias_ih, and bias_hh becomes zero."""
        _copy(_weights(self.layer), Wx.T, Wh.T, b, 0 * b)


class LSTMCell(RecurrentCell):
    """Torch's LSTM; its gates are stored in the order i, f, g, o."""

    name = "lstm"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.LSTM(input_size, hidden_size, batch_first=True)

    def initial_state(self, hidden: Tensor) -> State:
        """``hidden`` (B, H) and a cell state of zeros."""
        return hidden, torch.zeros_like(hidden)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step; see `RecurrentCell.forward`."""
        hidden, cell = torch.lstm_cell(x, state, *_weights(self.layer))
        return hidden, (hidden, cell)

    def sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps; see `RecurrentCell.sequence`."""
        out, (hidden, cell) = self.layer(x, (state[0][None], state[1][None]))
        return out, (hidden[0], cell[0])

    def load_scratch(self, Wx: NDArray[Any], Wh: NDArray[Any], b: NDArray[Any]) -> None:
        """``b`` (4H,) becomes bias_ih; the gates i, f, o, g are reordered to i, f, g, o."""
        Wx, Wh, b = (_swap_last_blocks(array) for array in (Wx, Wh, b))
        _copy(_weights(self.layer), Wx.T, Wh.T, b, 0 * b)


class GRUCell(RecurrentCell):
    """Torch's GRU: gates r, z, n; r acts after the recurrent product; z keeps the old state."""

    name = "gru"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.GRU(input_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step; see `RecurrentCell.forward`."""
        hidden = torch.gru_cell(x, state[0], *_weights(self.layer))
        return hidden, (hidden,)

    def sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps; see `RecurrentCell.sequence`."""
        out, hidden = self.layer(x, state[0][None])
        return out, (hidden[0],)

    def load_scratch(self, Wx: NDArray[Any], Wh: NDArray[Any], b: NDArray[Any]) -> None:
        """``b`` (2, 3H) is bias_ih and bias_hh."""
        _copy(_weights(self.layer), Wx.T, Wh.T, *b)


class CNNRNNCell(RecurrentCell):
    """The unit of CNN-RNN (Wang et al., CVPR 2016): three gates, a ReLU candidate, no tanh.

    ``i, f, o = δ(U x + V r)`` and ``g = relu(U_g x + V_g r)``; the state is
    ``r' = f ⊙ r + i ⊙ g``; the output ``r' ⊙ o`` does not re-enter the recurrence.

    Args:
        input_size: D, the width of a label's embedding.
        hidden_size: H.
        gate: δ: "sigmoid", or "relu" as in the paper's equations, where nothing bounds the state.
        bias: Whether to add a bias, which the paper's equations lack.

    Raises:
        LookcloserError: If ``gate`` is neither.
    """

    name = "cnnrnn"

    def __init__(
        self, input_size: int, hidden_size: int, *, gate: Gate = "sigmoid", bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size)
        if gate not in ("sigmoid", "relu"):
            raise unknown(gate, "gate", ("sigmoid", "relu"))
        self.gate = gate
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step; see `RecurrentCell.forward`."""
        return self.follow(x, self.prepare(state))

    def prepare(self, state: State) -> Prepared:
        """The part of a step that does not depend on its input: the recurrent product.

        Where several inputs follow one state it is computed once for all of them.

        Args:
            state: r (B, H), alone in a tuple.

        Returns:
            ``V r`` (B, 4H) and r, for `follow`.
        """
        return F.linear(state[0], self.weight_h), state[0]

    def follow(self, x: Tensor, prepared: Prepared) -> tuple[Tensor, State]:
        """The rest of a step: inputs (B, D) and what `prepare` gave; results as `forward`."""
        return self._gated(F.linear(x, self.weight_x, self.bias), prepared)

    def sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps; see `RecurrentCell.sequence`. One product covers the inputs of all steps."""
        outputs = []
        for projected in F.linear(x, self.weight_x, self.bias).unbind(1):
            out, state = self._gated(projected, self.prepare(state))
            outputs.append(out)
        return torch.stack(outputs, dim=1), state

    def load_scratch(self, Wx: NDArray[Any], Wh: NDArray[Any], b: NDArray[Any]) -> None:
        """``b`` (4H,) is dropped where the cell has no bias."""
        if self.bias is None:
            _copy((self.weight_x, self.weight_h), Wx.T, Wh.T)
        else:
            _copy((self.weight_x, self.weight_h, self.bias), Wx.T, Wh.T, b)

    def _gated(self, projected: Tensor, prepared: Prepared) -> tuple[Tensor, State]:
        recurrent, r = prepared
        a = projected + recurrent
        gates, candidate = a[:, : 3 * self.hidden_size], a[:, 3 * self.hidden_size :]
        gates = gates.sigmoid() if self.gate == "sigmoid" else gates.relu()
        i, f, o = gates.chunk(3, dim=-1)
        next_r = f * r + i * candidate.relu()
        return next_r * o, (next_r,)


RECURRENT_CELLS: tuple[type[RecurrentCell], ...] = (TanhCell, LSTMCell, GRUCell, CNNRNNCell)


def recurrent_cell(name: str, input_size: int, hidden_size: int) -> RecurrentCell:
    """The cell called ``name`` ("rnn", "lstm", "gru" or "cnnrnn"), with default options.

    Raises:
        LookcloserError: If there is no such cell.
    """
    cells = {cell.name: cell for cell in RECURRENT_CELLS}
    if name not in cells:
        raise unknown(name, "recurrent cell", cells)
    return cells[name](input_size, hidden_size)


def _weights(layer: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    weight_x, weight_h, bias_x, bias_h = layer.parameters()
    return weight_x, weight_h, bias_x, bias_h


def _swap_last_blocks(array: NDArray[Any]) -> NDArray[Any]:
    """The last two of four blocks of columns exchanged."""
    i, f, o, g = torch.as_tensor(array).chunk(4, dim=-1)
    swapped: NDArray[Any] = torch.cat([i, f, g, o], dim=-1).numpy()
    return swapped


@torch.no_grad()
def _copy(parameters: tuple[Tensor, ...], *arrays: NDArray[Any]) -> None:
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.copy_(torch.as_tensor(array))
