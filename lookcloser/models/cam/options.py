"""What `cam` is and takes."""

from __future__ import annotations

from dataclasses import dataclass

from lookcloser.core.options import option
from lookcloser.models.options import BackboneOptions, Method


@dataclass(frozen=True)
class LookOptions(BackboneOptions):
    """What a second look leaves with a method that can be given one, see `LooksTwice`."""

    rank: int = option(0, "Directions of the metric of distances; 0: none.", use="data")
    places: int = option(0, "Places that are looked at again; 0: none.", least=0, use="data")
    share: float = option(
        0.4, "Side of such a place as a share of the image's.", above=0, most=1, use="data"
    )
    view: int = option(224, "Side of the input at which a place is seen.", above=0, use="data")
    whole: float = option(
        0.0, "How much the whole image counts beside its places.", least=0, below=1, use="data"
    )
    whole_temperature: float = option(
        1.0, "Temperature of what the whole image says.", above=0, use="data"
    )


@dataclass(frozen=True)
class CAMOptions(LookOptions):
    """Options of `CAM`; those of its own are what a closed form leaves, see `Solution`."""

    rooted: bool = option(False, "Whether the head reads roots of pooled features.", use="data")
    kept: int = option(0, "Images whose features are kept; 0: a trained head.", use="data")
    summed: bool = option(False, "Whether there are more images than kept ones.", use="data")


METHOD = Method(
    "cam",
    ("classification",),
    "backbone + global average pooling + linear: the baseline with maps",
    CAMOptions,
    "lookcloser.models.cam.model:CAM",
)

METHODS = (METHOD,)
