"""From the class maps of the first pass to what the early stage is multiplied by."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.errors import unknown
from lookcloser.core.sizes import Grid
from lookcloser.models.feedback.options import Control, Select


def feedback_attention(
    maps: Tensor, logits: Tensor, size: Grid, select: Select = "soft", *, rim: int = 0
) -> Tensor:
    """Where the first pass found its class, with a mean of 1 over the positions.

    The selected class map is made positive by softplus (close to the map itself where the evidence
    is strong, even where there is none), freed of its rim, enlarged to ``size`` and divided by its
    mean.

    Args:
        maps: Class maps before any softmax, (B, C, h, w).
        logits: Of the same pass, (B, C).
        size: Of the stage that is fed back into.
        select: "soft" weighs the maps by the probabilities, "predicted" takes the best class's.
        rim: Rows and columns on each side of the maps that lie beyond the stage.

    Returns:
        (B, 1, H, W), float32 or better.

    Raises:
        LookcloserError: If ``select`` is unknown.
    """
    return _to_mean_one(F.softplus(selected_map(maps, logits, select)), size, rim)


def control_attention(
    maps: Tensor,
    logits: Tensor,
    size: Grid,
    select: Select,
    control: Control,
    *,
    fresh: bool,
    rim: int = 0,
) -> Tensor:
    """What a control feeds back in the place of `feedback_attention`.

    Args:
        maps: As there.
        logits: As there.
        size: As there.
        select: As there.
        control: "none" is no control but the attention itself. "ones". "shuffled": the attention's
            values at positions drawn by lot. "literal": the form as once written down, the mean
            over the classes of a softmax over the classes, divided by its sum along one axis: 1/h
            everywhere.
        fresh: Whether each image is shuffled anew, as in training, where one and the same order
            could be learned. Otherwise the order is always the same.
        rim: As there.

    Returns:
        (B, 1, H, W).

    Raises:
        LookcloserError: If a name is unknown.
    """
    if control == "none":
        return feedback_attention(maps, logits, size, select, rim=rim)
    if control == "ones":
        return maps.new_ones(maps.shape[0], 1, *size)
    if control == "literal":
        return _laid(_literal(maps), size, rim)
    if control != "shuffled":
        raise unknown(control, "feedback control", get_args(Control))
    positive = F.softplus(selected_map(maps, logits, select))
    return _to_mean_one(_shuffled(positive, fresh=fresh), size, rim)


def selected_map(maps: Tensor, logits: Tensor, select: Select = "soft") -> Tensor:
    """(B, C, h, w) and (B, C) -> (B, 1, h, w), before any softmax, float32 or better."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    if select == "soft":
        # Not an einsum, which autocast would take back to half precision.
        chances = logits.to(maps).softmax(dim=1)
        return (chances[:, :, None, None] * maps).sum(dim=1, keepdim=True)
    if select == "predicted":
        return maps[torch.arange(maps.shape[0], device=maps.device), logits.argmax(dim=1)][:, None]
    raise unknown(select, "way to select the class map", get_args(Select))


def _laid(positive: Tensor, size: Grid, rim: int) -> Tensor:
    """A map without its rim, on the grid of the stage."""
    height, width = positive.shape[2:]
    inside = positive[:, :, rim : height - rim, rim : width - rim]
    return F.interpolate(inside, size, mode="bilinear", align_corners=False)


def _to_mean_one(positive: Tensor, size: Grid, rim: int) -> Tensor:
    enlarged = _laid(positive, size, rim)
    smallest = torch.finfo(enlarged.dtype).tiny
    return enlarged / enlarged.mean(dim=(2, 3), keepdim=True).clamp(min=smallest)


def _shuffled(positive: Tensor, *, fresh: bool) -> Tensor:
    flat = positive.flatten(2)
    if fresh:
        order = torch.rand_like(flat).argsort(dim=2)
    else:
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(flat.shape[2], generator=generator).to(flat.device).expand_as(flat)
    return flat.gather(2, order).view_as(positive)


def _literal(maps: Tensor) -> Tensor:
    average = maps.softmax(dim=1).mean(dim=1, keepdim=True)
    return average / average.sum(dim=2, keepdim=True)
