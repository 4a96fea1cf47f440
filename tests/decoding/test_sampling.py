"""Sampling against the distributions that it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.decoding import greedy_search, sample
from lookcloser.decoding.sampling import _draw

START, END = 7, 2
OPTIONS = {"start": START, "end": END}


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def constant(probabilities):
    row = torch.tensor(probabilities).log()
    return lambda state, tokens: (row.expand(len(tokens), -1), state)


# Probabilities .4, .1, .2, .3 after each cut, written out by hand.
CUTS = [
    ({}, [0.4, 0.1, 0.2, 0.3]),
    ({"top_k": 2}, [4 / 7, 0, 0, 3 / 7]),
    ({"top_k": 99}, [0.4, 0.1, 0.2, 0.3]),
    ({"top_p": 0.35}, [1, 0, 0, 0]),
    ({"top_p": 0.65}, [4 / 7, 0, 0, 3 / 7]),
    ({"top_p": 0.75}, [4 / 9, 0, 2 / 9, 3 / 9]),
    ({"top_p": 1.0}, [0.4, 0.1, 0.2, 0.3]),
    ({"temperature": 0.5}, [16 / 30, 1 / 30, 4 / 30, 9 / 30]),
    # 16, 9, 4 of 29 stay; 16 + 9 of 29 are .862: top_p works on what temperature and top_k left.
    ({"temperature": 0.5, "top_k": 3, "top_p": 0.85}, [16 / 25, 0, 0, 9 / 25]),
]


@pytest.mark.parametrize(("cut", "expected"), CUTS)
def test_frequencies_are_those_of_the_cut_distribution(cut, expected):
    images = 20_000
    drawn = sample(
        constant([0.4, 0.1, 0.2, 0.3]),
        torch.zeros(images, 1),
        start=START,
        end=-1,
        max_length=1,
        generator=seeded(),
        **cut,
    )
    counts = torch.bincount(torch.tensor([h.tokens[0] for h in drawn]), minlength=4)
    for count, probability in zip((counts / images).tolist(), expected, strict=True):
        assert abs(count - probability) <= 4 * math.sqrt(probability * (1 - probability) / images)


def test_sequences_have_the_probability_of_the_model(trees):
    models = trees("softmax", 1, seed=2)
    models.table = models.table.expand(20_000, -1, -1)
    drawn = sample(models.step, models.state, **OPTIONS, max_length=3, generator=seeded())
    ended, unfinished = models.sequences(0, 3, mask=False)
    expected = {path: lp for lp, path in ended}
    expected |= {path: lp for lp, path in unfinished if len(path) == 3}
    assert sum(map(math.exp, expected.values())) == pytest.approx(1.0, abs=1e-6)
    counts = dict.fromkeys(expected, 0)
    for tokens, log_prob in drawn:
        assert log_prob == pytest.approx(expected[tokens], abs=1e-12)
        counts[tokens] += 1
    chi_square = sum(
        (counts[path] - 20_000 * math.exp(lp)) ** 2 / (20_000 * math.exp(lp))
        for path, lp in expected.items()
    )
    freedom = len(expected) - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)


def test_log_probs_are_the_model_s_own_whatever_the_cut(captioner):
    hypotheses = sample(
        captioner.step,
        captioner.state(8),
        start=0,
        end=1,
        max_length=5,
        generator=seeded(),
        temperature=1.7,
        top_k=6,
        top_p=0.9,
    )
    assert len({len(h.tokens) for h in hypotheses}) > 1
    for image, (tokens, log_prob) in enumerate(hypotheses):
        targets = [*tokens, 1][:5]
        expected = captioner.score(image, [0, *targets[:-1]], targets, 8)
        assert log_prob == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-40}])
def test_the_narrowest_cuts_are_greedy(trees, mask, narrow):
    models = trees("softmax", 100)
    options = {**OPTIONS, "max_length": 4, "mask_repeats": mask}
    drawn = sample(models.step, models.state, **options, generator=seeded(), **narrow)
    assert drawn == greedy_search(models.step, models.state, **options)


def test_same_seed_same_sample_another_seed_another(trees):
    models = trees("softmax", 50)
    runs = [
        sample(models.step, models.state, **OPTIONS, max_length=4, generator=seeded(seed))
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_what_an_image_gets_does_not_depend_on_when_the_others_end(trees):
    models = trees("softmax", 40)
    before = sample(models.step, models.state, **OPTIONS, max_length=4, generator=seeded())
    models.table[::2, :, END] = 0.0
    models.table[::2, :, :END] = models.table[::2, :, END + 1 :] = -torch.inf
    after = sample(models.step, models.state, **OPTIONS, max_length=4, generator=seeded())
    assert all(hypothesis.tokens == () for hypothesis in after[::2])
    assert before[1::2] == after[1::2]


def test_masked_tokens_do_not_come_twice(trees):
    models = trees("softmax", 300, seed=1)
    options = {**OPTIONS, "max_length": 4, "generator": seeded()}
    free = sample(models.step, models.state, **options)
    once = sample(models.step, models.state, **options, mask_repeats=True)
    assert any(len(set(h.tokens)) < len(h.tokens) for h in free)
    assert all(len(set(h.tokens)) == len(h.tokens) for h in once)


def test_a_path_with_no_next_token_is_returned_as_it_is(trees):
    models = trees("holes", 200, seed=1)
    drawn = sample(models.step, models.state, **OPTIONS, max_length=4, generator=seeded())
    stuck = 0
    for model, (tokens, log_prob) in enumerate(drawn):
        ended, unfinished = models.sequences(model, 4, mask=False)
        assert (tokens, pytest.approx(log_prob)) in [(p, lp) for lp, p in ended + unfinished]
        stuck += len(tokens) < 4 and tokens not in [path for _, path in ended]
    assert stuck > 0


def test_the_largest_uniform_number_never_picks_an_impossible_token():
    largest = np.array([1.0 - 2.0**-53])
    log_probs = np.full((1, 1000), -np.inf)
    log_probs[0, 500:600] = -math.log(100)
    for cut in ((None, None), (50, None), (None, 0.5)):
        token = _draw(log_probs, largest, 1.0, *cut).item()
        assert 500 <= token < 600


@pytest.mark.parametrize(
    "option",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": 0},
        {"max_length": 0},
    ],
)
def test_options_outside_their_range_are_refused(option):
    ((name, value),) = option.items()
    with pytest.raises(LookcloserError, match=f"{name}={value}"):
        sample(
            constant([1.0]),
            torch.zeros(1, 1),
            generator=seeded(),
            **{**OPTIONS, "max_length": 2, **option},
        )


def test_logits_are_refused():
    with pytest.raises(LookcloserError, match="log_softmax"):
        sample(
            lambda state, tokens: (torch.ones(1, 3), state),
            torch.zeros(1),
            **OPTIONS,
            max_length=2,
            generator=seeded(),
        )


@pytest.mark.parametrize("level", [0.0, -800.0, 700.0])
def test_only_differences_of_log_probabilities_count(level: float) -> None:
    """Also where their exponentials are too small or too large for a number."""
    log_probs = np.full((4, 3), level) + np.log([0.5, 0.25, 0.25])
    drawn = _draw(log_probs, np.array([0.1, 0.4, 0.6, 0.9]), 1.0, None, None)
    assert drawn.tolist() == [0, 0, 1, 2]
