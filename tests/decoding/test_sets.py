"""Set probabilities and label marginals against full enumeration."""

from __future__ import annotations

import math

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.decoding import Hypothesis, beam_search, label_marginals, set_probabilities

START, END = 7, 2
OPTIONS = {"start": START, "end": END}


def test_orders_of_one_set_are_added():
    found = set_probabilities(
        [
            Hypothesis((0, 1), math.log(0.3)),
            Hypothesis((3,), math.log(0.4)),
            Hypothesis((1, 0), math.log(0.2)),
            Hypothesis((), math.log(0.05)),
        ]
    )
    assert list(found) == [{0, 1}, {3}, set()], "the likeliest first: not the likeliest path"
    assert list(found.values()) == pytest.approx([0.5, 0.4, 0.05])


def test_a_hypothesis_given_twice_counts_once():
    twice = [Hypothesis((1,), -1.0000001), Hypothesis((1,), -1.0)]  # from two decoders
    assert set_probabilities(twice) == {frozenset({1}): pytest.approx(math.exp(-1.0), abs=1e-6)}


def test_set_probabilities_of_a_full_beam_are_exact(trees):
    models = trees("softmax", 20, seed=1)
    options = {**OPTIONS, "max_length": 4, "mask_repeats": True}
    for model in range(20):
        expected: dict[frozenset[int], float] = {}
        for log_prob, path in models.sequences(model, 4, mask=True)[0]:
            labels = frozenset(path)
            expected[labels] = expected.get(labels, 0.0) + math.exp(log_prob)
        state = {name: part[model : model + 1] for name, part in models.state.items()}
        (beam,) = beam_search(models.step, state, **options, beam_size=64)
        found = set_probabilities(beam)
        # The stop rule may leave the least probable sequences unexplored.
        assert list(found.values()) == sorted(found.values(), reverse=True)
        for labels, probability in found.items():
            assert probability <= expected[labels] + 1e-12


def enumerated(models, model, max_length):
    """P(label in the sequence), label by label, over every maximal path; END is P(ended)."""
    marginals = [0.0] * 4
    ended, unfinished = models.sequences(model, max_length, mask=True)
    for log_prob, path in unfinished:
        if path:
            marginals[path[-1]] += math.exp(log_prob)
    marginals[END] = sum(math.exp(log_prob) for log_prob, _ in ended)
    return torch.tensor(marginals, dtype=torch.float64)


@pytest.mark.parametrize("max_length", [1, 2, 4])
def test_marginals_are_exact_once_every_path_is_explored(trees, kind, max_length):
    models = trees(kind, 50, seed=max_length)
    found = label_marginals(
        models.step, models.state, **OPTIONS, max_length=max_length, node_budget=100
    )
    assert found.dtype == torch.float64
    for model in range(50):
        torch.testing.assert_close(found[model], enumerated(models, model, max_length))


def test_a_marginal_is_the_probability_that_a_sampled_set_has_the_label(trees):
    """From the meaning of the word: simulate the model with masking, count the sets."""
    models = trees("softmax", 1, seed=4)
    (found,) = label_marginals(models.step, models.state, **OPTIONS, max_length=4, node_budget=100)
    generator = torch.Generator().manual_seed(0)
    counts, runs = torch.zeros(4), 4000
    for _ in range(runs):
        path: tuple[int, ...] = ()
        while len(path) < 4:
            weights = torch.tensor(models.next(0, path, mask=True)).exp()
            # Masked mass is not handed to the others: it is the chance that the path is dropped.
            weights = torch.cat([weights, (1 - weights.sum()).clamp(min=0)[None]])
            token = int(torch.multinomial(weights, 1, generator=generator))
            if token == 4:
                break
            counts[token] += 1
            if token == END:
                break
            path = (*path, token)
    error = 4 * (found * (1 - found) / runs).sqrt()
    assert bool(((counts / runs - found).abs() <= error).all())


def test_a_budget_of_one_gives_the_first_step(trees):
    models = trees("softmax", 30)
    found = label_marginals(models.step, models.state, **OPTIONS, max_length=4, node_budget=1)
    torch.testing.assert_close(found, models.table[:, 0].double().exp())


def test_a_larger_budget_only_adds_and_explores_the_likeliest_first(trees, kind):
    models = trees(kind, 40, seed=2)
    before = torch.zeros(40, 4, dtype=torch.float64)
    for budget in range(1, 8):
        found = label_marginals(
            models.step, models.state, **OPTIONS, max_length=4, node_budget=budget
        )
        assert bool((found >= before).all())
        for model in range(40):
            paths = [p for p in models.sequences(model, 4, mask=True)[1] if len(p[1]) < 4]
            paths = sorted(paths, key=lambda p: (-p[0], len(p[1]), p[1]))[:budget]
            expected = torch.zeros(4, dtype=torch.float64)
            for log_prob, path in paths:
                after = torch.tensor(models.next(model, path, mask=True), dtype=torch.float64)
                expected += (log_prob + after).exp()
            torch.testing.assert_close(found[model], expected)
        before = found


def test_no_images_no_marginals(trees):
    models = trees("softmax", 1)
    state = {name: part[:0] for name, part in models.state.items()}
    found = label_marginals(models.step, state, **OPTIONS, max_length=4, node_budget=3)
    assert len(found) == 0
    assert models.calls == []


@pytest.mark.parametrize("limit", ["max_length", "node_budget"])
def test_limits_below_one_are_refused(trees, limit):
    models = trees("softmax", 1)
    with pytest.raises(LookcloserError, match=f"{limit}=0"):
        label_marginals(
            models.step, models.state, **{**OPTIONS, "max_length": 3, "node_budget": 3, limit: 0}
        )
