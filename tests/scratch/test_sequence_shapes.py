"""The four shapes of sequence task from the same layers, each learnt, with checked gradients.

one-to-many: a caption from a feature; many-to-one: the sentiment of a sentence; many-to-many: a
translation, read whole before it is written; per-frame: a label for every step.
"""

import numpy as np
import pytest

from lookcloser.scratch import (
    CaptioningRNN,
    Solver,
    affine_backward,
    affine_forward,
    check_gradients,
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_forward,
    temporal_affine_backward,
    temporal_affine_forward,
    temporal_softmax_loss,
    word_embedding_backward,
    word_embedding_forward,
)


def parameters(rng, **shapes):
    return {name: 0.3 * rng.normal(size=shape) for name, shape in shapes.items()}


class Sentiment:
    """Words (N, T) -> one of two classes: only the last state is read."""

    def __init__(self, rng, V=8, W=5, H=6):
        self.params = parameters(
            rng, E=(V, W), Wx=(W, 4 * H), Wh=(H, 4 * H), b=4 * H, Wy=(H, 2), by=2
        )

    def scores(self, words):
        p = self.params
        x, words_cache = word_embedding_forward(words, p["E"])
        h0 = np.zeros((len(words), len(p["Wh"])))
        h, cell_cache = lstm_forward(x, h0, p["Wx"], p["Wh"], p["b"])
        scores, last_cache = affine_forward(h[:, -1], p["Wy"], p["by"])
        return scores, (h.shape, words_cache, cell_cache, last_cache)

    def loss(self, words, labels):
        scores, (shape, words_cache, cell_cache, last_cache) = self.scores(words)
        everyone = np.ones((len(words), 1), dtype=bool)
        loss, dscores = temporal_softmax_loss(scores[:, None], labels[:, None], everyone)
        g, dh = {}, np.zeros(shape)
        dh[:, -1], g["Wy"], g["by"] = affine_backward(dscores[:, 0], last_cache)
        dx, _, g["Wx"], g["Wh"], g["b"] = lstm_backward(dh, cell_cache)
        g["E"] = word_embedding_backward(dx, words_cache)
        return loss, g


class Translator:
    """Words (N, T) -> words (N, T): the encoder's last state starts the decoder."""

    def __init__(self, rng, V=6, W=12, H=24):
        self.params = parameters(rng, E=(V, W), F=(V, W), Wy=(H, V), by=V)
        for side in ("e", "d"):
            self.params |= parameters(
                rng, **{f"Wx{side}": (W, 3 * H), f"Wh{side}": (H, 3 * H), f"b{side}": (2, 3 * H)}
            )

    def scores(self, source, before):
        p = self.params
        x, source_cache = word_embedding_forward(source, p["E"])
        h0 = np.zeros((len(source), len(p["Whe"])))
        read, encoder_cache = gru_forward(x, h0, p["Wxe"], p["Whe"], p["be"])
        y, before_cache = word_embedding_forward(before, p["F"])
        written, decoder_cache = gru_forward(y, read[:, -1], p["Wxd"], p["Whd"], p["bd"])
        scores, out_cache = temporal_affine_forward(written, p["Wy"], p["by"])
        caches = (source_cache, encoder_cache, before_cache, decoder_cache, out_cache)
        return scores, read.shape, caches

    def loss(self, source, target):
        """Word 0 starts every translation."""
        before = np.hstack([np.zeros((len(target), 1), dtype=int), target[:, :-1]])
        scores, shape, caches = self.scores(source, before)
        loss, dscores = temporal_softmax_loss(scores, target, np.ones(target.shape, dtype=bool))
        source_cache, encoder_cache, before_cache, decoder_cache, out_cache = caches
        g, dread = {}, np.zeros(shape)
        dwritten, g["Wy"], g["by"] = temporal_affine_backward(dscores, out_cache)
        dy, dread[:, -1], g["Wxd"], g["Whd"], g["bd"] = gru_backward(dwritten, decoder_cache)
        dx, _, g["Wxe"], g["Whe"], g["be"] = gru_backward(dread, encoder_cache)
        g["E"] = word_embedding_backward(dx, source_cache)
        g["F"] = word_embedding_backward(dy, before_cache)
        return loss, g

    def translate(self, source):
        words = np.zeros((len(source), 1), dtype=int)
        for _ in range(source.shape[1]):
            best = self.scores(source, words)[0][:, -1].argmax(axis=1)
            words = np.hstack([words, best[:, None]])
        return words[:, 1:]


