"""What a network returns, as NumPy arrays, and what runs a network."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.header import ModelHeader

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class ArrayOutput(NamedTuple):
    """The fields of `lookcloser.core.Output` that answers are made from, on the CPU.

    Attributes:
        logits: (B, C) before softmax or sigmoid.
        maps: (B, K, h, w), before any normalization, one per entry of ``tokens``.
        tokens: (B, K) whose maps these are: classes, or the labels or words of a decoded sequence,
            padded with -1.
        token_scores: (B, K) the score in [0, 1] of each entry of a decoded sequence.
        boxes: (B, S, 4) one box per scale in [-1, 1].
        scale_logits: (B, S, C) the logits of every scale on its own.
        box_scores: (B, S) in [0, 1], how sure the scale of each box is of the best class, from
            engines that keep no ``scale_logits``.
        part_maps: (B, P, h, w) one map per attention, for the first of ``tokens``.
        certified: (B,) bool, whether a search proved that ``tokens`` are its most probable answer.
        distances: (B,) squared Mahalanobis distance of each image's features to the nearest class.
    """

    logits: Floats
    maps: Floats | None = None
    tokens: Ints | None = None
    token_scores: Floats | None = None
    boxes: Floats | None = None
    scale_logits: Floats | None = None
    box_scores: Floats | None = None
    part_maps: Floats | None = None
    certified: NDArray[np.bool_] | None = None
    distances: Floats | None = None


class Engine(Protocol):
    """A trained network that can be asked, whatever runs it."""

    @property
    def header(self) -> ModelHeader:
        """What belongs to the network."""

    def answer(self, pixels: NDArray[np.uint8], top: int) -> ArrayOutput:
        """The answers of a batch.

        Args:
            pixels: (B, 3, H, W) of `lookcloser.core.preprocessing.input_pixels`.
            top: How many classes of a classification get a map; sequences are decoded whole.
        """

    def evidence(self, pixels: NDArray[np.uint8], tokens: NDArray[np.int64]) -> ArrayOutput:
        """The scores of a batch, with the maps of given classes.

        Args:
            pixels: As in `answer`.
            tokens: (B, K) classes, padded with -1.
        """

    def fingerprint(self) -> str:
        """What tells one network's answers from another's: its weights and preprocessing."""
