"""What `cnnrnn` is and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lookcloser.core.choices import Gate
from lookcloser.core.options import option
from lookcloser.models.options import BackboneOptions, Method

LabelOrder = Literal["frequent", "rare", "fixed", "shuffled", "easy", "minimal", "predicted"]
Decoder = Literal["beam", "exact"]


@dataclass(frozen=True)
class CNNRNNOptions(BackboneOptions):
    """Options of `CNNRNN`."""

    label_order: LabelOrder = option(
        "frequent",
        "How training writes a set: frequent first (the paper), rare first, fixed (one random "
        "order), shuffled, easy first, or without an order: minimal, predicted (alignment).",
    )
    label_counts: tuple[int, ...] | None = option(
        None, "Training images of each label; None: all alike.", use="data"
    )
    max_labels: int | None = option(
        None, "The largest set that is answered; None: all labels.", use="data"
    )
    embed_size: int = option(64, "Width of the vector of a label or word.", least=1)
    hidden_size: int = option(512, "Width of the recurrent state.", least=1)
    tied: bool = option(True, "Score labels or words by their own vectors.")
    gate: Gate = option("sigmoid", "Gates of the recurrent unit: sigmoid or relu.")
    decoder: Decoder = option(
        "beam", "beam, or exact: a search that proves its answers; evaluate says how many."
    )
    beam: int = option(5, "Width of the beam search; 1 is greedy.", least=1)


METHOD = Method(
    "cnnrnn",
    ("multilabel",),
    "labels named one by one, each by a network that knows those before",
    CNNRNNOptions,
    "lookcloser.models.cnnrnn.model:CNNRNN",
)

METHODS = (METHOD,)
