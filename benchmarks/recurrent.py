"""lstm_forward + lstm_backward of `lookcloser.scratch` against per-step code and torch.nn.LSTM.

Sizes (N, T, D, H) = (64, 32, 256, 512). Two literal per-step implementations take part:

* "per step": one x @ Wx, h @ Wh, and in the backward pass dx, dWx and dWh per step; every array in
  the dtype of the inputs; sigmoid as 1 / (1 + exp(-x)).
* "notebook": the same, as it is written in course notebooks: accumulators from ``np.zeros`` without
  a dtype, which is float64 and pulls a float32 backward pass to float64, and the sigmoid by masks.

All take the same inputs and give the same gradients, which is checked before the clock starts.
OMP_NUM_THREADS sets the threads of NumPy and torch alike; one unless set.
"products only" is the floor of any NumPy implementation: the matrix products of the sequence and
nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

# Before NumPy's and torch's thread pools start: both take their number of threads from here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _harness import arguments, interleave, machine, report, summary
from numpy.typing import DTypeLike, NDArray

from lookcloser.layers.recurrent import LSTMCell
from lookcloser.scratch import lstm_backward, lstm_forward

Array = NDArray[Any]
N, T, D, H = 64, 32, 256, 512


class Problem(NamedTuple):
    x: Array
    h0: Array
    weights: tuple[Array, Array, Array]
    dout: Array


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def masked_sigmoid(x: Array) -> Array:
    positive = x >= 0
    z = np.zeros_like(x)
    z[positive] = np.exp(-x[positive])
    z[~positive] = np.exp(x[~positive])
    top = np.ones_like(x)
    top[~positive] = z[~positive]
    return top / (1 + z)


def step_forward(
    x: Array, h: Array, c: Array, weights: tuple[Array, ...], squash: Callable[[Array], Array]
) -> tuple[Array, Array, tuple[Array, ...]]:
    Wx, Wh, b = weights
    a = x @ Wx + h @ Wh + b
    i, f, o = squash(a[:, :H]), squash(a[:, H : 2 * H]), squash(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * c + i * g
    return o * np.tanh(next_c), next_c, (x, h, c, i, f, o, g, next_c)


def step_backward(
    dh: Array, dc: Array, cache: tuple[Array, ...], weights: tuple[Array, ...]
) -> tuple[Array, ...]:
    x, h, c, i, f, o, g, next_c = cache
    Wx, Wh, _ = weights
    squashed = np.tanh(next_c)
    do = dh * squashed
    dc = dc + dh * o * (1 - squashed**2)
    da = np.hstack(
        [dc * g * i * (1 - i), dc * c * f * (1 - f), do * o * (1 - o), dc * i * (1 - g**2)]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, h.T @ da, da.sum(axis=0)


def per_step(
    problem: Problem, dtype: DTypeLike, squash: Callable[[Array], Array]
) -> tuple[Array, ...]:
    x, h0, weights, dout = problem
    out, caches = np.zeros((N, T, H), dtype), []
    h, c = h0, np.zeros_like(h0)
    for t in range(T):
        h, c, cache = step_forward(x[:, t], h, c, weights, squash)
        out[:, t] = h
        caches.append(cache)
    dx, dWx, dWh, db = (np.zeros(s, dtype) for s in ((N, T, D), (D, 4 * H), (H, 4 * H), 4 * H))
    dh, dc = np.zeros((N, H), dtype), np.zeros((N, H), dtype)
    for t in reversed(range(T)):
        dx[:, t], dh, dc, *step = step_backward(dout[:, t] + dh, dc, caches[t], weights)
        dWx += step[0]
        dWh += step[1]
        db += step[2]
    return out, dx, dh, dWx, dWh, db


def products(problem: Problem) -> None:
    x, h0, (Wx, Wh, _), dout = problem
    steps, states = x.reshape(N * T, D), dout.reshape(N * T, H)
    a = steps @ Wx
    for t in range(T):
        h0 @ Wh
        a[t * N : (t + 1) * N] @ Wh.T
    steps.T @ a
    states.T @ a
    a @ Wx.T


def random_problem(dtype: type[np.floating[Any]]) -> Problem:
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (rng.standard_normal(shape) * scale).astype(dtype)

    weights = normal(D, 4 * H, scale=D**-0.5), normal(H, 4 * H, scale=H**-0.5), normal(4 * H)
    return Problem(normal(N, T, D), normal(N, H), weights, normal(N, T, H))


def contestants(dtype: type[np.floating[Any]]) -> dict[str, Callable[[], object]]:
    x, h0, weights, dout = problem = random_problem(dtype)
    cell = LSTMCell(D, H).to(torch.from_numpy(x).dtype)
    cell.load_scratch(*weights)
    leaves = [torch.from_numpy(array).requires_grad_() for array in (x, h0)]

    def ours() -> tuple[Array, ...]:
        out, cache = lstm_forward(x, h0, *weights)
        return out, *lstm_backward(dout, cache)

    def autograd() -> tuple[torch.Tensor, ...]:
        out, _ = cell.layer(leaves[0], tuple(s[None] for s in cell.initial_state(leaves[1])))
        return out, *torch.autograd.grad(
            out, [*leaves, *cell.layer.parameters()], torch.from_numpy(dout)
        )

    calls: dict[str, Callable[[], Any]] = {
        "lookcloser": ours,
        "per step": lambda: per_step(problem, dtype, sigmoid),
        "notebook": lambda: per_step(problem, np.float64, masked_sigmoid),
        "torch.nn.LSTM": autograd,
    }
    check(calls, 2e-3 if dtype is np.float32 else 1e-9)
    return {**calls, "products only": lambda: products(problem)}


def check(calls: dict[str, Callable[[], Any]], tolerance: float) -> None:
    expected = calls["lookcloser"]()
    for name in ("per step", "notebook"):
        for a, b in zip(expected, calls[name](), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)
    # Output, dx and dh0: torch lays out the weights' gradients in another order of gates.
    for a, b in zip(expected[:3], calls["torch.nn.LSTM"]()[:3], strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=tolerance, atol=tolerance)


def main() -> None:
    parser = arguments("recurrent", __doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    tables = {
        f"LSTM forward + backward, (N, T, D, H) = {(N, T, D, H)}, {dtype.__name__}": summary(
            interleave(contestants(dtype), options.rounds), "lookcloser"
        )
        for dtype in (np.float32, np.float64)
    }
    report(options.json, machine(), tables)


if __name__ == "__main__":
    main()
