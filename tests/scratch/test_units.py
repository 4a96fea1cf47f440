"""What holds for each recurrent unit: rnn, lstm, gru, and cnnrnn with both kinds of gate."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from lookcloser import scratch
from lookcloser.core import LookcloserError
from lookcloser.scratch import numeric_gradient, relative_error

N, T, D, H = 3, 4, 5, 6


class Unit(NamedTuple):
    """One unit, its functions with one meaning of arguments and results for all.

    ``step(x, *states, Wx, Wh, b) -> (*states, output, cache)`` and
    ``step_backward(*dstates, doutput, cache) -> (dx, *dstates, dWx, dWh, db)``.
    """

    gates: int
    bias: tuple[int, ...]
    states: int
    step: Callable[..., Any]
    step_backward: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]


def rnn_step(*arguments):
    h, cache = scratch.rnn_step_forward(*arguments)
    return h, h, cache


def gru_step(*arguments):
    h, cache = scratch.gru_step_forward(*arguments)
    return h, h, cache


def lstm_step(*arguments):
    h, c, cache = scratch.lstm_step_forward(*arguments)
    return h, c, h, cache


def cnnrnn(gate):
    return Unit(
        4,
        (4 * H,),
        1,
        partial(scratch.cnnrnn_step_forward, gate=gate),
        scratch.cnnrnn_step_backward,
        partial(scratch.cnnrnn_forward, gate=gate),
        scratch.cnnrnn_backward,
    )


UNITS = {
    "rnn": Unit(
        1,
        (H,),
        1,
        rnn_step,
        lambda dh, dout, cache: scratch.rnn_step_backward(dh + dout, cache),
        scratch.rnn_forward,
        scratch.rnn_backward,
    ),
    "lstm": Unit(
        4,
        (4 * H,),
        2,
        lstm_step,
        lambda dh, dc, dout, cache: scratch.lstm_step_backward(dh + dout, dc, cache),
        scratch.lstm_forward,
        scratch.lstm_backward,
    ),
    "gru": Unit(
        3,
        (2, 3 * H),
        1,
        gru_step,
        lambda dh, dout, cache: scratch.gru_step_backward(dh + dout, cache),
        scratch.gru_forward,
        scratch.gru_backward,
    ),
    "cnnrnn-sigmoid": cnnrnn("sigmoid"),
    "cnnrnn-relu": cnnrnn("relu"),
}


@pytest.fixture(params=UNITS, name="unit")
def unit_fixture(request):
    return UNITS[request.param]


@pytest.fixture(name="weights")
def weights_fixture(unit, rng):
    shapes = (D, unit.gates * H), (H, unit.gates * H), unit.bias
    return tuple(0.5 * rng.normal(size=shape) for shape in shapes)


@pytest.fixture(name="x")
def x_fixture(rng):
    return rng.normal(size=(N, T, D))


@pytest.fixture(name="h0")
def h0_fixture(rng):
    return rng.normal(size=(N, H))


def test_sequence_equals_its_steps(unit, weights, x, h0):
    out, _ = unit.forward(x, h0, *weights)
    states = [h0, np.zeros_like(h0)][: unit.states]
    for t in range(T):
        *states, expected, _ = unit.step(x[:, t], *states, *weights)
        np.testing.assert_allclose(out[:, t], expected, rtol=0, atol=1e-13)


def test_sequence_backward_equals_its_steps(unit, weights, x, h0, rng):
    _, cache = unit.forward(x, h0, *weights)
    dout = rng.normal(size=(N, T, H))
    dx, dh0, *dweights = unit.backward(dout, cache)

    states, caches = [h0, np.zeros_like(h0)][: unit.states], []
    for t in range(T):
        *states, _, step_cache = unit.step(x[:, t], *states, *weights)
        caches.append(step_cache)
    dstates = [np.zeros_like(h0)] * unit.states
    totals = [np.zeros_like(weight) for weight in weights]
    for t in reversed(range(T)):
        result = unit.step_backward(*dstates, dout[:, t], caches[t])
        np.testing.assert_allclose(dx[:, t], result[0], rtol=0, atol=1e-12)
        dstates = result[1 : 1 + unit.states]
        totals = [a + b for a, b in zip(totals, result[1 + unit.states :], strict=True)]
    np.testing.assert_allclose(dh0, dstates[0], rtol=0, atol=1e-12)
    for gradient, total in zip(dweights, totals, strict=True):
        np.testing.assert_allclose(gradient, total, rtol=0, atol=1e-12)


def test_sequence_gradients_equal_central_differences(unit, weights, x, h0, rng):
    arguments = (x, h0, *weights)
    out, cache = unit.forward(*arguments)
    dout = rng.normal(size=out.shape)
    for value, gradient in zip(arguments, unit.backward(dout, cache), strict=True):
        numeric = numeric_gradient(lambda: unit.forward(*arguments)[0], value, dout)
        assert relative_error(gradient, numeric) <= 1e-6


def test_step_gradients_equal_central_differences(unit, weights, x, rng):
    states = tuple(rng.normal(size=(N, H)) for _ in range(unit.states))
    arguments = (x[:, 0], *states, *weights)
    upstream = [rng.normal(size=(N, H)) for _ in range(unit.states + 1)]
    *_, cache = unit.step(*arguments)
    for value, gradient in zip(arguments, unit.step_backward(*upstream, cache), strict=True):
        numeric = numeric_gradient(
            lambda: np.stack(unit.step(*arguments)[:-1]), value, np.stack(upstream)
        )
        assert gradient.shape == value.shape
        assert relative_error(gradient, numeric) <= 1e-6


def test_arguments_stay_as_they_were(unit, weights, x, h0, rng):
    arguments = (x, h0, *weights)
    before = [array.copy() for array in arguments]
    dout = rng.normal(size=(N, T, H))
    kept = dout.copy()
    unit.backward(dout, unit.forward(*arguments)[1])
    for array, copy in zip((*arguments, dout), (*before, kept), strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("sizes", [(N, T), (1, T), (N, 1)])
def test_the_cache_survives_writing_and_a_second_backward(unit, weights, rng, sizes):
    """The output must not be a view of the cache, for sizes of one either."""
    x, h0 = rng.normal(size=(*sizes, D)), rng.normal(size=(sizes[0], H))
    out, cache = unit.forward(x, h0, *weights)
    dout = rng.normal(size=out.shape)
    first = unit.backward(dout, cache)
    out[:] = np.nan
    first[0][:] += 0
    for a, b in zip(first, unit.backward(dout, cache), strict=True):
        np.testing.assert_array_equal(a, b)


def test_float32_stays_float32_and_close(unit, weights, x, h0, rng):
    arguments = (x, h0, *weights)
    out, cache = unit.forward(*arguments)
    dout = rng.normal(size=out.shape)
    small_out, small_cache = unit.forward(*(array.astype(np.float32) for array in arguments))
    results = (small_out, *unit.backward(dout.astype(np.float32), small_cache))
    for result, expected in zip(results, (out, *unit.backward(dout, cache)), strict=True):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=2e-3, atol=2e-4)


def test_saturated_gates_do_not_overflow(weights, unit, x, h0):
    """1 / (1 + exp(-a)) would warn, and warnings are errors here."""
    with np.errstate(all="raise", under="ignore"):
        out, cache = unit.forward(1e3 * x, h0, *weights)
        gradients = unit.backward(np.ones_like(out), cache)
    assert all(np.isfinite(array).all() for array in (out, *gradients))


def test_items_of_a_batch_do_not_mix(unit, weights, x, h0):
    out, _ = unit.forward(x, h0, *weights)
    for n in range(N):
        alone, _ = unit.forward(x[n : n + 1], h0[n : n + 1], *weights)
        np.testing.assert_allclose(out[n : n + 1], alone, rtol=0, atol=1e-13)


def test_lstm_cell_state_starts_at_zero_and_gates_are_in_order():
    """With all weights zero the biases alone decide: i, f, o, g."""
    i, f, o, g = 0.3, -0.4, 0.8, 0.5
    b = np.repeat([i, f, o, g], H)
    out, _ = scratch.lstm_forward(
        np.zeros((1, 2, D)), np.ones((1, H)), np.zeros((D, 4 * H)), np.zeros((H, 4 * H)), b
    )

    def squash(value):
        return 1 / (1 + np.exp(-value))

    c1 = squash(i) * np.tanh(g)
    c2 = squash(f) * c1 + squash(i) * np.tanh(g)
    np.testing.assert_allclose(out[0, 0], squash(o) * np.tanh(c1), rtol=1e-12)
    np.testing.assert_allclose(out[0, 1], squash(o) * np.tanh(c2), rtol=1e-12)


@pytest.mark.parametrize("gate", ["sigmoid", "relu"])
def test_cnnrnn_has_no_tanh_and_its_output_is_outside_the_recurrence(gate):
    i, f, o, g = 0.3, 0.4, 0.8, 5.0
    b = np.repeat([i, f, o, g], H)
    zero = np.zeros((D, 4 * H)), np.zeros((H, 4 * H))
    out, cache = scratch.cnnrnn_forward(np.zeros((1, 2, D)), np.ones((1, H)), *zero, b, gate=gate)

    def squash(value):
        return value if gate == "relu" else 1 / (1 + np.exp(-value))

    r1 = squash(f) * 1 + squash(i) * g
    r2 = squash(f) * r1 + squash(i) * g
    np.testing.assert_allclose(cache.r[:, 0], [[1] * H, [r1] * H, [r2] * H], rtol=1e-12)
    np.testing.assert_allclose(out[0], [[r1 * squash(o)] * H, [r2 * squash(o)] * H], rtol=1e-12)


def test_cnnrnn_negative_candidate_is_cut():
    b = np.repeat([0.0, 0.0, 0.0, -3.0], H)
    zero = np.zeros((D, 4 * H)), np.zeros((H, 4 * H))
    out, _ = scratch.cnnrnn_forward(np.zeros((1, 1, D)), np.ones((1, H)), *zero, b)
    np.testing.assert_allclose(out, 0.25)


def test_cnnrnn_names_an_unknown_gate(x, h0):
    Wx, Wh, b = np.zeros((D, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    with pytest.raises(LookcloserError, match=r"sigmoids: unknown gate\. Close: sigmoid"):
        scratch.cnnrnn_forward(x, h0, Wx, Wh, b, gate="sigmoids")
