"""Which decoder a model answers with, and how it is set: for the network and for a file of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.decoding.beam import beam_search
from lookcloser.decoding.best_first import best_first_search
from lookcloser.decoding.sampling import sample
from lookcloser.decoding.sets import label_marginals
from lookcloser.decoding.types import Hypothesis, S, SearchResult, Step

Decoder = Literal["beam", "exact", "sample"]


@dataclass(frozen=True)
class Search:
    """A decoder with its settings; JSON can hold them.

    Attributes:
        decoder: `beam_search`, "exact" for `best_first_search`, or `sample`, which draws the same
            sequences for the same batch.
        start: Fed to the first step.
        end: Ends a sequence.
        longest: The most tokens of an answer, END not counted.
        beam: Paths that a beam keeps for an image; 1 is greedy.
        repeats: Whether a token may come twice.
        node_budget: Paths that exact search extends for an image at most; None: all.
        temperature: Of samples.
        top_p: Of samples; None: all tokens.
        scored_paths: Paths over which the scores of single tokens are summed, where `marginals` are
            the answer's scores; None where they are not.

    Raises:
        LookcloserError: For an unknown decoder and numbers out of range.
    """

    decoder: Decoder
    start: int
    end: int
    longest: int
    beam: int = 1
    repeats: bool = True
    node_budget: int | None = None
    temperature: float = 1.0
    top_p: float | None = None
    scored_paths: int | None = None

    def __post_init__(self) -> None:
        if self.decoder not in get_args(Decoder):
            raise unknown(str(self.decoder), "decoder", get_args(Decoder))
        for name, value in (("longest", self.longest), ("beam", self.beam)):
            if value < 1:
                raise LookcloserError(f"{name}={value}", allowed=f"{name} of 1 or more")

    def run(self, step: Step[S], state: S) -> list[Hypothesis] | list[SearchResult]:
        """The answer for each row of ``state``; of exact search with its certificate."""
        limits: dict[str, Any] = {**self._limits, "mask_repeats": not self.repeats}
        if self.decoder == "exact":
            return best_first_search(step, state, node_budget=self.node_budget, **limits)
        if self.decoder == "sample":
            return sample(
                step,
                state,
                generator=np.random.default_rng(0),
                temperature=self.temperature,
                top_p=self.top_p,
                **limits,
            )
        beams = beam_search(step, state, beam_size=self.beam, **limits)
        return [hypotheses[0] for hypotheses in beams]

    def marginals(self, step: Step[S], state: S) -> Any:
        """See `label_marginals`, over the ``scored_paths``."""
        assert self.scored_paths is not None  # or there are none to ask for
        return label_marginals(step, state, node_budget=self.scored_paths, **self._limits)

    def tokens(self, found: Sequence[Hypothesis] | Sequence[SearchResult]) -> list[list[int]]:
        """The answers as rows of one length, padded with -1; at least one place.

        A path that did not end has a token where END would stand, one more than an answer may have.
        """
        paths = [list(path.tokens[: self.longest]) for path in found]
        width = max(1, *map(len, paths)) if paths else 1
        return [[*path, *[-1] * (width - len(path))] for path in paths]

    @property
    def _limits(self) -> dict[str, int]:
        return {"start": self.start, "end": self.end, "max_length": self.longest + 1}
