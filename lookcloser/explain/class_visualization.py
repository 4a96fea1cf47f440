"""Class visualization: an image that a network takes for a class."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.errors import LookcloserError
from lookcloser.core.options import whole
from lookcloser.core.sizes import Grid
from lookcloser.explain.context import at_least, seeded
from lookcloser.explain.pixels import pixel_slopes
from lookcloser.explain.targets import check_whole, numbers


def class_visualization(
    model: nn.Module,
    targets: int | Sequence[int] | Tensor,
    size: Grid = Grid(224, 224),
    *,
    steps: int = 150,
    rate: float = 0.05,
    l2: float = 1e-3,
    jitter: int = 16,
    blur: float = 0.5,
    blur_every: int = 10,
    scales: Sequence[float] = (0.5, 0.75, 1.0),
    bounds: tuple[float, float] = (-2.0, 2.0),
    seed: int = 0,
) -> Tensor:
    """Images by gradient ascent on S_c(x) - l2 ‖x‖² (Simonyan et al., 2014; Yosinski et al., 2015).

    Each step moves an image, shifted at random (jitter), along its own gradient; from time to time
    it is blurred. It grows from the smallest scale to the largest.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        targets: The class of every image: an int for one image, or (B,).
        size: Rows and columns of the result.
        steps: Gradient steps in all, shared out over the scales.
        rate: Length of a step, as root mean square over the values of an image.
        l2: Weight of the squared norm.
        jitter: Largest shift in pixels at full size, the image wrapping around.
        blur: Standard deviation in pixels; 0 leaves the blurring out.
        blur_every: Steps from one blur to the next.
        scales: Sizes to pass through, as shares of ``size``, rising to 1. A network of one fixed
            input size wants ``(1.0,)``.
        bounds: Lowest and highest value of the network's input. The default is about the range of
            images normalized with the mean and deviation of ImageNet.
        seed: Of the first noise and of the shifts; the global random state is not touched. An
            image does not depend on the others of the batch.

    Returns:
        (B, 3, H, W), float32, in the network's input space, on the device of its parameters.

    Raises:
        LookcloserError: For targets that are not (B,) or out of range, for scales that do not
            rise to 1, and for options out of range.
    """
    wanted = _checked(targets, scales)
    size = _size(size)
    whole(0, steps=steps, jitter=jitter)
    whole(1, blur_every=blur_every)
    at_least(0, rate=rate, l2=l2, blur=blur)
    low, high = _bounds(bounds)
    generator = seeded(seed)
    home = next(iter(model.parameters()), torch.zeros(()))
    noise = 0.01 * torch.randn(1, 3, *size, generator=generator)
    images = noise.to(home).repeat(len(wanted), 1, 1, 1)
    for number in range(steps):
        scale = scales[-1 - (steps - 1 - number) * len(scales) // steps]  # the last step at 1
        if tuple(images.shape[-2:]) != _scaled(size, scale):
            images = F.interpolate(images, _scaled(size, scale), mode="bilinear")
        reach = round(jitter * scale)
        shift = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
        uphill = _uphill(model, images, wanted, shift, l2)
        images = (images + (rate * uphill).to(images)).clamp(low, high)
        if blur and (number + 1) % blur_every == 0:
            images = _blurred(images, blur)
    return images.float()


def _checked(targets: int | Sequence[int] | Tensor, scales: Sequence[float]) -> Tensor:
    """Targets as (B,)."""
    wanted = numbers(targets)
    if wanted.ndim > 1 or wanted.numel() == 0:
        raise LookcloserError(f"targets of shape {tuple(wanted.shape)}", allowed="An int or (B,)")
    check_whole(wanted)
    shares = list(scales) if isinstance(scales, list | tuple) else []
    numbered = all(isinstance(share, Real) and 0 < float(share) <= 1 for share in shares)
    if not (shares and numbered and shares[-1] == 1 and shares == sorted(shares)):
        raise LookcloserError(f"scales = {scales!r:.60}", allowed="Shares that rise to 1")
    return wanted.reshape(-1)


def _size(size: Any) -> Grid:
    """Rows and columns."""
    if not (isinstance(size, list | tuple) and len(size) == 2):
        raise LookcloserError(f"size = {size!r:.60}", allowed="(rows, columns)")
    whole(1, rows=size[0], columns=size[1])
    return Grid(*size)


def _bounds(bounds: Any) -> tuple[float, float]:
    """The lowest and the highest value."""
    pair = isinstance(bounds, list | tuple) and len(bounds) == 2
    if not (pair and all(isinstance(one, Real) for one in bounds) and bounds[0] < bounds[1]):
        raise LookcloserError(f"bounds = {bounds!r:.60}", allowed="(lowest, highest)")
    return float(bounds[0]), float(bounds[1])


def _uphill(
    model: nn.Module, images: Tensor, wanted: Tensor, shift: list[int], l2: float
) -> Tensor:
    """Gradient of S_c(shifted x) - l2 ‖x‖² at each image, its root mean square made 1."""
    slopes, _ = pixel_slopes(model, images.roll(shift, (2, 3)), wanted)
    slopes = slopes[:, 0].roll([-shift[0], -shift[1]], (2, 3)) - 2 * l2 * images
    length = slopes.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return slopes / length.where(length > 0, 1.0)


def _scaled(size: Grid, scale: float) -> Grid:
    return Grid(*(max(1, round(side * scale)) for side in size))


def _blurred(images: Tensor, deviation: float) -> Tensor:
    # Imported here: the other views need no torchvision, whose import takes a second.
    from torchvision.transforms.v2.functional import gaussian_blur

    width = 2 * max(1, round(3 * deviation)) + 1
    blurred: Tensor = gaussian_blur(images, [width, width], [deviation, deviation])
    return blurred
