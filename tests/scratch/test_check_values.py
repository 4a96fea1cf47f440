"""The published numbers of the course notebook these layers come from, and its inputs in torch."""

import numpy as np
import pytest
import torch

from lookcloser.scratch import (
    CaptioningRNN,
    lstm_forward,
    lstm_step_forward,
    rnn_forward,
    rnn_step_forward,
)


def test_rnn_step(spread):
    next_h, _ = rnn_step_forward(
        spread(-0.4, 0.7, 3, 10),
        spread(-0.2, 0.5, 3, 4),
        spread(-0.1, 0.9, 10, 4),
        spread(-0.3, 0.7, 4, 4),
        spread(-0.2, 0.4, 4),
    )
    expected = [-0.58172089, -0.50182032, -0.41232771, -0.31410098]
    np.testing.assert_allclose(next_h[0], expected, rtol=0, atol=5e-9)


def test_lstm_step(spread):
    next_h, _, _ = lstm_step_forward(
        spread(-0.4, 1.2, 3, 4),
        spread(-0.3, 0.7, 3, 5),
        spread(-0.4, 0.9, 3, 5),
        spread(-2.1, 1.3, 4, 20),
        spread(-0.7, 2.2, 5, 20),
        spread(0.3, 0.7, 20),
    )
    expected = [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904]
    np.testing.assert_allclose(next_h[0], expected, rtol=0, atol=5e-9)


def test_rnn_sequence_equals_torch(spread):
    x, h0 = spread(-0.1, 0.3, 2, 3, 4), spread(-0.3, 0.1, 2, 5)
    Wx, Wh, b = spread(-0.2, 0.4, 4, 5), spread(-0.4, 0.1, 5, 5), spread(-0.7, 0.1, 5)
    expected = _torch_sequence(torch.nn.RNN(4, 5, batch_first=True), x, h0[None], Wx, Wh, b)
    np.testing.assert_allclose(rnn_forward(x, h0, Wx, Wh, b)[0], expected, rtol=0, atol=1e-12)


def test_lstm_sequence_equals_torch(spread):
    x, h0 = spread(-0.4, 0.6, 2, 3, 5), spread(-0.4, 0.8, 2, 4)
    Wx, Wh, b = spread(-0.2, 0.9, 5, 16), spread(-0.3, 0.6, 4, 16), spread(0.2, 0.7, 16)
    # Torch's columns: the candidate comes before the output gate.
    order = np.r_[0:8, 12:16, 8:12]
    weights = Wx[:, order], Wh[:, order], b[order]
    states = h0[None], np.zeros_like(h0)[None]
    expected = _torch_sequence(torch.nn.LSTM(5, 4, batch_first=True), x, states, *weights)
    np.testing.assert_allclose(lstm_forward(x, h0, Wx, Wh, b)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "low", "high", "expected"),
    [("rnn", -1.5, 0.3, 9.83235591003), ("lstm", -0.5, 1.7, 9.82445935443)],
)
def test_captioning_loss(spread, cell, low, high, expected):
    words = {"<NULL>": 0, "cat": 2, "dog": 3}
    model = CaptioningRNN(words, 20, 30, 40, cell, dtype=np.float64)
    for name, value in model.params.items():
        model.params[name] = spread(-1.4, 1.3, *value.shape)
    captions = (np.arange(10 * 13) % 3).reshape(10, 13)
    loss, _ = model.loss(spread(low, high, 10, 20), captions)
    assert loss == pytest.approx(expected, abs=1e-10)


def _torch_sequence(layer, x, state, Wx, Wh, b):
    layer.double()
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), (Wx.T, Wh.T, b, 0 * b), strict=True):
            parameter.copy_(torch.from_numpy(value))
        state = (
            tuple(map(torch.from_numpy, state))
            if isinstance(state, tuple)
            else (torch.from_numpy(state))
        )
        return layer(torch.from_numpy(x), state)[0]
