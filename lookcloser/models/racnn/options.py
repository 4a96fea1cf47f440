"""What `racnn` is and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lookcloser.core.choices import GradientMode, ProposalHead, RankingForm
from lookcloser.core.errors import UsageError
from lookcloser.core.options import option
from lookcloser.models.options import BackboneOptions, Method

TrainMode = Literal["alternate", "joint"]
Fusion = Literal["mean", "descriptors"]


@dataclass(frozen=True)
class RACNNOptions(BackboneOptions):
    """Options of `RACNN`."""

    size: int | None = option(
        None, "Side of every scale's input; None takes that of the images.", above=0, use="data"
    )
    source_size: int | None = option(
        None,
        "Side of the image that the scales are cut from; None: twice the input's.",
        above=0,
        use="training",
    )
    scales: int = option(3, "Number of scales, the whole image included.", least=2)
    half_side: float = option(
        0.5,
        "Half-side that the next view starts with; the view it lies in has 1.",
        above=0,
        most=2 / 3,  # training moves it between half and one and a half times as much
    )
    crop_mode: GradientMode = option(
        "grid", "Gradient that reaches the views: grid, mask or saliency."
    )
    apn: ProposalHead = option("light", "Head that proposes the views: light or paper.")
    train_mode: TrainMode = option(
        "joint", "joint, or alternate (classifiers and proposals take turns)."
    )
    rank_margin: float = option(0.05, "How much surer each scale should be than the one before.")
    rank_form: RankingForm = option(
        "probability", "What the scales compare: probability or log (of it)."
    )
    area_prior: float = option(0.0, "Weight of the views' area in the loss.")
    fusion: Fusion = option(
        "mean", "The answer: mean of the scales' logits, or a head on their descriptors."
    )

    def check_together(self) -> None:
        """The paper's proposals are made for one size."""
        if self.apn == "paper" and self.size is None:
            fix = "Give a size, or take the light head"
            raise UsageError("{} paper: not without a size", fix=fix, option="apn")


METHOD = Method(
    "racnn",
    ("classification",),
    "zooms into the detail that decides, scale by scale",
    RACNNOptions,
    "lookcloser.models.racnn.model:RACNN",
)

METHODS = (METHOD,)
