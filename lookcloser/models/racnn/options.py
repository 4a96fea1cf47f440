"""What `racnn` is and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lookcloser.core.choices import GradientMode, RankingForm
from lookcloser.core.errors import UsageError
from lookcloser.core.options import option
from lookcloser.models.options import BackboneOptions, Method

TrainMode = Literal["alternate", "joint"]
Fusion = Literal["mean", "descriptors"]
Proposal = Literal["evidence", "light", "paper"]


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
    scales: int | None = option(
        None,
        "Number of scales, the whole image included; None: 3, and by evidence 2, or a plain cam "
        "where images left out say that looking closer does not pay.",
        least=2,
    )
    half_side: float | None = option(
        None,
        "Half-side of the next view, which a head only starts with; the view it lies in has 1. "
        "None: 0.5, and by evidence what images left out say.",
        above=0,
        most=2 / 3,  # training moves it between half and one and a half times as much
    )
    crop_mode: GradientMode = option(
        "grid", "Gradient that reaches the views: grid, mask or saliency."
    )
    apn: Proposal | None = option(
        None,
        "What proposes the views: evidence (the first scale's own, solved in closed form), or a "
        "head that learns by the finer view, light or paper. None: evidence from loaded weights, "
        "else light.",
    )
    train_mode: TrainMode = option(
        "joint", "joint, or alternate (classifiers and proposals take turns)."
    )
    rank_margin: float = option(0.05, "How much surer each scale should be than the one before.")
    rank_form: RankingForm = option(
        "probability", "What the scales compare: probability or log (of it)."
    )
    area_prior: float = option(0.0, "Weight of the views' area in the loss.")
    fusion: Fusion = option(
        "mean",
        "The answer: mean of the scales' logits (by evidence the finer one's alone), or a head on "
        "their descriptors.",
    )

    def check_together(self) -> None:
        """The paper's proposals are made for one size; evidence is for two scales, as they are."""
        if self.apn == "evidence":
            self._check_evidence()
        if self.apn == "paper" and self.size is None:
            fix = "Give a size, or take the light head"
            raise UsageError("{} paper: not without a size", fix=fix, option="apn")

    def _check_evidence(self) -> None:
        fixed = {"scales": (None, 2), "fusion": ("mean",), "train_mode": ("joint",)}
        for name, possible in fixed.items():
            value = getattr(self, name)
            if value not in possible:
                fix = "Take the light or the paper head"
                what = f"{{}} {value}: not with evidence"
                raise UsageError(what, fix=fix, option=name)


METHOD = Method(
    "racnn",
    ("classification",),
    "zooms into the detail that decides, scale by scale",
    RACNNOptions,
    "lookcloser.models.racnn.model:RACNN",
)

METHODS = (METHOD,)
