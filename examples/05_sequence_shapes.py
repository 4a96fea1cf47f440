"""The four shapes of sequence task, from the same NumPy layers with hand-written backward passes.

one-to-many: a caption from a feature; many-to-one: the sentiment of a sentence; many-to-many: a
translation, read whole before it is written; per frame: a label for every step.

python examples/05_sequence_shapes.py    # a few seconds
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.scratch import (
    CaptioningRNN,
    Solver,
    affine_backward,
    affine_forward,
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

Array = NDArray[Any]
Random = np.random.Generator
Grads = dict[str, Array]

WORDS = ("<NULL>", "<START>", "<END>", "a", "red", "blue", "bird", "car")
CAPTIONS = ("a red bird", "a blue car", "a bird", "car")


class Sentiment:
    """Many-to-one: words (N, T) -> one of two classes; only the last state is read."""

    def __init__(self, rng: Random, V: int = 8, W: int = 5, H: int = 6) -> None:
        self.params = parameters(
            rng, E=(V, W), Wx=(W, 4 * H), Wh=(H, 4 * H), b=4 * H, Wy=(H, 2), by=2
        )

    def scores(self, words: Array) -> tuple[Array, Any]:
        p = self.params
        x, words_cache = word_embedding_forward(words, p["E"])
        h0 = np.zeros((len(words), len(p["Wh"])))
        h, cell_cache = lstm_forward(x, h0, p["Wx"], p["Wh"], p["b"])
        scores, last_cache = affine_forward(h[:, -1], p["Wy"], p["by"])
        return scores, (h.shape, words_cache, cell_cache, last_cache)

    def loss(self, words: Array, labels: Array) -> tuple[float, Grads]:
        scores, (shape, words_cache, cell_cache, last_cache) = self.scores(words)
        everyone = np.ones((len(words), 1), dtype=bool)
        loss, dscores = temporal_softmax_loss(scores[:, None], labels[:, None], everyone)
        g, dh = {}, np.zeros(shape)
        dh[:, -1], g["Wy"], g["by"] = affine_backward(dscores[:, 0], last_cache)
        dx, _, g["Wx"], g["Wh"], g["b"] = lstm_backward(dh, cell_cache)
        g["E"] = word_embedding_backward(dx, words_cache)
        return loss, g


class Translator:
    """Many-to-many: words (N, T) -> words (N, T); the encoder's last state starts the decoder."""

    def __init__(self, rng: Random, V: int = 6, W: int = 12, H: int = 24) -> None:
        self.params = parameters(rng, E=(V, W), F=(V, W), Wy=(H, V), by=V)
        for side in ("e", "d"):
            self.params |= parameters(
                rng, **{f"Wx{side}": (W, 3 * H), f"Wh{side}": (H, 3 * H), f"b{side}": (2, 3 * H)}
            )

    def scores(self, source: Array, before: Array) -> tuple[Array, tuple[int, ...], Any]:
        p = self.params
        x, source_cache = word_embedding_forward(source, p["E"])
        h0 = np.zeros((len(source), len(p["Whe"])))
        read, encoder_cache = gru_forward(x, h0, p["Wxe"], p["Whe"], p["be"])
        y, before_cache = word_embedding_forward(before, p["F"])
        written, decoder_cache = gru_forward(y, read[:, -1], p["Wxd"], p["Whd"], p["bd"])
        scores, out_cache = temporal_affine_forward(written, p["Wy"], p["by"])
        caches = (source_cache, encoder_cache, before_cache, decoder_cache, out_cache)
        return scores, read.shape, caches

    def loss(self, source: Array, target: Array) -> tuple[float, Grads]:
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

    def translate(self, source: Array) -> Array:
        """The most probable word at each step."""
        words = np.zeros((len(source), 1), dtype=int)
        for _ in range(source.shape[1]):
            best = self.scores(source, words)[0][:, -1].argmax(axis=1)
            words = np.hstack([words, best[:, None]])
        return words[:, 1:]


