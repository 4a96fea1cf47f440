"""What `cam` is and takes."""

from __future__ import annotations

from lookcloser.models.options import BackboneOptions, Method

METHOD = Method(
    "cam",
    ("classification",),
    "backbone + global average pooling + linear: the baseline with maps",
    BackboneOptions,
    "lookcloser.models.cam.model:CAM",
)

METHODS = (METHOD,)
