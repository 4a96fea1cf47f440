from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.scratch import (
    CaptioningRNN,
    Solver,
    check_gradients,
    gru_forward,
    lstm_forward,
    rnn_forward,
)

CELLS = ("rnn", "lstm", "gru")
WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "red": 3, "dog": 4, "cat": 5}
CAPTIONS = np.array([[1, 3, 4, 2, 0, 0], [1, 5, 2, 0, 0, 0], [1, 3, 3, 5, 4, 2]])
TORCH_LAYERS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def small(cell, words=WORDS):
    return CaptioningRNN(words, 4, 5, 6, cell, dtype=np.float64, seed=3)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("absent", [(), ("<NULL>", "<START>", "<END>")])
def test_gradients_equal_central_differences(rng, cell, absent):
    words = {word: k for word, k in WORDS.items() if word not in absent}
    model, features = small(cell, words), rng.normal(size=(3, 4))
    captions = CAPTIONS % len(words)
    _, grads = model.loss(features, captions)
    errors = check_gradients(lambda: model.loss(features, captions)[0], model.params, grads)
    assert set(errors) == set(model.params) == set(grads)
    assert max(errors.values()) <= 1e-6, errors


@pytest.mark.parametrize("cell", CELLS)
def test_equals_torch_autograd(rng, cell):
    model, features = small(cell), rng.normal(size=(3, 4))
    loss, grads = model.loss(features, CAPTIONS)
    p = {name: torch.from_numpy(value).requires_grad_() for name, value in model.params.items()}
    G, H = p["Wh"].shape[1], 6
    # i, f, o, g -> torch's i, f, g, o.
    order = np.r_[0 : 2 * H, 3 * H : G, 2 * H : 3 * H] if cell == "lstm" else np.arange(G)
    biases = p["b"] if cell == "gru" else (p["b"][order], torch.zeros(G, dtype=torch.float64))
    weights = p["Wx"].T[order], p["Wh"].T[order], *biases
    h0 = (torch.from_numpy(features) @ p["W_proj"] + p["b_proj"])[None]
    state = (h0, torch.zeros_like(h0)) if cell == "lstm" else h0
    layer = TORCH_LAYERS[cell](5, H, batch_first=True)
    names = [name for name, _ in layer.named_parameters()]
    captions = torch.from_numpy(CAPTIONS)
    h, _ = torch.func.functional_call(
        layer,
        dict(zip(names, weights, strict=True)),
        (F.embedding(captions[:, :-1], p["W_embed"]), state),
    )
    scores = h @ p["W_vocab"] + p["b_vocab"]
    summed = F.cross_entropy(
        scores.flatten(0, 1), captions[:, 1:].flatten(), ignore_index=0, reduction="sum"
    )
    (summed / len(CAPTIONS)).backward()
    assert loss == pytest.approx(summed.item() / 3, abs=1e-12)
    for name, parameter in p.items():
        np.testing.assert_allclose(grads[name], parameter.grad, rtol=0, atol=1e-12, err_msg=name)


def test_grads_are_kept_by_name(rng):
    model = small("gru")
    _, grads = model.loss(rng.normal(size=(3, 4)), CAPTIONS)
    assert model.grads is grads
    assert {n: g.shape for n, g in grads.items()} == {n: p.shape for n, p in model.params.items()}
    assert model.params["b"].shape == (2, 18)


def test_null_steps_do_not_count_and_without_null_all_do(rng):
    features = rng.normal(size=(3, 4))
    padded = np.hstack([CAPTIONS, np.zeros((3, 2), dtype=int)])
    with_null = small("rnn")
    assert with_null.loss(features, padded)[0] == pytest.approx(
        with_null.loss(features, CAPTIONS)[0], abs=1e-12
    )
    words = {word: k for word, k in WORDS.items() if word != "<NULL>"} | {"none": 0}
    without = small("rnn", words)
    assert without.loss(features, padded)[0] > without.loss(features, CAPTIONS)[0] + 1


def read_out_slowly(model, cell, feature, length):
    """One image, one word at a time, with the layer run from its first step for every word."""
    p = model.params
    forward = {"rnn": rnn_forward, "lstm": lstm_forward, "gru": gru_forward}[cell]
    words = [WORDS["<START>"]]
    while len(words) <= length and words[-1] != WORDS["<END>"]:
        h0 = (feature @ p["W_proj"] + p["b_proj"])[None]
        h, _ = forward(p["W_embed"][[words]], h0, p["Wx"], p["Wh"], p["b"])
        words.append(int(np.argmax(h[0, -1] @ p["W_vocab"] + p["b_vocab"])))
    return words[1:] + [WORDS["<NULL>"]] * (length + 1 - len(words))


