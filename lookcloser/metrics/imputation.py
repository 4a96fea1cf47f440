"""What takes the place of removed pixels: a plain baseline, or values led in from around them."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from lookcloser.core import LookcloserError
from lookcloser.core.errors import unknown

Baseline = Literal["blur", "mean", "zero"]

# Of the blur: 5 pixels of an image of 224, as in RISE.
_SIGMA = 5 / 224
# Of the residual, relative to that of the start; and a bound for numbers too coarse to reach it.
_TOLERANCE = 1e-6
_ROUNDS = 2000
# Numbers solved for together on a CPU. More leave its caches, and took four times as long for each.
_CACHED = 1 << 18


def baseline_images(images: Tensor, baseline: Baseline | Tensor) -> Tensor:
    """The images without their content.

    Args:
        images: (N, C, H, W).
        baseline: "blur": a Gaussian blur, borders repeated, σ in proportion to the image (5 pixels
            of 224), cut at 3 σ; "mean": the mean of each channel of each image; "zero": zeros in
            the units of ``images``, which for normalized images is the mean color of the data and
            not black; or a tensor that broadcasts to ``images``.

    Returns:
        (N, C, H, W).

    Raises:
        LookcloserError: For another name.
    """
    if isinstance(baseline, Tensor):
        return baseline.to(images).expand_as(images)
    if baseline not in get_args(Baseline):
        raise unknown(baseline, "baseline", get_args(Baseline))
    if baseline == "zero":
        return torch.zeros_like(images)
    if baseline == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    return _blurred(_blurred(images, 2), 3)


def impute_linearly(images: Tensor, gone: Tensor) -> Tensor:
    """Removed pixels as weighted means of their neighbors, all of them at once.

    Each removed pixel becomes the mean of its 8 neighbors, those at the side weighing twice those
    at a corner; neighbors outside the image do not count. Removed neighbors are unknown
    themselves, which makes a sparse linear system for each image. It is symmetric and positive
    definite, and conjugate gradients solve it for many images and all channels together, with sums
    of shifted images in place of a matrix.

    Args:
        images: (N, C, H, W), of any floating type; half precision is computed in float32.
        gone: (N, 1, H, W) booleans: the removed pixels. Each image keeps at least one.

    Returns:
        (N, C, H, W); pixels that were not removed are as they were.

    Raises:
        LookcloserError: If no pixel of an image is left.

    Source: Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
    ICML 2022, section 4 (without the noise).
    """
    if bool(gone.flatten(1).all(dim=1).any()):
        raise LookcloserError("all pixels of an image are removed", allowed="One is kept at least")
    wide = images.dtype if images.dtype == torch.float64 else torch.float32
    count = len(images)
    if images.device.type == "cpu":
        count = max(1, _CACHED // images[0].numel())
    parts = [slice(begin, begin + count) for begin in range(0, len(images), count)]
    return torch.cat([_imputed(images[part].to(wide), gone[part]) for part in parts]).to(images)


def _imputed(images: Tensor, gone: Tensor) -> Tensor:
    here = gone.to(images.dtype)
    weights = _neighbors(torch.ones_like(here))
    kept = images * (1 - here)
    seen = (1 - here).sum(dim=(2, 3), keepdim=True)
    start = here * (kept.sum(dim=(2, 3), keepdim=True) / seen)
    found = _conjugate_gradients(start, here * _neighbors(kept), weights, here)
    return torch.where(gone, found, images)


def _conjugate_gradients(start: Tensor, wanted: Tensor, weights: Tensor, here: Tensor) -> Tensor:
    """The x, zero where ``here`` is, with here · (weights · x - neighbors(x)) = wanted."""

    def applied(x: Tensor) -> Tensor:
        return (weights * x).sub_(_neighbors(x)).mul_(here)

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(2, 3), keepdim=True)

    x = start
    residual = wanted - applied(x)
    direction = residual.clone()
    square = inner(residual, residual)
    enough = square * _TOLERANCE**2
    for _ in range(_ROUNDS):
        left = square > enough
        if not bool(left.any()):
            break
        image = applied(direction)
        bend = inner(direction, image)
        # A system that is solved stays where it is while others go on; it would end in 0 / 0.
        step = torch.where(left & (bend > 0), square / bend.where(bend > 0, 1), 0)
        x.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        before, square = square, inner(residual, residual)
        direction.mul_(square / before.where(before > 0, 1)).add_(residual)
    return x


def _neighbors(x: Tensor) -> Tensor:
    """The sum over 8 neighbors, 1/6 at the sides and 1/12 at the corners, none beyond borders."""
    rows = x / 6
    rows[:, :, 1:].add_(x[:, :, :-1], alpha=1 / 12)
    rows[:, :, :-1].add_(x[:, :, 1:], alpha=1 / 12)
    both = (2 * rows).sub_(x, alpha=1 / 3)
    both[..., 1:] += rows[..., :-1]
    both[..., :-1] += rows[..., 1:]
    return both


def _blurred(images: Tensor, dim: int) -> Tensor:
    """Blurred along one dimension."""
    sigma = _SIGMA * images.shape[dim]
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    last = images.shape[dim] - 1
    places = torch.arange(last + 1)
    result = torch.zeros_like(images)
    for offset, weight in zip(offsets.tolist(), weights.tolist(), strict=True):
        shifted = (places + offset).clamp(0, last).to(images.device)
        result += weight * images.index_select(dim, shifted)
    return result
