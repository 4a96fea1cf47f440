"""Boxes from maps: cut at a share of their maximum, or of their range."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core import LookcloserError
from lookcloser.core.choices import BoxRule
from lookcloser.core.errors import unknown
from lookcloser.metrics.level_sets.labels import label, largest_box
from lookcloser.metrics.maps import as_maps

Component = Literal["largest", "peak"]


def boxes_from_maps(
    maps: ArrayLike,
    threshold: float = 0.2,
    component: Component = "largest",
    rule: BoxRule = "max",
) -> NDArray[np.float64]:
    """One box for each map: around the pixels that are high enough.

    Args:
        maps: (N, h, w), as they are. Negative values are no evidence: a map with nothing above zero
            has no box, whatever the rule.
        threshold: A share, above 0 and at most 1.
        component: "largest": the 8-connected component with the most pixels (the paper; of equals
            the first in reading order); "peak": the component of the maximum.
        rule: What the share is of. "max" (the paper): pixels from ``threshold · max`` on; "range":
            from ``min + threshold · (max - min)`` on, as the published scoring protocol cuts
            (Choe et al., CVPR 2020). They are the same where the lowest value is 0; below a
            negative one "range" cuts lower, above a positive one higher. A constant map has no
            range, and no box by "range".

    Returns:
        (N, 4) boxes x0, y0, x1, y1 in pixels of the maps, x1 and y1 exclusive. NaN where a map has
        no positive value, or a NaN.

    Raises:
        LookcloserError: If the threshold, the component or the rule is another one.

    Source: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016,
    section 3.2.
    """
    if not 0 < threshold <= 1:
        raise LookcloserError(f"threshold = {threshold}", allowed="Above 0 and at most 1")
    if component not in get_args(Component):
        raise unknown(component, "component", get_args(Component))
    if rule not in get_args(BoxRule):
        raise unknown(rule, "box rule", get_args(BoxRule))
    array = as_maps(maps)
    boxes = np.full((len(array), 4), np.nan)
    for box, values in zip(boxes, array, strict=True):
        lowest, highest = values.min() if rule == "range" else 0.0, values.max()
        if not highest > max(lowest, 0):
            continue
        kept = values >= lowest + threshold * (highest - lowest)
        if component == "peak":
            labels = label(kept)
            kept = labels == labels.flat[values.argmax()]
        box[:] = largest_box(kept) + np.array([0, 0, 1, 1])
    return boxes


def box_from_map(
    array: ArrayLike,
    threshold: float = 0.2,
    component: Component = "largest",
    rule: BoxRule = "max",
) -> tuple[float, float, float, float] | None:
    """The box of one map (h, w), or None where `boxes_from_maps` gives NaN. Arguments as there."""
    box = boxes_from_maps(np.asarray(array)[None], threshold, component, rule)[0]
    if np.isnan(box[0]):
        return None
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1