@pytest.mark.parametrize("cell", CELLS)
def test_sample_equals_a_slow_read_out(rng, cell):
    model, features = small(cell), 3 * rng.normal(size=(20, 4))
    model.params = {n: p + 2 * rng.normal(size=p.shape) for n, p in model.params.items()}
    expected = [read_out_slowly(model, cell, feature, 4) for feature in features]
    np.testing.assert_array_equal(model.sample(features, max_length=4), expected)
    ended = [WORDS["<END>"] in row for row in expected]
    assert any(ended), "no case of a caption that ends"
    assert not all(ended), "no case of a caption that does not"


def forced(words, absent=()):
    """A model that always writes ``words`` in turn: one-hot states, a chain of words."""
    vocabulary = {f"no {word}" if word in absent else word: k for word, k in WORDS.items()}
    model = CaptioningRNN(vocabulary, 1, 6, 6, "rnn", dtype=np.float64)
    for name, value in model.params.items():
        model.params[name] = np.zeros_like(value)
    model.params["W_embed"] = np.eye(6)
    model.params["Wx"] = np.eye(6)
    for before, after in pairwise(words):
        model.params["W_vocab"][before, after] = 1
    return model


def test_sample_stops_at_end():
    model = forced([1, 3, 4, 2, 5, 5])
    np.testing.assert_array_equal(model.sample(np.zeros((2, 1)), 6), [[3, 4, 2, 0, 0, 0]] * 2)
    np.testing.assert_array_equal(model.sample(np.zeros((1, 1)), 2), [[3, 4]])


def test_sample_pads_with_end_where_there_is_no_null():
    model = forced([1, 3, 4, 2, 5], absent=("<NULL>",))
    np.testing.assert_array_equal(model.sample(np.zeros((1, 1)), 5), [[3, 4, 2, 2, 2]])


def test_sample_without_start_needs_the_first_word():
    model = forced([5, 3, 4, 2], absent=("<START>",))
    with pytest.raises(LookcloserError, match=r"<START>: not in the vocabulary\. Pass the word"):
        model.sample(np.zeros((1, 1)))
    np.testing.assert_array_equal(model.sample(np.zeros((1, 1)), 3, first=5), [[3, 4, 2]])


def test_overfits_fifty_captions_in_the_setting_of_the_notebook():
    """Random features and captions in the sizes of the notebook's 50 COCO images.

    Caption lengths are drawn so that the first loss is near the notebook's 79.6.
    """
    rng = np.random.default_rng(1)
    words = {"<NULL>": 0, "<START>": 1, "<END>": 2} | {f"w{k}": k for k in range(3, 1004)}
    captions = np.zeros((50, 17), dtype=int)
    captions[:, 0] = 1
    for row, length in zip(captions, rng.integers(8, 14, size=50), strict=True):
        row[1 : length + 1] = rng.integers(3, 1004, size=length)
        row[length + 1] = 2
    features = rng.normal(size=(50, 512)).astype(np.float32)
    model = CaptioningRNN(words, 512, 256, 512, "lstm")
    solver = Solver(
        model,
        (features, captions),
        learning_rate=5e-3,
        lr_decay=0.995,
        batch_size=25,
        num_epochs=50,
    )
    losses = solver.train().losses
    assert len(losses) == 100
    assert losses[0] == pytest.approx(79.6, abs=3)
    assert losses[-1] < 0.5
    np.testing.assert_array_equal(model.sample(features, max_length=16), captions[:, 1:])


def test_initial_parameters_follow_the_seed():
    a, b = small("lstm"), small("lstm")
    assert all((a.params[name] == b.params[name]).all() for name in a.params)
    c = CaptioningRNN(WORDS, 4, 5, 6, "lstm", seed=4)
    assert c.params["Wx"].dtype == np.float32
    assert (a.params["Wx"] != c.params["Wx"]).all()


def test_unknown_cell_and_unknown_word():
    with pytest.raises(LookcloserError, match=r"lsmt: unknown cell type\. Close: lstm"):
        CaptioningRNN(WORDS, cell_type="lsmt")
    with pytest.raises(LookcloserError, match=r"-1: no such word\. Allowed: indices 0 to 5"):
        small("rnn").loss(np.zeros((1, 4)), np.array([[1, 3, -1]]))
    with pytest.raises(LookcloserError, match=r"6: no such word"):
        small("rnn").loss(np.zeros((1, 4)), np.array([[1, 6, 2]]))
