"""Exact search against exhaustive enumeration, its certificate, its budget and its cost."""

from __future__ import annotations

import math
from itertools import chain

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.decoding import SearchResult, best_first_search

START, END = 7, 2
OPTIONS = {"start": START, "end": END}


@pytest.mark.parametrize("max_length", [1, 2, 4])
def test_equals_exhaustive_enumeration_on_1200_random_models(trees, kind, mask, max_length):
    models = trees(kind, 150 if max_length < 4 else 300, seed=max_length)
    results = best_first_search(
        models.step, models.state, **OPTIONS, max_length=max_length, mask_repeats=mask
    )
    for model, result in enumerate(results):
        log_prob, tokens, _ = models.optimum(model, max_length, mask)
        # The sums are taken in the same order, so that not even the last digit may differ.
        assert result == SearchResult(tokens, log_prob, certified=True, bound=log_prob)


def test_the_random_models_cover_what_they_should(trees):
    ends = [
        trees(kind, 50).optimum(model, 4, True)[2]
        for kind in ("no_end", "holes")
        for model in range(50)
    ]
    assert not any(ends[:50])
    assert 0 < sum(ends[50:]) < 50
    longest = [len(trees("holes", 50).optimum(model, 4, True)[1]) for model in range(50)]
    assert 0 in longest, "a root with no continuation is among them"


def test_extends_only_paths_that_could_still_win(trees, mask):
    models = trees("softmax", 60, seed=9)
    needed = []
    for model in range(60):
        log_prob, tokens, _ = models.optimum(model, 4, mask)
        best = (-log_prob, len(tokens), tokens)
        _, open_paths = models.sequences(model, 4, mask)
        needed.append(sum((-lp, len(p), p) < best for lp, p in open_paths if len(p) < 4))
    best_first_search(models.step, models.state, **OPTIONS, max_length=4, mask_repeats=mask)
    assert sum(models.calls) == sum(needed)
    assert len(models.calls) == max(needed), "one call per round serves all unfinished images"
    assert models.calls == [sum(n > turn for n in needed) for turn in range(max(needed))]


def test_a_spent_budget_is_not_certified_and_its_bound_holds(trees, kind, mask):
    models = trees(kind, 200, seed=5)
    optima = [models.optimum(model, 4, mask) for model in range(200)]
    possible = [{*chain(*models.sequences(model, 4, mask))} for model in range(200)]
    seen = set()
    for budget in (1, 2, 3, 6, 12, 40):
        models.calls.clear()
        results = best_first_search(
            models.step,
            models.state,
            **OPTIONS,
            max_length=4,
            mask_repeats=mask,
            node_budget=budget,
        )
        assert len(models.calls) <= budget
        for model, result in enumerate(results):
            optimum, tokens, _ = optima[model]
            assert (result.log_prob, result.tokens) in possible[model]
            assert optimum <= result.bound
            assert result.log_prob <= result.bound
            if result.certified:
                assert (result.tokens, result.log_prob) == (tokens, optimum)
                assert result.bound == optimum
            seen.add(result.certified)
    assert seen == {False, True}


def test_a_budget_that_just_suffices_certifies(trees):
    models = trees("softmax", 1, seed=2)
    best_first_search(models.step, models.state, **OPTIONS, max_length=4)
    needed = len(models.calls)
    assert needed > 1
    for budget, certified in ((needed, True), (needed - 1, False)):
        (result,) = best_first_search(
            models.step, models.state, **OPTIONS, max_length=4, node_budget=budget
        )
        assert result.certified is certified


def constant(log_probs):
    """A model that says the same after every path."""
    row = torch.tensor(log_probs)
    return lambda state, tokens: (row.expand(len(tokens), -1), state)


def test_of_equals_the_shortest_then_the_smallest_tokens_win():
    # END after () and END after (0,) or (1,) are equally probable, as 0 and 1 cost nothing.
    (result,) = best_first_search(
        constant([0.0, 0.0, -1.0]), torch.zeros(1, 1), **OPTIONS, max_length=5
    )
    assert result == SearchResult((), -1.0, True, -1.0)
    # END only after one token or more: of (1,), (0,), (0, 0), … the smallest of the shortest.
    rows = torch.tensor([[-1.0, -1.0, -math.inf], [-0.5, -0.5, -0.5]])

    def step(state, tokens):
        return rows[(state > 0).long()], state + 1

    (result,) = best_first_search(step, torch.zeros(1, dtype=torch.long), **OPTIONS, max_length=5)
    assert result == SearchResult((0,), -1.5, True, -1.5)


def test_a_beam_misses_what_exact_search_finds():
    # Two labels of which the second is only sure after the less probable first one.
    first = torch.tensor([0.6, 0.4, 1e-9]).log()
    second = torch.tensor([[0.25, 0.35, 0.40], [0.01, 0.01, 0.98]]).log()

    def step(state, tokens):
        return torch.where(state[:, None] > 0, second[tokens.clamp(max=1)], first), state + 1

    (result,) = best_first_search(step, torch.zeros(1), **OPTIONS, max_length=4)
    assert result.tokens == (1,)
    assert result.log_prob == pytest.approx(math.log(0.4 * 0.98), rel=1e-5)


def test_an_end_outside_the_vocabulary_never_occurs(trees):
    models = trees("softmax", 20, seed=2)
    models.table[:, :, END] = -torch.inf
    expected = best_first_search(models.step, models.state, **OPTIONS, max_length=3)
    for end in (-1, 4, 99):
        found = best_first_search(models.step, models.state, start=START, end=end, max_length=3)
        assert found == expected
    assert all(len(result.tokens) == 3 for result in expected)


def test_a_batch_equals_one_by_one(captioner):
    options = {"start": 0, "end": 1, "max_length": 5, "node_budget": 40}
    state = captioner.state(6)["lstm"]
    together = best_first_search(captioner.step, {"lstm": state}, **options)
    for image in range(6):
        alone = {"lstm": tuple(part[image : image + 1] for part in state)}
        (result,) = best_first_search(captioner.step, alone, **options)
        assert result.tokens == together[image].tokens
        assert result.certified == together[image].certified
        assert result.log_prob == pytest.approx(together[image].log_prob, abs=1e-5)


def test_no_images_no_results():
    assert best_first_search(constant([-1.0]), torch.zeros(0, 1), **OPTIONS, max_length=3) == []


def test_logits_are_refused():
    with pytest.raises(LookcloserError, match=r"value of 2.*log_softmax"):
        best_first_search(constant([2.0, -1.0]), torch.zeros(1, 1), **OPTIONS, max_length=3)


@pytest.mark.parametrize("limit", ["max_length", "node_budget"])
def test_limits_below_one_are_refused(limit):
    with pytest.raises(LookcloserError, match=f"{limit}=0"):
        best_first_search(
            constant([-1.0]), torch.zeros(1), **{**OPTIONS, "max_length": 3, limit: 0}
        )
