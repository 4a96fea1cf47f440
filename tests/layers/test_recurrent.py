"""The torch cells against the NumPy layers, and both ways to run a cell against each other."""

import numpy as np
import pytest
import torch

from lookcloser import scratch
from lookcloser.core import LookcloserError
from lookcloser.layers.recurrent import (
    RECURRENT_CELLS,
    CNNRNNCell,
    GRUCell,
    LSTMCell,
    TanhCell,
    recurrent_cell,
)

B, T, D, H = 3, 5, 4, 6
CASES = {
    "rnn": (TanhCell, {}, 1, (H,)),
    "lstm": (LSTMCell, {}, 4, (4 * H,)),
    "gru": (GRUCell, {}, 3, (2, 3 * H)),
    "cnnrnn-sigmoid": (CNNRNNCell, {"gate": "sigmoid"}, 4, (4 * H,)),
    "cnnrnn-relu": (CNNRNNCell, {"gate": "relu"}, 4, (4 * H,)),
}


@pytest.fixture(params=CASES)
def case(request):
    """A float64 cell, the same weights as NumPy arrays, and the options for scratch."""
    kind, options, gates, bias = CASES[request.param]
    rng = np.random.default_rng(0)
    weights = [0.25 * rng.normal(size=shape) for shape in ((D, gates * H), (H, gates * H), bias)]
    cell = kind(D, H, **options).double()
    cell.load_scratch(*weights)
    return cell, weights, options


@pytest.fixture
def arrays():
    rng = np.random.default_rng(1)
    return rng.normal(size=(B, T, D)), rng.normal(size=(B, H)), rng.normal(size=(B, T, H))


def by_steps(cell, x, state):
    outputs = []
    for inputs in x.unbind(1):
        out, state = cell(inputs, state)
        outputs.append(out)
    return torch.stack(outputs, dim=1), state


def by_sequence(cell, x, state):
    return cell.sequence(x, state)


def test_weights_begin_between_plus_and_minus_one_over_the_root_of_the_width():
    torch.manual_seed(0)
    for parameter in CNNRNNCell(40, 100).parameters():
        assert parameter.abs().max() <= 0.1
        assert parameter.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.1)


@pytest.mark.parametrize("run", [by_steps, by_sequence])
def test_forward_and_every_gradient_equal_scratch(case, arrays, run):
    cell, weights, options = case
    x, h0, dout = arrays
    out, cache = getattr(scratch, f"{cell.name}_forward")(x, h0, *weights, **options)
    dx, dh0, *dweights = getattr(scratch, f"{cell.name}_backward")(dout, cache)

    tx, th = (torch.from_numpy(array).requires_grad_() for array in (x, h0))
    result, _ = run(cell, tx, cell.initial_state(th))
    result.backward(torch.from_numpy(dout))
    for actual, expected in ((result.detach(), out), (tx.grad, dx), (th.grad, dh0)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10)

    # `load_scratch` lays the gradients out as it does the weights. The rnn and the lstm have a
    # second bias in torch, whose gradient is that of the first.
    gradient = type(cell)(D, H, **options).double()
    gradient.load_scratch(*dweights)
    expected = dict(gradient.named_parameters())
    for name, parameter in cell.named_parameters():
        twin = name if cell.name == "gru" else name.replace("bias_hh", "bias_ih")
        wanted = expected[twin].detach()
        torch.testing.assert_close(parameter.grad, wanted, rtol=0, atol=1e-10, msg=name)


def test_one_step_equals_scratch_with_any_cell_state():
    rng = np.random.default_rng(2)
    x, h, c = rng.normal(size=(B, D)), rng.normal(size=(B, H)), rng.normal(size=(B, H))
    weights = rng.normal(size=(D, 4 * H)), rng.normal(size=(H, 4 * H)), rng.normal(size=4 * H)
    cell = LSTMCell(D, H).double()
    cell.load_scratch(*weights)
    next_h, next_c, _ = scratch.lstm_step_forward(x, h, c, *weights)
    out, state = cell(torch.from_numpy(x), (torch.from_numpy(h), torch.from_numpy(c)))
    np.testing.assert_allclose(out.detach(), next_h, rtol=0, atol=1e-10)
    np.testing.assert_allclose(state[0].detach(), next_h, rtol=0, atol=1e-10)
    np.testing.assert_allclose(state[1].detach(), next_c, rtol=0, atol=1e-10)


