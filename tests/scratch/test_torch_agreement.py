"""The layers against torch's own, and against autograd of their formulas: forward and gradients."""

import numpy as np
import pytest
import torch

from lookcloser import scratch

N, T, D, H = 4, 6, 5, 7


def run(layer_name, x, h0, Wx, Wh, b, dout, **options):
    out, cache = getattr(scratch, f"{layer_name}_forward")(x, h0, Wx, Wh, b, **options)
    return out, *getattr(scratch, f"{layer_name}_backward")(dout, cache)


def inputs(rng, gates, bias):
    shapes = (N, T, D), (N, H), (D, gates * H), (H, gates * H), bias, (N, T, H)
    return [0.4 * rng.normal(size=shape) for shape in shapes]


def torch_layer(layer, Wx, Wh, bias_ih, bias_hh):
    layer.double()
    values = Wx.T, Wh.T, bias_ih, bias_hh
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value))
    return layer


def assert_equal(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=0, atol=1e-10)


def leaves_of(*arrays):
    return [torch.from_numpy(array).requires_grad_() for array in arrays]


def test_rnn_equals_torch(rng):
    x, h0, Wx, Wh, b, dout = inputs(rng, 1, H)
    layer = torch_layer(torch.nn.RNN(D, H, batch_first=True), Wx, Wh, b, 0 * b)
    tx, th = leaves_of(x, h0)
    out, _ = layer(tx, th[None])
    out.backward(torch.from_numpy(dout))
    dWx, dWh, db, _ = (parameter.grad for parameter in layer.parameters())
    assert_equal(run("rnn", x, h0, Wx, Wh, b, dout), (out, tx.grad, th.grad, dWx.T, dWh.T, db))


def test_lstm_equals_torch(rng):
    x, h0, Wx, Wh, b, dout = inputs(rng, 4, 4 * H)
    # Its own inverse: i, f, o, g <-> torch's i, f, g, o.
    order = np.r_[0 : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]
    layer = torch.nn.LSTM(D, H, batch_first=True)
    torch_layer(layer, Wx[:, order], Wh[:, order], b[order], 0 * b)
    tx, th = leaves_of(x, h0)
    out, _ = layer(tx, (th[None], torch.zeros_like(th)[None]))
    out.backward(torch.from_numpy(dout))
    dWx, dWh, db, _ = (parameter.grad[order] for parameter in layer.parameters())
    assert_equal(run("lstm", x, h0, Wx, Wh, b, dout), (out, tx.grad, th.grad, dWx.T, dWh.T, db))


def test_gru_equals_torch_with_both_biases(rng):
    x, h0, Wx, Wh, b, dout = inputs(rng, 3, (2, 3 * H))
    layer = torch_layer(torch.nn.GRU(D, H, batch_first=True), Wx, Wh, *b)
    tx, th = leaves_of(x, h0)
    out, _ = layer(tx, th[None])
    out.backward(torch.from_numpy(dout))
    dWx, dWh, *db = (parameter.grad for parameter in layer.parameters())
    expected = (out, tx.grad, th.grad, dWx.T, dWh.T, torch.stack(db))
    assert_equal(run("gru", x, h0, Wx, Wh, b, dout), expected)


@pytest.mark.parametrize("gate", ["sigmoid", "relu"])
def test_cnnrnn_equals_autograd_of_the_papers_equations(rng, gate):
    x, h0, Wx, Wh, b, dout = inputs(rng, 4, 4 * H)
    leaves = leaves_of(x, h0, Wx, Wh, b)
    tx, r, tWx, tWh, tb = leaves
    squash = getattr(torch, gate)
    outs = []
    for t in range(T):
        parts = [
            tx[:, t] @ tWx[:, k : k + H] + r @ tWh[:, k : k + H] + tb[k : k + H]
            for k in range(0, 4 * H, H)
        ]
        i, f, o = map(squash, parts[:3])
        r = f * r + i * torch.relu(parts[3])
        outs.append(r * o)
    out = torch.stack(outs, dim=1)
    out.backward(torch.from_numpy(dout))
    expected = (out, *(leaf.grad for leaf in leaves))
    assert_equal(run("cnnrnn", x, h0, Wx, Wh, b, dout, gate=gate), expected)
