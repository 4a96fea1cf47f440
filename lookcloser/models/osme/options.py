"""What `osme` is and takes."""

from __future__ import annotations

from dataclasses import dataclass

from lookcloser.core.choices import MamcForm, Merge, OsmeHead, Reduction
from lookcloser.core.options import option
from lookcloser.models.cam.options import LookOptions
from lookcloser.models.options import Method


@dataclass(frozen=True)
class OSMEOptions(LookOptions):
    """Options of `OSMENet`."""

    size: int = option(
        224, "Side of the square input; the flattened head depends on it.", above=0, use="data"
    )
    parts: int = option(2, "Number of attentions.", least=1)
    part_width: int = option(1024, "Features of each attention.", least=1)
    part_head: OsmeHead = option("pooled", "Features of an attention: pooled or flattened.")
    merge: Merge = option("concat", "How attentions are merged for the classifier: concat or sum.")
    mamc_weight: float = option(0.1, "Weight of the MAMC loss; 0 is off.", least=0)
    mamc_reduction: Reduction = option(
        "mean", "MAMC: mean over the positives, or the paper's sum (paper)."
    )
    mamc_form: MamcForm = option("npair", "MAMC: npair or hinge.")
    mamc_gather: bool = option(
        True, "MAMC: compare the images of all devices, not just of each one."
    )
    images_per_class: int = option(
        2,
        "Images of each class in a batch, which holds at least two classes.",
        above=0,
        use="training",
    )


METHOD = Method(
    "osme",
    ("classification",),
    "several attentions kept apart by a loss on pairs of images (MAMC)",
    OSMEOptions,
    "lookcloser.models.osme.model:OSMENet",
)

METHODS = (METHOD,)
