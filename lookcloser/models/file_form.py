"""What an exported file of a model computes, and how an answer is made of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.decoding import Search


class Looking(nn.Module):
    """A model's answer with the evidence for every class, as a file gives it.

    Args:
        model: In evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Output:
        """Images (B, 3, H, W), normalized -> the output with a map for each class."""
        output: Output = self.model(images)
        return output


@dataclass(frozen=True, eq=False)
class Decoding:
    """The parts of a model that a decoder runs, each a graph of its own.

    What a batch has beside its states (places to look at) is its memory: a step finds its rows by
    an index in the state. Memory may be empty.

    Attributes:
        search: How it decodes.
        start: ``features (B, D, h, w) -> (memory …, state …)``, each with B rows.
        step: ``(tokens (n,), memory …, state …) -> (log_probs (n, V), state …)``; a state has n
            rows, tokens are int64.
        evidence: ``(features, tokens (B, longest)) -> maps (B, longest, h, w)`` of a decoded answer
            padded with -1.
        memory: How many of what ``start`` gives is memory.
        longest: The width of the tokens that ``evidence`` takes.
    """

    search: Search
    start: nn.Module
    step: nn.Module
    evidence: nn.Module
    memory: int
    longest: int


@dataclass(frozen=True, eq=False)
class FileForm:
    """A model in the parts that a file holds.

    Attributes:
        image: Normalized images (B, 3, H, W) -> `Output`; where there is ``decoding``, with
            ``features`` (B, D, h, w), from which it starts.
        threshold: An answer is the set of the labels whose score is above it; None where it is not.
        decoding: Of methods that answer with a sequence; None for others.
    """

    image: nn.Module
    threshold: float | None = None
    decoding: Decoding | None = None
