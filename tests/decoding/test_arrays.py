"""Decoders on NumPy arrays: the same answers as on tensors, and no torch to give them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.decoding import (
    PrefixCache,
    beam_search,
    best_first_search,
    greedy_search,
    label_marginals,
    sample,
)

START, END = 7, 2
OPTIONS = {"start": START, "end": END, "max_length": 4}


def in_numpy(models):
    """The step and the state of the same models, in NumPy."""
    table = models.table.numpy()

    def step(state, tokens):
        assert isinstance(tokens, np.ndarray)
        before = state["node"]
        node = np.where(before < 0, 0, before * table.shape[2] + tokens + 1)
        return table[state["model"], node], {"model": state["model"], "node": node}

    return step, {name: part.numpy() for name, part in models.state.items()}


DECODERS = {
    "greedy": greedy_search,
    "beam": lambda *given, **options: beam_search(*given, **options, beam_size=3),
    "wide beam": lambda *given, **options: beam_search(*given, **options, beam_size=30),
    "exact": best_first_search,
    "budget": lambda *given, **options: best_first_search(*given, **options, node_budget=3),
    "sample": lambda *given, **options: sample(
        *given, **options, generator=np.random.default_rng(0), temperature=0.7, top_p=0.9
    ),
}


@pytest.mark.parametrize("decoder", DECODERS)
def test_arrays_and_tensors_give_the_same(trees, kind, mask, decoder):
    models = trees(kind, 60, seed=5)
    search = DECODERS[decoder]
    found = search(models.step, models.state, **OPTIONS, mask_repeats=mask)
    assert search(*in_numpy(models), **OPTIONS, mask_repeats=mask) == found


def test_marginals_are_of_the_kind_of_the_state(trees, kind):
    models = trees(kind, 40)
    found = label_marginals(models.step, models.state, **OPTIONS, node_budget=6)
    again = label_marginals(*in_numpy(models), **OPTIONS, node_budget=6)
    assert isinstance(found, torch.Tensor)
    assert isinstance(again, np.ndarray)
    np.testing.assert_allclose(again, found.numpy(), rtol=1e-12)


def test_a_prefix_cache_of_arrays():
    rng = np.random.default_rng(0)
    embed, mix, out = rng.normal(size=(9, 6)), rng.normal(size=(6, 6)), rng.normal(size=(6, 8))
    image = rng.normal(size=(50, 6))

    def cell(state, tokens):
        hidden = np.tanh(embed[tokens] + state @ mix)
        return hidden, hidden

    def readout(outputs, context):
        scores = (outputs + context) @ out
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def step(state, tokens):
        hidden = cell(state[0], tokens)[0]
        return readout(hidden, state[1]), (hidden, state[1])

    cache = PrefixCache(cell, np.zeros((1, 6)), readout)
    options = {"start": 8, "end": 7, "max_length": 4, "beam_size": 3}
    cached = beam_search(cache, cache.state(image), **options)
    plain = beam_search(step, (np.zeros((50, 6)), image), **options)
    assert [[h.tokens for h in beam] for beam in cached] == [
        [h.tokens for h in beam] for beam in plain
    ]
    assert len(cache) < 50 * 4


def test_a_state_of_something_else_is_refused(trees):
    models = trees("softmax", 1)
    with pytest.raises(LookcloserError, match="list"):
        greedy_search(models.step, [1, 2], **OPTIONS)


def test_decoding_imports_no_torch():
    code = "import sys, lookcloser.decoding; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
