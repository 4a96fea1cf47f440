"""Asking again with parts of the image gone, kept alone, or carried into other images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.models import Model

Masks = Tensor  # (B, 1, H, W) booleans

ATTENDED = 0.2  # of the image's area: its most attended places
_COARSE = 6  # what is removed keeps this many shades along each side
MEASURES = ("whole", "removed", "kept", "mark out", "mark in", "frame out", "frame in", "other")


def attended(maps: Tensor, size: Grid) -> Masks:
    """The `ATTENDED` share of each image that has the highest values of a map (B, h, w)."""
    large = F.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)
    flat = large.flatten(1)
    least = flat.topk(max(1, round(ATTENDED * flat.shape[1])), dim=1).values[:, -1]
    return large >= least[:, None, None, None]


def blurred(images: Tensor) -> Tensor:
    """The images with nothing but a few soft shades."""
    coarse = F.adaptive_avg_pool2d(images, _COARSE)
    return F.interpolate(coarse, images.shape[-2:], mode="bilinear", align_corners=False)


def partners(classes: Tensor) -> Tensor:
    """(B,) for each row the next one of another class, cyclically; -1 where there is none."""
    count = len(classes)
    found = torch.full((count,), -1)
    for row in range(count):
        for step in range(1, count):
            other = (row + step) % count
            if classes[other] != classes[row]:
                found[row] = other
                break
    return found


def retest(
    model: Model,
    images: Tensor,
    classes: Tensor,
    maps: Tensor,
    marks: Masks,
    frame: Masks,
) -> Tensor:
    """Scores of each image's class after changes to the image.

    Args:
        model: In evaluation mode.
        images: (B, 3, H, W); a mixture of classes.
        classes: (B,) whose scores.
        maps: (B, h, w) raw maps of these classes.
        marks: (B, 1, H, W) the place in question of each one's class.
        frame: (1, 1, H, W) the border of the image.

    Returns:
        (B, 8) probabilities in the order of `MEASURES`: of the whole image; with the attended
        part blurred away; with all else blurred away; with the content of the place, or the frame,
        of an image of another class ("out"); of that other image with the content from this one
        ("in"); and of that other image as it is. NaN where the batch has no other class.
    """
    seen, soft = attended(maps, Grid(*images.shape[-2:])), blurred(images)
    other = partners(classes).to(images.device)
    theirs = images[other.clamp(min=0)]
    changed = (
        images,
        torch.where(seen, soft, images),
        torch.where(seen, images, soft),
        torch.where(marks, theirs, images),
        torch.where(marks, images, theirs),
        torch.where(frame, theirs, images),
        torch.where(frame, images, theirs),
        theirs,
    )
    scores = torch.stack([_scores(model, some, classes) for some in changed], dim=1)
    scores[other < 0, 3:] = torch.nan
    return scores


def _scores(model: Model, images: Tensor, classes: Tensor) -> Tensor:
    output: Output = model(images, targets=classes[:, None])
    return output.logits.float().softmax(dim=1).gather(1, classes[:, None])[:, 0]
