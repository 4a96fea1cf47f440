"""What `sigmoid` is and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lookcloser.core.options import option
from lookcloser.models.cam.options import CAMOptions
from lookcloser.models.options import Method

Loss = Literal["bce", "asymmetric"]


@dataclass(frozen=True)
class SigmoidOptions(CAMOptions):
    """Options of `Sigmoid`."""

    threshold: float = option(0.5, "Score above which a label is named.", least=0, below=1)
    loss: Loss = option("bce", "bce (cross-entropy of each label) or asymmetric.")


METHOD = Method(
    "sigmoid",
    ("multilabel",),
    "backbone + pooling + one sigmoid per label: the baseline of cnnrnn",
    SigmoidOptions,
    "lookcloser.models.sigmoid.model:Sigmoid",
)

METHODS = (METHOD,)
