"""The best tokens of wide rows, where a few blocks of columns stand for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.core.errors import NotFiniteError
from lookcloser.decoding.arrays import BLOCK
from lookcloser.decoding.steps import best_tokens

WIDE = 40 * BLOCK


def rows(kind: str, columns: int) -> torch.Tensor:
    """normal: all different. ties: few distinct values. holes: nine in ten are -inf; the first row
    has nothing else, the second one value, in its last column. tail: the best are the last columns.
    """
    generator = torch.Generator().manual_seed(columns)
    drawn = torch.randn(30, columns, generator=generator)
    if kind == "ties":
        return -(drawn.abs() * 3).ceil().clamp(max=9.0)
    log_probs = drawn.log_softmax(dim=1)
    if kind == "holes":
        log_probs[torch.rand(drawn.shape, generator=generator) < 0.9] = -torch.inf
        log_probs[:2] = -torch.inf
        log_probs[1, -1] = -0.5
    if kind == "tail":
        log_probs[:, -3:] = torch.tensor([-0.3, -0.1, -0.2])
    return log_probs


def of_both_kinds(log_probs: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best tokens of a tensor, which are those of the same numbers in NumPy."""
    values, tokens = best_tokens(log_probs, count)
    if log_probs.dtype != torch.bfloat16:
        again_values, again_tokens = best_tokens(log_probs.numpy(), count)
        possible = np.isfinite(values)
        assert np.array_equal(values, again_values)
        assert np.array_equal(tokens[possible], again_tokens[possible])
    return torch.from_numpy(values), torch.from_numpy(tokens)


@pytest.mark.parametrize("columns", [WIDE, WIDE + 1, WIDE + BLOCK - 1])
@pytest.mark.parametrize("count", [1, 5, 9, 10, 50])
@pytest.mark.parametrize("kind", ["normal", "ties", "holes", "tail"])
def test_equal_a_stable_sort_of_the_whole_row(kind, count, columns):
    log_probs = rows(kind, columns)
    values, tokens = of_both_kinds(log_probs, count)
    in_order, order = log_probs.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, in_order[:, :count].double())
    possible = values.isfinite()
    assert torch.equal(tokens[possible], order[:, :count][possible])
    assert all(len(set(row)) == count for row in tokens.tolist()), "no token comes twice"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_of_any_precision(dtype):
    log_probs = rows("normal", WIDE + 7).to(dtype)
    values, tokens = of_both_kinds(log_probs, 5)
    in_order, order = log_probs.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, in_order[:, :5].double())
    assert torch.equal(tokens, order[:, :5])


def test_of_rows_that_are_a_view():
    log_probs = rows("ties", WIDE).repeat_interleave(2, dim=1)[:, ::2]
    found, expected = of_both_kinds(log_probs, 4), of_both_kinds(log_probs.contiguous(), 4)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_without_rows():
    values, tokens = of_both_kinds(torch.zeros(0, WIDE), 3)
    assert values.shape == tokens.shape == (0, 3)


@pytest.mark.parametrize("value", [1.5, torch.nan, torch.inf])
@pytest.mark.parametrize("column", [0, WIDE // 2, WIDE + 2])
def test_what_is_not_a_log_probability_is_refused_wherever_it_is(value, column):
    log_probs = rows("normal", WIDE + 3)
    log_probs[17, column] = value
    for given in (log_probs, log_probs.numpy()):
        with pytest.raises(LookcloserError, match="log_softmax") as caught:
            best_tokens(given, 3)
        assert isinstance(caught.value, NotFiniteError) == math.isnan(value)
