"""What a model knows of its own doubt: numbers in its header, see `lookcloser.uncertainty`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COVERAGES = tuple(percent / 100 for percent in range(50, 100))
EVERY_LABEL = 2.0  # a quantile above every score: too few images for the promise
COLDEST, HOTTEST = 1e-3, 1e3  # temperatures


@dataclass(frozen=True)
class Calibration:
    """Numbers beside a model that turn its logits into honest answers.

    Attributes:
        temperature: Logits are divided by it before softmax or sigmoid.
        images: How many images all this was measured on; 0 where nothing was.
        lac: Quantiles of `uncertainty.lac_scores` for each of `COVERAGES`; empty where unknown.
        aps: The same of `uncertainty.aps_scores`.
        evidence: "None of these" below it: the highest logit above the mean of all, see
            `uncertainty.evidence`.
        distance: "None of these" above it: squared Mahalanobis distance to the nearest class.
    """

    temperature: float = 1.0
    images: int = 0
    lac: tuple[float, ...] = ()
    aps: tuple[float, ...] = ()
    evidence: float | None = None
    distance: float | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Calibration:
        """From JSON, where every number must be one that could have been measured.

        Raises:
            KeyError: For a number that is missing.
            TypeError: For what is no number.
            ValueError: For a number that is out of range.
        """
        temperature, images = float(values["temperature"]), int(values["images"])
        lac, aps = (tuple(float(value) for value in values[kind]) for kind in ("lac", "aps"))
        evidence, distance = (_optional(values[kind]) for kind in ("evidence", "distance"))
        in_range = COLDEST / 2 <= temperature <= HOTTEST * 2 and images >= 0
        whole = all(len(kind) in {0, len(COVERAGES)} for kind in (lac, aps))
        sane = all(-1 <= value <= EVERY_LABEL for value in (*lac, *aps))
        finite = all(limit is None or math.isfinite(limit) for limit in (evidence, distance))
        if not (in_range and whole and sane and finite):
            raise ValueError(values)
        return cls(temperature, images, lac, aps, evidence, distance)


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
