"""Beam search against a naive beam in plain Python, its stop rule, its batching, its refusals."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.decoding import Hypothesis, beam_search, best_first_search, greedy_search

START, END = 7, 2
OPTIONS = {"start": START, "end": END}


def naive_beam(models, model, beam_size, max_length, *, mask, stop_rule=True):
    """The rule of the paper for one image, literally: all candidates are kept and compared."""
    live, candidates, last_live = [(0.0, ())], [], [(0.0, ())]
    for _ in range(max_length):
        extensions = []
        for score, path in live:
            following = models.next(model, path, mask)
            best = sorted(range(len(following)), key=lambda token: (-following[token], token))
            extensions += [
                (score + following[token], (*path, token))
                for token in best[:beam_size]
                if following[token] > -math.inf
            ]
        kept = sorted(extensions, key=lambda extension: -extension[0])[:beam_size]
        candidates += [(score, path[:-1]) for score, path in kept if path[-1] == END]
        live = [(score, path) for score, path in kept if path[-1] != END]
        last_live = live or last_live
        worst = min((score for score, _ in candidates), default=-math.inf)
        if not live or (stop_rule and candidates and all(score < worst for score, _ in live)):
            break
    found = sorted(candidates, key=lambda candidate: -candidate[0]) or last_live
    return [Hypothesis(path, score) for score, path in found[:beam_size]]


@pytest.mark.parametrize("beam_size", [1, 2, 3, 6])
def test_equals_the_naive_beam_on_1000_random_models(trees, kind, mask, beam_size):
    models = trees(kind, 130, seed=beam_size)
    beams = beam_search(
        models.step, models.state, **OPTIONS, beam_size=beam_size, max_length=4, mask_repeats=mask
    )
    for model, beam in enumerate(beams):
        assert beam == naive_beam(models, model, beam_size, 4, mask=mask)
        assert beam, "a result is guaranteed"


def test_stopping_early_never_changes_the_best(trees, mask):
    models = trees("softmax", 300, seed=8)
    beams = beam_search(
        models.step, models.state, **OPTIONS, beam_size=2, max_length=4, mask_repeats=mask
    )
    for model, beam in enumerate(beams):
        assert beam[0] == naive_beam(models, model, 2, 4, mask=mask, stop_rule=False)[0]


def test_a_beam_as_wide_as_the_tree_is_exact(trees, kind, mask):
    models = trees(kind, 60, seed=3)
    beams = beam_search(
        models.step, models.state, **OPTIONS, beam_size=200, max_length=4, mask_repeats=mask
    )
    for model, beam in enumerate(beams):
        log_prob, tokens, _ = models.optimum(model, 4, mask)
        assert beam[0].log_prob == log_prob
        if kind != "ties":
            assert beam[0].tokens == tokens


def test_greedy_takes_the_best_token_of_each_step(trees, kind, mask):
    models = trees(kind, 100, seed=4)
    found = greedy_search(models.step, models.state, **OPTIONS, max_length=4, mask_repeats=mask)
    for model, hypothesis in enumerate(found):
        path, total = (), 0.0
        while len(path) < 4:
            following = models.next(model, path, mask)
            token = following.index(max(following))
            if following[token] == -math.inf:
                break
            total += following[token]
            if token == END:
                break
            path = (*path, token)
        assert hypothesis == Hypothesis(path, total)


def test_one_call_per_time_step_for_the_live_paths_of_all_images(trees):
    models = trees("softmax", 40, seed=6)
    beam_search(models.step, models.state, **OPTIONS, beam_size=3, max_length=4)
    together = list(models.calls)
    alone = []
    for model in range(40):
        models.calls.clear()
        state = {name: part[model : model + 1] for name, part in models.state.items()}
        beam_search(models.step, state, **OPTIONS, beam_size=3, max_length=4)
        alone.append(models.calls + [0] * (4 - len(models.calls)))
    rows = [sum(column) for column in zip(*alone, strict=True)]
    assert together == [count for count in rows if count]
    assert rows[0] == 40
    assert rows[3] < 3 * 40


def constant(probabilities):
    row = torch.tensor(probabilities).log()
    return lambda state, tokens: (row.expand(len(tokens), -1), state)


def test_an_image_is_done_once_no_live_path_can_win():
    calls = []
    step = constant([0.1, 0.1, 0.8])

    def counted(state, tokens):
        calls.append(len(tokens))
        return step(state, tokens)

    (beam,) = beam_search(counted, torch.zeros(1, 1), **OPTIONS, beam_size=3, max_length=50)
    assert calls == [1]
    assert beam == [Hypothesis((), pytest.approx(math.log(0.8), rel=1e-5))]


def test_max_length_counts_end():
    # END gains on the rest only after a token: (0, END) has length 2.
    rows = torch.tensor([[0.9, 0.09, 0.01], [0.05, 0.05, 0.9]]).log()

    def step(state, tokens):
        return rows[state], state * 0 + 1

    state = torch.zeros(1, dtype=torch.long)
    (beam,) = beam_search(step, state, **OPTIONS, beam_size=1, max_length=2)
    assert beam == [Hypothesis((0,), pytest.approx(math.log(0.81), rel=1e-5))]
    (beam,) = beam_search(step, state, **OPTIONS, beam_size=1, max_length=1)
    assert beam == [Hypothesis((0,), pytest.approx(math.log(0.9), rel=1e-5))], (
        "unfinished: none ends"
    )
    (beam,) = beam_search(step, state, **OPTIONS, beam_size=3, max_length=1)
    assert beam == [Hypothesis((), pytest.approx(math.log(0.01), rel=1e-5))], (
        "one that ends goes first"
    )


def test_masking_rules_out_without_rescaling_and_leaves_the_step_s_tensor_alone():
    log_probs = torch.tensor([[0.6, 0.3, 0.1]]).log()
    before = log_probs.clone()
    (beam,) = beam_search(
        lambda state, tokens: (log_probs, state),
        torch.zeros(1, 1),
        **OPTIONS,
        beam_size=1,
        max_length=5,
        mask_repeats=True,
    )
    assert beam == [Hypothesis((0, 1), pytest.approx(math.log(0.6 * 0.3 * 0.1)))]
    assert torch.equal(log_probs, before)


def test_states_follow_their_paths(captioner):
    beams = beam_search(
        captioner.step, captioner.state(5), start=0, end=1, beam_size=4, max_length=6
    )
    ends = 0
    for image, beam in enumerate(beams):
        assert [h.log_prob for h in beam] == sorted((h.log_prob for h in beam), reverse=True)
        for tokens, log_prob in beam:
            targets = [*tokens, 1][:6]
            ends += len(tokens) < 6
            inputs = [0, *targets[:-1]]
            assert log_prob == pytest.approx(captioner.score(image, inputs, targets, 5), abs=1e-5)
    assert ends > 0


class Memory(NamedTuple):
    model: torch.Tensor
    inner: tuple[torch.Tensor]


def test_a_named_tuple_comes_back_as_itself(trees):
    models = trees("softmax", 10)

    def step(state, tokens):
        assert isinstance(state, Memory)
        log_probs, after = models.step({"model": state.model, "node": state.inner[0]}, tokens)
        return log_probs, Memory(after["model"], (after["node"],))

    state = Memory(models.state["model"], (models.state["node"],))
    options = {**OPTIONS, "max_length": 4}
    assert beam_search(step, state, **options, beam_size=2) == beam_search(
        models.step, models.state, **options, beam_size=2
    )
    assert best_first_search(step, state, **options) == best_first_search(
        models.step, models.state, **options
    )


def test_half_precision_is_added_up_in_double(trees):
    models = trees("softmax", 30, seed=12)
    models.table = models.table.bfloat16()
    beams = beam_search(models.step, models.state, **OPTIONS, beam_size=3, max_length=4)
    for model, beam in enumerate(beams):
        assert beam == naive_beam(models, model, 3, 4, mask=False)


def test_builds_no_graph_and_runs_in_inference_mode(captioner):
    options = {"start": 0, "end": 1, "beam_size": 3, "max_length": 5}
    seen = []

    def step(state, tokens):
        log_probs, state = captioner.step(state, tokens)
        seen.append(log_probs.requires_grad)
        return log_probs, state

    expected = beam_search(step, captioner.state(3), **options)
    assert not any(seen)
    with torch.inference_mode():
        assert beam_search(captioner.step, captioner.state(3), **options) == expected


def test_no_images_no_results():
    assert (
        beam_search(
            constant([0.5, 0.5, 0.0]), torch.zeros(0, 1), **OPTIONS, beam_size=2, max_length=3
        )
        == []
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((torch.zeros(2, 3), torch.zeros(7, 3)), r"leading dimensions \[2, 7\].*transpose"),
        (torch.tensor(1.0), "leading dimensions"),
        ((), r"leading dimensions \[\]"),
        ([torch.zeros(2)], "holds a list"),
        ({"h": None}, "holds a NoneType"),
    ],
)
def test_states_of_another_kind_are_refused(state, message):
    with pytest.raises(LookcloserError, match=message):
        beam_search(constant([0.5, 0.5]), state, **OPTIONS, beam_size=2, max_length=3)


@pytest.mark.parametrize("value", [1.5, math.nan, math.inf])
def test_what_is_not_a_log_probability_is_refused(value):
    def step(state, tokens):
        return torch.tensor([[-1.0, value, -2.0]]), state

    with pytest.raises(LookcloserError, match="log_softmax"):
        beam_search(step, torch.zeros(1), **OPTIONS, beam_size=2, max_length=3)


def test_rounding_above_zero_is_taken_as_zero():
    def step(state, tokens):
        return torch.tensor([[-9.0, -9.0, 1e-7]]), state

    (beam,) = beam_search(step, torch.zeros(1), **OPTIONS, beam_size=1, max_length=3)
    assert beam == [Hypothesis((), 0.0)]


def test_log_probabilities_of_another_shape_are_refused():
    def step(state, tokens):
        return torch.zeros(len(tokens), 1, 3), state

    with pytest.raises(LookcloserError, match=r"shape \(2, 1, 3\).*\(2, vocabulary\)"):
        beam_search(step, torch.zeros(2), **OPTIONS, beam_size=2, max_length=3)


@pytest.mark.parametrize("limit", ["beam_size", "max_length"])
def test_limits_below_one_are_refused(limit):
    limits = {"beam_size": 2, "max_length": 3, limit: 0}
    with pytest.raises(LookcloserError, match=f"{limit}=0"):
        beam_search(constant([1.0]), torch.zeros(1), **OPTIONS, **limits)