class FrameLabels:
    """Frame features (N, T, D) -> a class for every frame."""

    def __init__(self, rng, D=2, H=10):
        self.params = parameters(rng, Wx=(D, H), Wh=(H, H), b=H, Wy=(H, 2), by=2)

    def scores(self, frames):
        p = self.params
        h0 = np.zeros((len(frames), len(p["Wh"])))
        h, cell_cache = rnn_forward(frames, h0, p["Wx"], p["Wh"], p["b"])
        scores, out_cache = temporal_affine_forward(h, p["Wy"], p["by"])
        return scores, (cell_cache, out_cache)

    def loss(self, frames, labels):
        scores, (cell_cache, out_cache) = self.scores(frames)
        loss, dscores = temporal_softmax_loss(scores, labels, np.ones(labels.shape, dtype=bool))
        g = {}
        dh, g["Wy"], g["by"] = temporal_affine_backward(dscores, out_cache)
        _, _, g["Wx"], g["Wh"], g["b"] = rnn_backward(dh, cell_cache)
        return loss, g


def train(model, data, epochs, learning_rate=0.02):
    Solver(model, data, learning_rate=learning_rate, batch_size=64, num_epochs=epochs).train()


def assert_gradients(model, *batch):
    _, grads = model.loss(*batch)
    errors = check_gradients(lambda: model.loss(*batch)[0], model.params, grads)
    assert max(errors.values()) <= 1e-6, errors


def sentences(rng, count):
    """Words 0-3 are good and 4-7 are bad; the label is the majority of seven."""
    words = rng.integers(0, 8, size=(count, 7))
    return words, ((words < 4).sum(axis=1) > 3).astype(int)


def frames(rng, count):
    """A light goes on and off; has it been on so far? The second feature is noise."""
    x = np.stack([rng.random((count, 9)) < 0.15, rng.normal(size=(count, 9))], axis=-1)
    return x, np.maximum.accumulate(x[..., 0], axis=1).astype(int)


def test_one_to_many(rng):
    words = {
        "<NULL>": 0,
        "<START>": 1,
        "<END>": 2,
        "a": 3,
        "red": 4,
        "blue": 5,
        "bird": 6,
        "car": 7,
    }
    captions = np.array(
        [[1, 3, 4, 6, 2, 0], [1, 3, 5, 7, 2, 0], [1, 3, 6, 2, 0, 0], [1, 7, 2, 0, 0, 0]]
    )
    model = CaptioningRNN(words, 4, 6, 12, "gru", dtype=np.float64)
    train(model, (np.eye(4), captions), epochs=150)
    np.testing.assert_array_equal(model.sample(np.eye(4), max_length=5), captions[:, 1:])


def test_many_to_one(rng):
    model = Sentiment(rng)
    assert_gradients(model, *sentences(rng, 3))
    train(model, sentences(rng, 512), epochs=15)
    words, labels = sentences(rng, 200)
    assert np.mean(model.scores(words)[0].argmax(axis=1) == labels) >= 0.95


def test_many_to_many(rng):
    """The translation has the words in reverse, each replaced by its partner."""
    model = Translator(rng)
    source = rng.integers(1, 6, size=(640, 4))
    target = 6 - source[:, ::-1]
    assert_gradients(Translator(rng, W=2, H=3), source[:2], target[:2])
    train(model, (source[:512], target[:512]), epochs=60)
    assert np.mean(model.translate(source[512:]) == target[512:]) >= 0.95


def test_per_frame(rng):
    model = FrameLabels(rng)
    assert_gradients(model, *frames(rng, 3))
    train(model, frames(rng, 512), epochs=20)
    x, labels = frames(rng, 200)
    assert np.mean(model.scores(x)[0].argmax(axis=2) == labels) >= 0.97


@pytest.mark.parametrize("kind", [Sentiment, FrameLabels])
def test_later_steps_cannot_reach_back(rng, kind):
    """Per frame the past alone counts; for a sentence the last word does."""
    model = kind(rng)
    batch = sentences(rng, 4)[0] if kind is Sentiment else frames(rng, 4)[0]
    changed = batch.copy()
    changed[:, -1] = 7 - batch[:, -1] if kind is Sentiment else batch[:, -1] + 1
    before, after = model.scores(batch)[0], model.scores(changed)[0]
    if kind is FrameLabels:
        np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
        before, after = before[:, -1], after[:, -1]
    assert (before != after).all()