def test_a_sequence_can_be_cut_anywhere(case, arrays):
    cell, _, _ = case
    x, h0, _ = map(torch.from_numpy, arrays)
    whole, last = cell.sequence(x, cell.initial_state(h0))
    first, state = cell.sequence(x[:, :2], cell.initial_state(h0))
    second, state = by_steps(cell, x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=0, atol=1e-12)
    assert len(state) == len(last) == (2 if cell.name == "lstm" else 1)
    for a, b in zip(state, last, strict=True):
        assert a.shape == b.shape == (B, H)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_gradcheck(case):
    cell, _, _ = case
    generator = torch.Generator().manual_seed(0)
    x, h0 = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, D), (2, H))
    )
    assert torch.autograd.gradcheck(
        lambda x, h: cell.sequence(x, cell.initial_state(h))[0], (x, h0)
    )


def test_lstm_cell_state_starts_at_zero(arrays):
    hidden = torch.from_numpy(arrays[1])
    state = LSTMCell(D, H).initial_state(hidden)
    assert state[0] is hidden
    assert not state[1].any()


def test_cnnrnn_state_is_not_its_output(case, arrays):
    cell, _, _ = case
    x, h0, _ = map(torch.from_numpy, arrays)
    out, state = cell(x[:, 0], cell.initial_state(h0))
    assert torch.equal(out, state[0]) == (cell.name != "cnnrnn")


def test_a_step_of_cnnrnn_is_what_can_be_prepared_and_the_rest():
    torch.manual_seed(0)
    cell = CNNRNNCell(D, H).double()
    x, r = torch.randn(3, D, dtype=torch.float64), torch.randn(1, H, dtype=torch.float64)
    out, (after,) = cell(x, (r.expand(3, -1),))
    found, (state,) = cell.follow(x, cell.prepare((r,)))
    torch.testing.assert_close(found, out)
    torch.testing.assert_close(state, after)


def test_cnnrnn_without_bias_is_the_paper():
    rng = np.random.default_rng(3)
    Wx, Wh, b = rng.normal(size=(D, 4 * H)), rng.normal(size=(H, 4 * H)), np.ones(4 * H)
    cell = CNNRNNCell(D, H, bias=False).double()
    cell.load_scratch(Wx, Wh, b)
    x, r0 = rng.normal(size=(B, T, D)), rng.normal(size=(B, H))
    expected, _ = scratch.cnnrnn_forward(x, r0, Wx, Wh, 0 * b)
    out, _ = cell.sequence(torch.from_numpy(x), (torch.from_numpy(r0),))
    np.testing.assert_allclose(out.detach(), expected, rtol=0, atol=1e-10)
    assert [name for name, _ in cell.named_parameters()] == ["weight_x", "weight_h"]


@pytest.mark.parametrize("cell", RECURRENT_CELLS)
def test_cells_by_name(cell):
    torch.manual_seed(0)
    made = recurrent_cell(cell.name, D, H)
    assert type(made) is cell
    assert (made.input_size, made.hidden_size) == (D, H)
    for parameter in made.parameters():
        assert parameter.abs().max() <= H**-0.5
        assert parameter.std() > 0


def test_wrong_names():
    with pytest.raises(LookcloserError, match=r"lsmt: unknown recurrent cell\. Close: lstm"):
        recurrent_cell("lsmt", D, H)
    with pytest.raises(LookcloserError, match=r"tanh: unknown gate"):
        CNNRNNCell(D, H, gate="tanh")


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "cnnrnn"])
def test_bfloat16_autocast_stays_near(name):
    torch.manual_seed(0)
    cell = recurrent_cell(name, 32, 32)
    x, h0 = torch.randn(2, 6, 32), torch.zeros(2, 32)
    expected, _ = by_steps(cell, x, cell.initial_state(h0))
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = by_steps(cell, x, cell.initial_state(h0))
    torch.testing.assert_close(out.float(), expected, rtol=0, atol=0.02)
