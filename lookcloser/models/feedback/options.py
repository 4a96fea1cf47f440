"""What `feedback` is and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lookcloser.core.errors import UsageError
from lookcloser.core.options import option
from lookcloser.models.cam.options import LookOptions
from lookcloser.models.options import Method

TWO_BLOCK = "two-block"

Select = Literal["soft", "predicted"]
Control = Literal["none", "ones", "shuffled", "literal"]


@dataclass(frozen=True)
class FeedbackOptions(LookOptions):
    """Options of `FeedbackNet`; its backbone may also be "two-block", the original network."""

    feedback_stage: int | None = option(
        None,
        "Stage of the backbone that the feedback goes into, from 0; None: the middle one.",
        least=0,
    )
    feedback_select: Select = option(
        "soft", "Whose class map is fed back: soft (by probability) or predicted."
    )
    feedback_control: Control = option(
        "none", "Control in place of the attention: ones, shuffled or literal; none is off."
    )
    noise: float = option(
        0.0,
        "Standard deviation of Gaussian noise on training images, for pixels of 0 to 255.",
        least=0,
    )
    std: tuple[float, float, float] | None = option(
        None, "What images are normalized with; None takes the backbone's.", above=0, use="data"
    )

    def check_together(self) -> None:
        """The two-block network has nothing to choose."""
        if self.backbone != TWO_BLOCK:
            return
        for name in ("stride", "model_kwargs", "feedback_stage"):
            if getattr(self, name):
                what = f"{{}} {getattr(self, name)}: not with the {TWO_BLOCK} network"
                raise UsageError(what, fix="Leave it out", option=name)


METHOD = Method(
    "feedback",
    ("classification",),
    "looks twice: the class map of the first pass guides the second",
    FeedbackOptions,
    "lookcloser.models.feedback.model:FeedbackNet",
)

METHODS = (METHOD,)
