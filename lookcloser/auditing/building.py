"""The measures of one class, and what a report shows of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lookcloser.auditing.clusters import clusters
from lookcloser.auditing.collect import Collected
from lookcloser.auditing.sameness import ring
from lookcloser.auditing.scoring import EXPLAINED, Verdict, lead
from lookcloser.auditing.shares import Floats, border_lift, corner_lift, lift
from lookcloser.core.header import ModelHeader
from lookcloser.core.results.audit import AuditedClass, Look
from lookcloser.core.types import Label
from lookcloser.data import Sample
from lookcloser.runtime.regions import map_regions

Zones = NDArray[np.bool_]

_CUT = 0.6  # of a map's range: around the strongest evidence only, for crops


def measure(own: Zones, density: Floats, mark: Zones, scores: Floats) -> dict[str, float]:
    """The measures of one class.

    Args:
        own: (N,) whether a row is of the class.
        density: (N, h, w) evidence of all rows.
        mark: (g, g) the cells whose detail stays the same.
        scores: (N, 8) re-tests of all rows.
    """
    measures = lead(scores[own])
    measures["border attention"] = float(border_lift(density[own]).mean())
    measures["corner attention"] = float(corner_lift(density[own]).mean())
    per_cell = _on_grid(density[own].mean(axis=0), mark.shape)
    measures["place attention"] = float(lift(per_cell[None], mark.astype(np.float64))[0])
    return measures


def _on_grid(density: Floats, shape: tuple[int, ...]) -> Floats:
    maps = torch.from_numpy(density)[None, None]
    cells: Floats = F.interpolate(maps, shape, mode="bilinear", align_corners=False)[0, 0].numpy()
    return cells


def build(
    samples: Sequence[Sample],
    found: Collected,
    density: Floats,
    header: ModelHeader,
    index: int,
    measures: dict[str, float],
    verdict: Verdict,
    mark: Zones,
) -> AuditedClass:
    """The class ``index`` with its images; arguments as `measure`, ``samples`` by row."""
    rows = np.flatnonzero(found.classes == index)
    kinds = clusters(density[rows])
    measures["kinds"] = float(len(kinds))
    label = Label(header.names[index], measures["score"], index)
    looks = []
    for kind in kinds:
        row = rows[kind.typical]
        (region,) = map_regions(
            found.maps[row : row + 1],
            [label],
            found.sizes[row],
            header.preprocessing.size,
            _CUT,
            "range",
        )
        mean = density[rows[kind.members]].mean(axis=0)
        typical = samples[found.rows[row]].source
        looks.append(Look(len(kind.members), _heat(mean), typical, region.box))
    return AuditedClass(
        name=header.names[index],
        images=len(rows),
        suspicion=round(verdict.suspicion, 4),
        level=verdict.level,
        reasons=verdict.reasons,
        measures={name: round(measures[name], 4) for name in EXPLAINED},
        heatmap=_heat(density[rows].mean(axis=0)),
        place=mark if verdict.where == "mark" else ring(),
        average=found.averages[index],
        looks=tuple(looks),
    )


def _heat(density: Floats) -> NDArray[np.float32]:
    highest = density.max()
    heat: NDArray[np.float32] = (density / (highest or 1.0)).astype(np.float32)
    return heat
