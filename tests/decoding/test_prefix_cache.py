"""The prefix cache against the same model without it, and what it computes."""

from __future__ import annotations

import pytest
import torch

from lookcloser.decoding import (
    PrefixCache,
    beam_search,
    best_first_search,
    greedy_search,
    label_marginals,
)

LABELS, WIDTH, START, END = 9, 6, 9, 8


class LabelRecurrence:
    """A recurrence over labels whose readout alone sees the image."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
        self.embed, self.mix = draw(LABELS + 1, WIDTH), draw(WIDTH, WIDTH)
        self.out, self.image = draw(WIDTH, LABELS), draw(3, WIDTH)
        self.root = {"r": torch.zeros(1, WIDTH)}
        self.rows = 0

    def cell(self, state, tokens):
        self.rows += len(tokens)
        hidden = torch.tanh(self.embed[tokens] + state["r"] @ self.mix)
        return hidden, {"r": hidden}

    def readout(self, outputs, context):
        return ((outputs + context["image"]).relu() @ self.out).log_softmax(dim=1)

    def step(self, state, tokens):
        outputs, recurrent = self.cell(state["recurrent"], tokens)
        return self.readout(outputs, state), {"image": state["image"], "recurrent": recurrent}

    def context(self, images, seed=0):
        features = torch.randn(images, 3, generator=torch.Generator().manual_seed(seed))
        return {"image": features @ self.image}

    def state(self, context):
        count = len(context["image"])
        return {**context, "recurrent": {"r": self.root["r"].expand(count, -1)}}

    def cache(self):
        return PrefixCache(self.cell, self.root, self.readout)


@pytest.fixture
def model():
    return LabelRecurrence()


OPTIONS = {"start": START, "end": END, "max_length": 5}


def close(first, second):
    assert first.tokens == second.tokens
    assert first.log_prob == pytest.approx(second.log_prob, abs=1e-5)


def test_every_decoder_gives_the_same_with_and_without(model):
    cache, context = model.cache(), model.context(200)
    plain, cached = (model.step, model.state(context)), (cache, cache.state(context))
    options = {**OPTIONS, "mask_repeats": True}
    for a, b in zip(
        greedy_search(*plain, **options), greedy_search(*cached, **options), strict=True
    ):
        close(a, b)
    for a, b in zip(
        beam_search(*plain, **options, beam_size=3),
        beam_search(*cached, **options, beam_size=3),
        strict=True,
    ):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            close(one, other)
    for a, b in zip(
        best_first_search(*plain, **options), best_first_search(*cached, **options), strict=True
    ):
        close(a, b)
        assert a.certified
        assert b.certified
    torch.testing.assert_close(
        label_marginals(*plain, **OPTIONS, node_budget=6),
        label_marginals(*cached, **OPTIONS, node_budget=6),
    )


def test_each_prefix_is_computed_once_for_all_images_and_searches(model):
    cache = model.cache()
    prefixes = set()

    def watched(state, tokens):
        for before, token in zip(state.prefix.tolist(), tokens.tolist(), strict=True):
            prefixes.add((before, token))
        return cache(state, tokens)

    for seed in range(3):
        beam_search(
            watched,
            cache.state(model.context(100, seed)),
            **OPTIONS,
            beam_size=3,
            mask_repeats=True,
        )
    assert model.rows == len(cache) == len(prefixes)
    computed = model.rows
    beam_search(
        cache, cache.state(model.context(100, 0)), **OPTIONS, beam_size=3, mask_repeats=True
    )
    assert model.rows == computed, "a second search of the same images computes nothing"


def test_greedy_on_equal_images_computes_one_path(model):
    cache = model.cache()
    context = {"image": model.context(1)["image"].expand(500, -1)}
    hypotheses = greedy_search(cache, cache.state(context), **OPTIONS)
    assert len(set(hypotheses)) == 1
    assert model.rows == len(cache) == min(len(hypotheses[0].tokens) + 1, 5)


def test_a_prepared_state_is_computed_once_per_prefix_that_goes_on(model):
    context, options = model.context(200), {**OPTIONS, "beam_size": 3, "mask_repeats": True}
    prepared, before = [0], set()

    def prepare(state):
        prepared[0] += len(state["r"])
        return state["r"] @ model.mix

    def cell(mixed, tokens):
        hidden = torch.tanh(model.embed[tokens] + mixed)
        return hidden, {"r": hidden}

    cache = PrefixCache(cell, model.root, model.readout, prepare)

    def watched(state, tokens):
        before.update(state.prefix.tolist())
        return cache(state, tokens)

    found = beam_search(watched, cache.state(context), **options)
    for beam, expected in zip(
        found, beam_search(model.step, model.state(context), **options), strict=True
    ):
        close(beam[0], expected[0])
    assert prepared[0] == len(before) < len(cache)
    beam_search(cache, cache.state(context), **options)
    assert prepared[0] == len(before), "kept for the next search"


def test_the_order_of_labels_makes_another_prefix(model):
    cache = model.cache()
    state = cache.state(model.context(2))
    _, state = cache(state, torch.tensor([START, START]))
    _, state = cache(state, torch.tensor([0, 1]))
    log_probs, state = cache(state, torch.tensor([1, 0]))
    assert len(cache) == 1 + 2 + 2
    plain = model.state(model.context(2))
    for tokens in ([START, START], [0, 1], [1, 0]):
        expected, plain = model.step(plain, torch.tensor(tokens))
    torch.testing.assert_close(log_probs, expected)


def test_filled_in_inference_mode_it_can_be_used_outside(model):
    cache, context = model.cache(), model.context(30)
    with torch.inference_mode():
        first = greedy_search(cache, cache.state(context), **OPTIONS)
    assert greedy_search(cache, cache.state(context), **OPTIONS) == first
    beam_search(cache, cache.state(model.context(50, 1)), **OPTIONS, beam_size=4)
    assert len(cache) == model.rows


def test_a_cache_of_weights_that_need_gradients_builds_no_graph(model):
    model.mix.requires_grad_(True)
    cache = model.cache()
    log_probs, _ = cache(cache.state(model.context(2)), torch.tensor([START, START]))
    assert not log_probs.requires_grad
