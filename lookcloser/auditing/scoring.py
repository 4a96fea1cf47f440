"""From measures to one suspicion for each class, and the reasons in words.

Three suspicions, and the class has the largest of them. Each is a chain of which the weakest link
counts.

- **mark**: the same fine detail is at the same place in the class's images and not in those of
  others. Things never are, so that twice the limit alone makes 1: it is in the data, and if this
  model does not depend on it, the next may. Barely above the limit it is flagged only where the
  model depends on it as well: with few images chance goes as far. What is above 1 comes from
  dependence: the class's score falls when the place comes from another image, or rises in other
  images that get it. From the limit "place" on, the mark is said to be used by the model, below
  it to be in the data only.
- **color**: the color along the border hardly varies in the class's images, *and* the score
  depends on the border.
- **context**: carrying the border of the class's images into others makes those the class, far
  more than the borders of other classes do, *and* the class's own images lose without theirs.
  Every thing has typical surroundings, so that this must stand out from the other classes by a
  robust z-score; and most models have a class to which any odd image goes, which gains by every
  strange border but does not lose without its own.

1 is where every link is at its limit in `LIMITS`. A steady color alone counts up to one half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lookcloser.auditing.shares import Floats
from lookcloser.core.results.audit import Level

# Chosen on other seeds, that is other draws of classes, than those in docs/methods/audit.md.
LIMITS = {
    "same detail": 0.1,
    "place": 0.05,
    "same border color": 0.3,
    "border used": 0.1,
    "border lost": 0.3,
    "border carried": 0.3,
    "z": 3.5,
}
_STEADY = 0.03  # differences between classes of this size are no news, however alike the others are
_KNOWN = 0.05  # a class whose score does not stand out by this is not known to the model

EXPLAINED = {
    "score": "mean score of the class on its own images",
    "without attended": "the same with the most attended fifth of each image blurred away",
    "attended alone": "the same with everything else blurred away",
    "border attention": "attention in the frame (an eighth of the side) over its share of the area",
    "corner attention": "the same for the squares of a quarter of the side in the corners",
    "same detail": "correlation of fine detail between images of the class at the place where it "
    "is highest, beyond that with other classes; things give about 0",
    "chance detail": "what that correlation hardly exceeds by chance with so many images",
    "place attention": "attention at that place over its share of the area",
    "place lost": "part of the class's lead that goes when that place comes from another class",
    "place carried": "part of the lead that images of other classes get from that place alone",
    "same border color": "how much less the color of the border varies than in the median class",
    "border lost": "as for the place, for the border of the image",
    "border carried": "as for the place, for the border of the image",
    "kinds": "kinds of places that the class is recognized by",
}


@dataclass(frozen=True)
class Verdict:
    """What `judge` says of one class; ``where`` is "mark" or "border", ``level`` as in an audit."""

    suspicion: float
    level: Level
    where: str
    reasons: tuple[str, ...]


def lead(scores: Floats) -> dict[str, float]:
    """The measures of one class from its re-tests.

    Args:
        scores: (N, 8), as `retest` gives them.
    """
    whole, removed, kept, mark_out, mark_in, frame_out, frame_in, other = _means(scores)
    gap = whole - other
    known = np.isfinite(gap) and gap >= _KNOWN

    def part(value: float) -> float:
        return float(value / gap) if known and np.isfinite(value) else 0.0

    return {
        "score": whole,
        "without attended": removed,
        "attended alone": kept,
        "place lost": part(whole - mark_out),
        "place carried": part(mark_in - other),
        "border lost": part(whole - frame_out),
        "border carried": part(frame_in - other),
    }


def robust_z(values: ArrayLike) -> Floats:
    """How far each value is above the median, in robust standard deviations (MAD).

    The deviation is at least `_STEADY`.
    """
    array = np.asarray(values, dtype=np.float64)
    center = np.median(array)
    deviation = 1.4826 * np.median(np.abs(array - center))
    z: Floats = (array - center) / max(float(deviation), _STEADY)
    return z


def judge(measures: Sequence[Mapping[str, float]]) -> list[Verdict]:
    """The verdict on every class from the measures of all."""
    carried = np.array([row["border carried"] for row in measures])
    return [_judge(row, float(z)) for row, z in zip(measures, robust_z(carried), strict=True)]


def _judge(row: Mapping[str, float], border_z: float) -> Verdict:
    used = max(row["place lost"], row["place carried"], 0.0) / LIMITS["place"]
    needed = row["border lost"] / LIMITS["border used"]
    detail = row["same detail"] / max(LIMITS["same detail"], row["chance detail"])
    chains = {
        "mark": min(detail * (1 + min(used, 1)) / 2, 1 + used),
        "color": min(row["same border color"] / LIMITS["same border color"], (1 + needed) / 2),
        "context": min(
            row["border carried"] / LIMITS["border carried"],
            row["border lost"] / LIMITS["border lost"],
            border_z / LIMITS["z"],
        ),
    }
    texts = {
        "mark": f"The same detail is at the same place in its images (correlation "
        f"{row['same detail']:.2f}). With that place taken from another class, "
        f"{row['place lost']:.0%} of its lead is lost; images of other classes get "
        f"{row['place carried']:.0%} of it from that place alone.",
        "color": f"The color along the border varies {row['same border color']:.0%} less than "
        f"in other classes. With the border taken from another class, {row['border lost']:.0%} of "
        "its lead is lost.",
        "context": f"The border of its images alone gives images of other classes "
        f"{row['border carried']:.0%} of its lead, {border_z:.0f} deviations more than usual; "
        f"without it {row['border lost']:.0%} is lost.",
    }
    strongest = max(chains, key=lambda name: chains[name])
    found = [name for name, value in chains.items() if value >= 1]
    # The other two chains reach 1 through dependence only.
    level: Level = "none" if not found else "data" if found == ["mark"] and used < 1 else "model"
    where = "mark" if strongest == "mark" else "border"
    reasons = tuple(texts[name] for name in found)
    return Verdict(float(max(chains[strongest], 0.0)), level, where, reasons)


def _means(scores: Floats) -> list[float]:
    """Means over the images that have a partner, so that all columns are of the same ones."""
    paired = scores[np.isfinite(scores).all(axis=1)]
    if not len(paired):
        return [*scores[:, :3].mean(axis=0).tolist(), *[float("nan")] * 5]
    means: list[float] = paired.mean(axis=0).tolist()
    return means
