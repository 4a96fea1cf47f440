"""Whether a network sees an image up to its borders: of a crop, a map would lie in wrong places."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import watching
from lookcloser.core.sizes import Grid
from lookcloser.explain.context import looking
from lookcloser.explain.outputs import run
from lookcloser.explain.places import Layout, noise_like

_SIDES = ("top", "left", "bottom", "right")
_ROUNDING = 1e-6  # relative to the largest feature


def borders(image: Tensor, grid: Grid) -> Tensor:
    """An image (1, C, H, W) with noise at its top, left, bottom, right, all over, and none: (6, …).

    Noise is a quarter of a place of the ``grid`` wide at the top and left: a crop that takes less
    moves a map by less than is seen. At the bottom and right it is a whole place, since patches
    and strides leave out what is less.
    """
    noise = noise_like(image)
    copies = image.repeat(6, 1, 1, 1)
    copies[4] += noise[0]
    for axis, (pixels, places) in enumerate(zip(image.shape[-2:], grid, strict=True)):
        near, far = max(1, pixels // (4 * places)), -(-pixels // places)
        for number, first, count in ((axis, 0, near), (2 + axis, pixels - far, far)):
            strip = copies[number].narrow(axis + 1, first, count)
            strip += noise[0].narrow(axis + 1, first, count)
    return copies


def check_layer(model: nn.Module, image: Tensor, name: str, layout: Layout) -> None:
    """Raise a `LookcloserError` where a layer's map is of a part of the image; see `check_sides`.

    Args:
        model: Any network.
        image: (1, C, H, W).
        name: Of the layer.
        layout: How its output is read.
    """
    changes: list[Tensor] = []
    last: list[Tensor] = []

    def see(_name: str, _inputs: tuple[Any, ...], output: Any) -> None:
        if layout.fits(output, batch=len(part)):
            last[:] = [changes_of(output.movedim(layout.order[0], 0))]

    layer = dict(model.named_modules())[name]
    with looking(model, image) as own, watching({name: layer}, see):
        copies = borders(own, layout.size)
        for part in (copies[[0, 1, -1]], copies[2:]):  # no more at once than `probes`
            last.clear()
            run(model, part)
            changes += last
    if len(changes) == 2:
        check_sides(model, torch.cat(changes))


def changes_of(output: Tensor) -> Tensor:
    """How much an output (B, ...) differs at most from its last, relative to that: (B - 1,)."""
    values = (output.dequantize() if output.is_quantized else output).detach().float().flatten(1)
    largest = values[-1].abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return torch.stack([(one - values[-1]).abs().max() for one in values[:-1]]) / largest


def check_sides(model: nn.Module, changes: Tensor) -> None:
    """Raise a `LookcloserError` where a side of the image changes nothing of what a layer puts out.

    Args:
        model: Named in the error.
        changes: (5,), `changes_of` a layer's output for `borders`.
    """
    *sides, everywhere = changes.tolist()
    if everywhere <= 1000 * _ROUNDING:
        return  # an answer that hardly knows the image tells nothing
    lost = [name for name, change in zip(_SIDES, sides, strict=True) if change <= _ROUNDING]
    if lost:
        raise LookcloserError(
            f"{type(model).__name__}: looks at a part of the image only (what is at its "
            f"{', '.join(lost)} changes nothing), so its map would be drawn over the wrong places",
            fix="Crop the image as the network does before you give it, or use saliency or "
            "occlusion, whose maps lie on the pixels of the whole image",
        )
