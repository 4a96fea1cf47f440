"""From the arrays of a network to pieces of evidence: the same for every method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookcloser.core import boxes as geometry
from lookcloser.core.choices import BoxKind, BoxRule
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import Box, Kind, Label, Region
from lookcloser.metrics.map_boxes import boxes_from_maps
from lookcloser.metrics.maps import relative, upsample_maps
from lookcloser.runtime.outputs import ArrayOutput, Floats

# A few pixels of a map by pixel are many times as strong as all others; see `lookcloser.explain`.
PIXEL_CLIP = 0.99

# What is above the threshold but for rounding, which processors do differently, belongs to a box.
_ROUNDING = 1e-5  # of the threshold


def heatmaps_of(maps: Floats, clip: float = 1.0) -> Floats:
    """Positive evidence relative to each map's own maximum: relu(M) / max(M).

    Args:
        maps: (..., h, w), raw.
        clip: Quantile of the positive evidence that becomes 1, with all above it.

    Returns:
        The same shape in [0, 1]. A map with nothing above zero becomes all zeros, "no evidence";
        it is not stretched into noise.
    """
    positive = np.maximum(maps.astype(np.float32, copy=False), 0)
    highest = positive.max(axis=(-2, -1), keepdims=True)
    if clip < 1:
        ranked = np.sort(positive.reshape(*positive.shape[:-2], -1), axis=-1)
        reach = ranked[..., round(clip * (ranked.shape[-1] - 1))][..., None, None]
        highest = np.where(reach > 0, reach, highest)
    heatmaps: Floats = np.minimum(positive / np.where(highest > 0, highest, np.float32(1)), 1)
    return heatmaps


def map_regions(
    maps: Floats,
    labels: Sequence[Label],
    size: ImageSize,
    grid: Grid,
    threshold: float,
    rule: BoxRule,
    *,
    kind: Kind = "map",
) -> tuple[Region, ...]:
    """One region per class map of one image.

    Args:
        maps: (K, h, w) raw class maps, in the order of ``labels``.
        labels: Whose maps.
        size: Of the original image.
        grid: That of the network's input, at which boxes are cut out.
        threshold: Where a map is cut; what lies above belongs to the box. A map with nothing
            positive has no box, nor has an even one.
        rule: What the threshold is a share of; see `lookcloser.metrics.boxes_from_maps`.
        kind: "map" for classes; "step" and "word" number their regions.

    Maps of single pixels (saliency) get no box: their strong pixels are scattered, and the largest
    component of them means nothing. Their strongest hundredth is drawn alike, as next to it
    nothing else would be seen.
    """
    by_pixel = maps.shape[-2:] == tuple(grid)
    heatmaps = heatmaps_of(maps, PIXEL_CLIP if by_pixel else 1.0)
    if by_pixel:
        found = np.full((len(maps), 4), np.nan)
    else:
        kept = threshold * (1 - _ROUNDING)
        found = boxes_from_maps(relative(upsample(maps, grid), rule), kept)
        # Of an even map, enlarging would leave rounding alone, and a box around some of it.
        even = maps.max(axis=(1, 2)) == maps.min(axis=(1, 2))
        found[even | (heatmaps.max(axis=(1, 2)) == 0)] = np.nan
    return tuple(
        Region(
            kind,
            label.name,
            label.score,
            original_box(box, grid, size),
            heatmap,
            step=None if kind == "map" else step,
        )
        for step, (label, box, heatmap) in enumerate(zip(labels, found, heatmaps, strict=True))
    )


def part_regions(output: ArrayOutput, row: int, label: Label) -> tuple[Region, ...]:
    """One "part" region per attention of one image; none for methods without several."""
    if output.part_maps is None:
        return ()
    return tuple(
        Region("part", label.name, label.score, None, heatmap, step=part)
        for part, heatmap in enumerate(heatmaps_of(output.part_maps[row]))
    )


def scale_regions(
    output: ArrayOutput, row: int, label: Label, size: ImageSize, kind: BoxKind
) -> tuple[Region, ...]:
    """One region per box in [-1, 1] of one image; none for methods without boxes.

    The first scale is the whole image and has no box; places are counted alone. The score is that
    of the scale or place on its own, where it has one.
    """
    if output.boxes is None:
        return ()
    pixels = geometry.to_pixels(output.boxes[row], size)
    scores = scale_scores(output, row, label)
    first = 1 if kind == "scale" else 0
    return tuple(
        Region(kind, label.name, score, as_box(box), step=step)
        for step, (box, score) in enumerate(
            zip(geometry.clip(pixels, size), scores.tolist(), strict=True), first
        )
    )


def scale_scores(output: ArrayOutput, row: int, label: Label) -> NDArray[np.floating]:
    """(S,) how sure the scale of each box of one image is of its best ``label``.

    That is the label's own score where scales have none.
    """
    assert output.boxes is not None  # each has a scale
    scores: Floats
    if output.scale_logits is not None:
        logits = output.scale_logits[row, 1:]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = shares[:, label.index] / shares.sum(axis=1)
        return scores
    if output.box_scores is not None:
        scores = output.box_scores[row]
        return scores
    return np.full(len(output.boxes[row]), label.score)


def upsample(maps: Floats, grid: Grid) -> Floats:
    """(N, h, w) -> (N, H, W) at ``grid``, bicubic as in the reference protocol."""
    return upsample_maps(maps, grid.image_size)


def original_box(box: NDArray[np.floating], grid: Grid, size: ImageSize) -> Box | None:
    """A box on the grid in pixels of the image; None for NaN."""
    if np.isnan(box).any():
        return None
    return as_box(geometry.scale(box, grid.image_size, size))


def as_box(values: NDArray[np.floating]) -> Box:
    """Four numbers as a tuple of plain floats, to a hundredth of a pixel."""
    x0, y0, x1, y1 = (round(float(value), 2) for value in values)
    return x0, y0, x1, y1
