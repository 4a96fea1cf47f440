"""A captioner in NumPy: an image feature starts a recurrent layer that names one word a step.

``h0 = feature W_proj + b_proj``; the inputs are the caption without its last word, the targets the
caption without its first; a step counts where its target is not ``<NULL>``. This is the network of
Vinyals et al., "Show and Tell", CVPR 2015, with the image as the first state instead of as the
first input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.scratch.affine import (
    affine_backward,
    affine_forward,
    temporal_affine_backward,
    temporal_affine_forward,
)
from lookcloser.scratch.arrays import Array, Indices, Mask
from lookcloser.scratch.cells import CELLS, Cell
from lookcloser.scratch.embedding import word_embedding_backward, word_embedding_forward
from lookcloser.scratch.loss import temporal_softmax_loss


class CaptioningRNN:
    """Image features to captions.

    Args:
        word_to_idx: The vocabulary of V words, indices in [0, V). ``<NULL>`` (padding),
            ``<START>`` and ``<END>`` are optional: without ``<NULL>`` every step counts; without
            ``<START>`` `sample` has to be told the first word; without ``<END>`` captions fill
            their length.
        input_dim: D, the width of a feature.
        wordvec_dim: W, the width of a word's vector.
        hidden_dim: H, the width of the state.
        cell_type: "rnn", "lstm" or "gru".
        dtype: Of the parameters; float32, or float64 for gradient checks.
        seed: Of the initial parameters.

    Attributes:
        params: W_embed (V, W), W_proj (D, H), b_proj (H,), Wx (W, G), Wh (H, G), b, W_vocab (H, V),
            b_vocab (V,); G is H, 4H or 3H; b is (G,), or (2, G) for the GRU.
        grads: The gradients of the last call of `loss`, under the same names.

    Raises:
        LookcloserError: If ``cell_type`` is unknown.
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int = 512,
        wordvec_dim: int = 128,
        hidden_dim: int = 128,
        cell_type: str = "rnn",
        *,
        dtype: npt.DTypeLike = np.float32,
        seed: int = 0,
    ) -> None:
        cells = {cell.name: cell for cell in CELLS}
        if cell_type not in cells:
            raise unknown(cell_type, "cell type", cells)
        self.cell = cells[cell_type]
        self.word_to_idx = dict(word_to_idx)
        self.null, self.start, self.end = map(word_to_idx.get, ("<NULL>", "<START>", "<END>"))
        sizes = (len(word_to_idx), input_dim, wordvec_dim, hidden_dim)
        self.params = _initial(self.cell, sizes, np.dtype(dtype), np.random.default_rng(seed))
        self.grads: dict[str, Array] = {}

    def loss(self, features: Array, captions: Indices) -> tuple[float, dict[str, Array]]:
        """Loss of a batch under teacher forcing, and the gradient of every parameter.

        Args:
            features: (N, D).
            captions: (N, T + 1) indices of words, padded with ``<NULL>``.

        Returns:
            The temporal softmax loss (see `temporal_softmax_loss`), and `grads`.

        Raises:
            LookcloserError: If an index is outside the vocabulary.
        """
        self._check_words(captions)
        p, inputs, targets = self.params, captions[:, :-1], captions[:, 1:]
        h0, cache_proj = affine_forward(features, p["W_proj"], p["b_proj"])
        words, cache_words = word_embedding_forward(inputs, p["W_embed"])
        h, cache_cell = self.cell.forward(words, h0, p["Wx"], p["Wh"], p["b"])
        scores, cache_vocab = temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
        loss, dscores = temporal_softmax_loss(scores, targets, self._counted(targets))

        g: dict[str, Array] = {}
        dh, g["W_vocab"], g["b_vocab"] = temporal_affine_backward(dscores, cache_vocab)
        dwords, dh0, g["Wx"], g["Wh"], g["b"] = self.cell.backward(dh, cache_cell)
        g["W_embed"] = word_embedding_backward(dwords, cache_words)
        _, g["W_proj"], g["b_proj"] = affine_backward(dh0, cache_proj)
        self.grads = g
        return loss, g

    def sample(self, features: Array, max_length: int = 30, first: int | None = None) -> Indices:
        """The most probable next word, step by step.

        Args:
            features: (N, D).
            max_length: Words to write.
            first: Index of the word that is read first; ``<START>`` unless given.

        Returns:
            (N, max_length) indices without the first word; after ``<END>`` a row holds ``<NULL>``,
            or ``<END>`` again where the vocabulary has no ``<NULL>``.

        Raises:
            LookcloserError: If there is neither ``first`` nor ``<START>``.
        """
        first = self.start if first is None else first
        if first is None:
            raise LookcloserError("<START>: not in the vocabulary", fix="Pass the word `first`")
        p = self.params
        h0, _ = affine_forward(features, p["W_proj"], p["b_proj"])
        states = [h0, np.zeros_like(h0)][: self.cell.states]
        words = np.full(len(features), first)
        padding = self.end if self.null is None else self.null
        captions = np.full((len(features), max_length), 0 if padding is None else padding)
        live = np.ones(len(features), dtype=bool)
        for t in range(max_length):
            x = p["W_embed"][words]
            *states, _ = self.cell.step(x, *states, p["Wx"], p["Wh"], p["b"])
            words = affine_forward(states[0], p["W_vocab"], p["b_vocab"])[0].argmax(axis=1)
            captions[live, t] = words[live]
            if self.end is not None:
                live &= words != self.end
            if not live.any():
                break
        return captions

    def _counted(self, targets: Indices) -> Mask:
        if self.null is None:
            return np.ones(targets.shape, dtype=bool)
        counted: Mask = targets != self.null
        return counted

    def _check_words(self, captions: Indices) -> None:
        V = len(self.params["W_embed"])
        wrong = captions[(captions < 0) | (captions >= V)]
        if wrong.size:
            raise LookcloserError(f"{wrong[0]}: no such word", allowed=f"indices 0 to {V - 1}")


def _initial(
    cell: Cell, sizes: tuple[int, int, int, int], dtype: np.dtype[Any], rng: np.random.Generator
) -> dict[str, Array]:
    """Normal weights with variance 1 / inputs (W_embed: standard deviation 0.01), zero biases."""
    V, D, W, H = sizes
    G = cell.gates * H

    def normal(rows: int, columns: int, scale: float) -> Array:
        return (rng.standard_normal((rows, columns)) * scale).astype(dtype)

    return {
        "W_embed": normal(V, W, 0.01),
        "W_proj": normal(D, H, D**-0.5),
        "b_proj": np.zeros(H, dtype),
        "Wx": normal(W, G, W**-0.5),
        "Wh": normal(H, G, H**-0.5),
        "b": np.zeros(G if cell.biases == 1 else (cell.biases, G), dtype),
        "W_vocab": normal(H, V, H**-0.5),
        "b_vocab": np.zeros(V, dtype),
    }
