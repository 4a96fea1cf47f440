"""What `cam` is and takes."""

from __future__ import annotations

from dataclasses import dataclass

from lookcloser.core.options import option
from lookcloser.models.options import BackboneOptions, Method


@dataclass(frozen=True)
class CAMOptions(BackboneOptions):
    """Options of `CAM`; those of its own are what a closed form leaves, see `Solution`."""

    rooted: bool = option(False, "Whether the head reads roots of pooled features.", use="data")
    kept: int = option(0, "Images whose features are kept; 0: a trained head.", use="data")
    rank: int = option(0, "Directions of the metric of distances; 0: none.", use="data")
    summed: bool = option(False, "Whether there are more images than kept ones.", use="data")


METHOD = Method(
    "cam",
    ("classification",),
    "backbone + global average pooling + linear: the baseline with maps",
    CAMOptions,
    "lookcloser.models.cam.model:CAM",
)

METHODS = (METHOD,)