class FrameLabels:
    """Per frame: features (N, T, D) -> a class for every one."""

    def __init__(self, rng: Random, D: int = 2, H: int = 10) -> None:
        self.params = parameters(rng, Wx=(D, H), Wh=(H, H), b=H, Wy=(H, 2), by=2)

    def scores(self, frames: Array) -> tuple[Array, Any]:
        p = self.params
        h0 = np.zeros((len(frames), len(p["Wh"])))
        h, cell_cache = rnn_forward(frames, h0, p["Wx"], p["Wh"], p["b"])
        scores, out_cache = temporal_affine_forward(h, p["Wy"], p["by"])
        return scores, (cell_cache, out_cache)

    def loss(self, frames: Array, labels: Array) -> tuple[float, Grads]:
        scores, (cell_cache, out_cache) = self.scores(frames)
        loss, dscores = temporal_softmax_loss(scores, labels, np.ones(labels.shape, dtype=bool))
        g = {}
        dh, g["Wy"], g["by"] = temporal_affine_backward(dscores, out_cache)
        _, _, g["Wx"], g["Wh"], g["b"] = rnn_backward(dh, cell_cache)
        return loss, g


def parameters(rng: Random, **shapes: int | tuple[int, ...]) -> dict[str, Array]:
    """Small random arrays by name."""
    return {name: 0.3 * rng.normal(size=shape) for name, shape in shapes.items()}


def train(model: Any, data: tuple[Array, ...], epochs: int) -> None:
    """Adam on batches of 64."""
    Solver(model, data, learning_rate=0.02, batch_size=64, num_epochs=epochs).train()


def caption_task() -> tuple[Array, Array]:
    """Four features, each with the words of one caption."""
    rows = [f"<START> {caption} <END>".split() for caption in CAPTIONS]
    longest = max(map(len, rows)) + 1
    padded = [row + ["<NULL>"] * (longest - len(row)) for row in rows]
    return np.eye(len(rows)), np.array([[WORDS.index(word) for word in row] for row in padded])


def sentence_task(rng: Random, count: int) -> tuple[Array, Array]:
    """Words 0-3 are good and 4-7 are bad; the label is the majority of seven."""
    words = rng.integers(0, 8, size=(count, 7))
    return words, ((words < 4).sum(axis=1) > 3).astype(int)


def translation_task(rng: Random, count: int) -> tuple[Array, Array]:
    """The translation has the words in reverse, each replaced by its partner."""
    source = rng.integers(1, 6, size=(count, 4))
    return source, 6 - source[:, ::-1]


def frame_task(rng: Random, count: int) -> tuple[Array, Array]:
    """A light goes on and off; has it been on so far? The second feature is noise."""
    x = np.stack([rng.random((count, 9)) < 0.15, rng.normal(size=(count, 9))], axis=-1)
    return x, np.maximum.accumulate(x[..., 0], axis=1).astype(int)


def one_to_many() -> list[str]:
    """The captions that were learned, one for each feature."""
    features, captions = caption_task()
    index = {word: number for number, word in enumerate(WORDS)}
    model = CaptioningRNN(index, len(features), 6, 12, "gru", dtype=np.float64)
    train(model, (features, captions), epochs=150)
    said = model.sample(features, max_length=captions.shape[1] - 1)
    return [" ".join(WORDS[word] for word in row if word > index["<END>"]) for row in said]


def many_to_one(rng: Random) -> float:
    """The share of unseen sentences whose sentiment is right."""
    model = Sentiment(rng)
    train(model, sentence_task(rng, 512), epochs=15)
    words, labels = sentence_task(rng, 200)
    return float(np.mean(model.scores(words)[0].argmax(axis=1) == labels))


def many_to_many(rng: Random) -> float:
    """The share of words of unseen sentences that are translated rightly."""
    model = Translator(rng)
    train(model, translation_task(rng, 512), epochs=60)
    source, target = translation_task(rng, 128)
    return float(np.mean(model.translate(source) == target))


def per_frame(rng: Random) -> float:
    """The share of unseen frames whose label is right."""
    model = FrameLabels(rng)
    train(model, frame_task(rng, 512), epochs=20)
    frames, labels = frame_task(rng, 200)
    return float(np.mean(model.scores(frames)[0].argmax(axis=2) == labels))


def main() -> None:
    rng = np.random.default_rng(0)
    print("one-to-many, captions:", "; ".join(one_to_many()))
    print(f"many-to-one, sentiment: {many_to_one(rng):.1%} of unseen sentences")
    print(f"many-to-many, translation: {many_to_many(rng):.1%} of the words of unseen sentences")
    print(f"per frame, has the light been on: {per_frame(rng):.1%} of unseen frames")


if __name__ == "__main__":
    main()
