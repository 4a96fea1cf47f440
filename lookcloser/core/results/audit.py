"""What an audit found: classes ranked by how likely their answers are right for a wrong reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lookcloser.core.wording import count, named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookcloser.core.types import Box

Level = Literal["none", "data", "model"]
LEVELS: Mapping[Level, str] = {
    "none": "not flagged",
    "data": "in the data, not used by this model",
    "model": "used by the model",
}


@dataclass(frozen=True, eq=False)
class Look:
    """A kind of place that a class is recognized by: a cluster of its evidence maps.

    Attributes:
        count: How many of the class's images look so.
        heatmap: (h, w) in [0, 1], their mean evidence.
        image: The most typical one: its file, or its pixels (H, W, 3).
        box: The attended part of that image, in its pixels, or None.
    """

    count: int
    heatmap: NDArray[np.float32]
    image: Path | NDArray[np.uint8]
    box: Box | None


@dataclass(frozen=True, eq=False, repr=False)
class AuditedClass:
    """One class.

    Attributes:
        name: The class.
        images: How many of its images were looked at.
        suspicion: 0 is none; from 1 on the class is suspicious.
        level: Where a shortcut was found: "none"; in the "data" alone, so that this model does not
            use it though another may; or used by the "model", whose answers may be right for the
            wrong reason.
        reasons: Why, in sentences; empty where the level is "none".
        measures: Everything measured, by name; see `Audit.explained`.
        heatmap: (h, w) in [0, 1], the mean evidence of the class.
        place: (g, g) the part of the image in question, on a grid over it.
        average: (H, W, 3) the mean of its images: what is the same in all of them stands out.
        looks: The kinds of places it is recognized by, the most frequent first.
    """

    name: str
    images: int
    suspicion: float
    level: Level
    reasons: tuple[str, ...]
    measures: Mapping[str, float]
    heatmap: NDArray[np.float32]
    place: NDArray[np.bool_]
    average: NDArray[np.uint8]
    looks: tuple[Look, ...]

    def __repr__(self) -> str:
        said = f"{count(self.images, 'image')}, suspicion {self.suspicion:.2f}"
        return f"AuditedClass({self.name!r}, {said}, {LEVELS[self.level]})"

    @property
    def flagged(self) -> bool:
        """Whether there is a shortcut at all."""
        return self.level != "none"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without images."""
        return {
            "name": self.name,
            "images": self.images,
            "suspicion": self.suspicion,
            "flagged": self.flagged,
            "level": self.level,
            "reasons": list(self.reasons),
            "measures": dict(self.measures),
            "place": self.place.astype(int).tolist(),
            "looks": [look.count for look in self.looks],
        }


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """All classes, the most suspicious first.

    Attributes:
        split: The split that was looked at.
        classes: Ranked.
        explained: What each measure means, by its name.
        settings: How it was done, in words.
        skipped: (name, reason) of images that could not be read.
    """

    split: str
    classes: tuple[AuditedClass, ...]
    explained: Mapping[str, str]
    settings: Mapping[str, str]
    skipped: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        classes = f"{count(len(self.classes), 'class')} of {self.split}"
        return f"Audit({classes}, flagged: {named(self.flagged) or 'none'})"

    @property
    def flagged(self) -> tuple[str, ...]:
        """The suspicious classes, the most suspicious first."""
        return tuple(found.name for found in self.classes if found.flagged)

    def at(self, level: Level) -> tuple[str, ...]:
        """The classes of one level, the most suspicious first."""
        return tuple(found.name for found in self.classes if found.level == level)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without images."""
        return {
            "split": self.split,
            "flagged": list(self.flagged),
            "classes": [found.to_dict() for found in self.classes],
            "settings": dict(self.settings),
            "skipped": [list(pair) for pair in self.skipped],
        }
