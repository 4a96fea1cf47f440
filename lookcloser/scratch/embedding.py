"""Word embedding: a row of a matrix per word, and the sum of gradients per word."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lookcloser.scratch.arrays import Array, Indices


class EmbeddingCache(NamedTuple):
    """What `word_embedding_backward` needs: the words (N, T) and the shape of the matrix."""

    x: Indices
    shape: tuple[int, int]


def word_embedding_forward(x: Indices, W: Array) -> tuple[Array, EmbeddingCache]:
    """The vector of every word.

    Args:
        x: (N, T) indices of words in [0, V).
        W: (V, D), one row per word.

    Returns:
        The vectors (N, T, D) and the cache for `word_embedding_backward`.
    """
    return W[x], EmbeddingCache(x, (W.shape[0], W.shape[1]))


def word_embedding_backward(dout: Array, cache: EmbeddingCache) -> Array:
    """Gradient of the matrix, (V, D), from ``dout`` (N, T, D).

    A word that occurs several times receives the sum over its occurrences. The occurrences are
    sorted by word and summed in runs, which is one pass where ``np.add.at`` is one call per row.
    """
    words = cache.x.ravel()
    dW = np.zeros(cache.shape, dtype=dout.dtype)
    if words.size:
        order = np.argsort(words, kind="stable")
        present, first = np.unique(words[order], return_index=True)
        rows = dout.reshape(words.size, -1)[order]
        dW[present] = np.add.reduceat(rows, first, axis=0)
    return dW
