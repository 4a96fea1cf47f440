"""Boxcar attention of RA-CNN (Fu et al., CVPR 2017): a soft mask over a box, and crop-and-zoom.

A box is ``(cx, cy, s)``: center and *half*-side in normalized coordinates, which run from -1 at the
left (upper) edge of the image to 1 at the right (lower) edge (``align_corners=False``). The box of
the whole image is (0, 0, 1). The paper's half-side, in units of the width, is ``s / 2``.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.core.choices import GradientMode
from lookcloser.core.errors import unknown
from lookcloser.core.sizes import Grid

SHARPNESS = 10.0
# The released layer adds 0.005 per pixel where its logistic has k = 0.05 per pixel.
SHRINK = 0.1 * SHARPNESS
STEP = 2.0**-10  # of a view's half-side: a quarter of a pixel in an image of 512


def boxcar_mask(boxes: Tensor, size: int | tuple[int, int], sharpness: float = SHARPNESS) -> Tensor:
    """The paper's attention mask: about 1 inside the box, about 0 outside, smooth between.

    ``M(x, y) = [h(x - x0) - h(x - x1)] [h(y - y0) - h(y - y1)]`` with the logistic function
    ``h(x) = 1 / (1 + exp(-k x))``, evaluated at the pixel centers.

    Args:
        boxes: (B, 3), ``(cx, cy, half-side)`` in [-1, 1].
        size: (height, width) of the mask in pixels, or one number for both.
        sharpness: k, per unit of the normalized coordinates. The default belongs to them: in
            pixels the same number leaves a gradient on a pixel or two at each edge.

    Returns:
        (B, 1, H, W), values in (0, 1), differentiable in ``boxes``; at least float32.

    Raises:
        LookcloserError: If ``boxes`` is not (B, 3).
    """
    _check_boxes(boxes)
    height, width = _grid(size)
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
    xs, ys = pixel_centers(width, boxes), pixel_centers(height, boxes)
    return _mask(boxes, xs[None], ys[None], sharpness)


def crop_and_zoom(
    images: Tensor, boxes: Tensor, size: int | tuple[int, int], mode: GradientMode = "grid"
) -> Tensor:
    """Cut each box out of its image and resize it bilinearly to ``size``.

    Every mode has the same forward pass. They differ in the gradient that reaches ``boxes``:

    - ``"grid"``: the true one, through the positions of the bilinear samples.
    - ``"mask"``: that of ``X ⊙ M`` with the sampling positions held still, M being `boxcar_mask`:
      the paper's stand-in for a crop without a gradient. M itself is not multiplied in.
    - ``"saliency"``: the authors' released layer. Per channel ``-|g| / max|g| ⊙ ∂M/∂box``, g the
      gradient at the crop, plus a constant that shrinks the box; averaged over channels and
      positions, where the release sums and scales by 1e-7. It is *not* a gradient of the loss: L
      and -L give the same, and so does any scale of L, which gradient scaling would undo.

    The gradient for ``images`` is the true one in every mode.

    The crop of a box that is not finite is not finite either.

    A source larger than twice the output would lose pixels between the bilinear samples. There the
    samples are taken ``r = ceil(source / (2 output))`` times as densely along that axis and
    averaged, so that they are never more than two source pixels apart. The whole-image box equals
    `torch.nn.functional.interpolate` (bilinear) for r = 1, and its "area" mode where source /
    output = 2 r. Beyond the image's edge the edge pixel is repeated.

    Args:
        images: (B, C, H, W), floating point; the original images, at source resolution.
        boxes: (B, 3), ``(cx, cy, half-side)`` in [-1, 1]. The positions are computed in float32 or
            better: half precision misses by pixels. In float64 for `exact` boxes, as are the crops.
        size: (height, width) of the output in pixels, or one number for both.
        mode: The gradient, see above.

    Returns:
        (B, C, height, width) in the type of ``images``.

    Raises:
        LookcloserError: If shapes or types do not fit, or the mode is unknown.
    """
    _check_images(images, boxes)
    if mode not in get_args(GradientMode):
        raise unknown(mode, "gradient mode", get_args(GradientMode))
    kept = images.dtype
    precise = torch.promote_types(torch.promote_types(kept, boxes.dtype), torch.float32)
    images, boxes = images.to(precise), boxes.to(precise)
    if mode == "grid":
        return _sample(images, boxes, _grid(size)).to(kept)
    crops = _sample(images, boxes.detach(), _grid(size))
    if boxes.requires_grad and mode == "mask":
        mask = _mask_on_crop(boxes, crops.shape)
        crops = crops + crops.detach() * (mask - mask.detach())  # adds 0, with the gradient of X⊙M
    elif boxes.requires_grad:
        crops = _SaliencyGradient.apply(crops, boxes)
    return crops.to(kept)


def compose_boxes(outer: Tensor, inner: Tensor) -> Tensor:
    """``inner``, given inside the crop of ``outer``, in the coordinates ``outer`` is given in.

    ``c = c_outer + s_outer c_inner`` and ``s = s_outer s_inner``: with it every scale of a nested
    attention is cut from the original image instead of from a crop that was resampled before.

    Args:
        outer: (..., 3), ``(cx, cy, half-side)``.
        inner: (..., 3) in the coordinates of the crop, where the crop is [-1, 1].

    Returns:
        (..., 3).
    """
    scale = outer[..., 2:]
    return torch.cat((outer[..., :2] + scale * inner[..., :2], scale * inner[..., 2:]), dim=-1)


def exact(boxes: Tensor) -> Tensor:
    """Boxes in float64, where the device has it: `crop_and_zoom` then computes in it, too.

    In float32 a position in an image of 448 pixels is rounded by 3e-5 of a pixel, in another way
    by each library, and a network enlarges what that changes in a crop.
    """
    return boxes if boxes.device.type == "mps" else boxes.double()


def on_steps(boxes: Tensor) -> Tensor:
    """Boxes (B, 3) inside [-1, 1] on whole `STEP`, without gradient, still inside.

    Float32 differs by less than a millionth of a step from one processor or library to the next.
    So nearly always all of them see the same crop, to the bit.
    """
    half_side = (boxes[:, 2:].detach() / STEP).round().clamp(min=1) * STEP
    center = (boxes[:, :2].detach() / STEP).round() * STEP
    center = torch.minimum(center.abs(), 1 - half_side) * center.sign()
    return torch.cat([center, half_side], dim=1)


def box_corners(boxes: Tensor) -> Tensor:
    """``(cx, cy, half-side)`` -> ``(x0, y0, x1, y1)``, both in [-1, 1]; (..., 3) -> (..., 4)."""
    center, half_side = boxes[..., :2], boxes[..., 2:]
    return torch.cat((center - half_side, center + half_side), dim=-1)


def pixel_centers(count: int, like: Tensor) -> Tensor:
    """Centers of ``count`` pixels side by side in [-1, 1], in the type and place of ``like``."""
    indices = torch.arange(count, device=like.device, dtype=like.dtype)
    return (2 * indices + 1) / count - 1


class _SaliencyGradient(torch.autograd.Function):
    """Identity for the crops; a gradient for the boxes from the size of the crops' gradient."""

    @staticmethod
    def forward(ctx: Any, crops: Tensor, boxes: Tensor) -> Tensor:
        ctx.save_for_backward(boxes)
        return crops.view_as(crops)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        strength = gradient.abs()
        largest = strength.amax(dim=(2, 3), keepdim=True)
        weight = (strength / largest.clamp(min=torch.finfo(strength.dtype).tiny)).mean(1, True)
        with torch.enable_grad():
            boxes = ctx.saved_tensors[0].detach().requires_grad_()
            covered = (weight * _mask_on_crop(boxes, gradient.shape)).mean(dim=(1, 2, 3))
            (towards,) = torch.autograd.grad(covered.sum(), boxes)
        shrink = SHRINK * weight.mean(dim=(1, 2, 3))
        return gradient, torch.stack((-towards[:, 0], -towards[:, 1], shrink - towards[:, 2]), 1)


def _sample(images: Tensor, boxes: Tensor, size: Grid) -> Tensor:
    """The crops; those of boxes that are not finite are not finite either.

    `grid_sample` itself reads pixels of somewhere for such boxes, and on its way back it ends the
    process. Exported graphs have no way back.
    """
    if torch.compiler.is_compiling():
        return _sampled(images, boxes, size)
    finite = boxes.nan_to_num(0.0, 0.0, 0.0)
    lost = (boxes - finite).detach().sum(dim=1)  # 0, NaN or infinity
    return _sampled(images, finite, size) + lost[:, None, None, None]


def _sampled(images: Tensor, boxes: Tensor, size: Grid) -> Tensor:
    finer = (-(-images.shape[2] // (2 * size.rows)), -(-images.shape[3] // (2 * size.columns)))
    height, width = finer[0] * size.rows, finer[1] * size.columns
    # Not affine_grid: its matrix product would run in half precision under autocast.
    xs, ys = _crop_points(boxes, Grid(height, width))
    columns, rows = xs[:, None, :].expand(-1, height, -1), ys[:, :, None].expand(-1, -1, width)
    grid = torch.stack((columns, rows), dim=-1)
    crops = F.grid_sample(images, grid, "bilinear", "border", align_corners=False)
    return crops if finer == (1, 1) else F.avg_pool2d(crops, finer)


def _crop_points(boxes: Tensor, size: Grid) -> tuple[Tensor, Tensor]:
    """Where the pixel centers of the crops lie in the images: x (B, width) and y (B, height)."""
    cx, cy, half_side = boxes[:, 0:1], boxes[:, 1:2], boxes[:, 2:3]
    us, vs = pixel_centers(size.columns, boxes), pixel_centers(size.rows, boxes)
    return cx + half_side * us, cy + half_side * vs


def _mask_on_crop(boxes: Tensor, shape: torch.Size) -> Tensor:
    """The mask at the (fixed) positions of the crop's pixels: (B, 1, h, w)."""
    xs, ys = _crop_points(boxes.detach(), Grid(*shape[-2:]))
    return _mask(boxes, xs, ys, SHARPNESS)


def _mask(boxes: Tensor, xs: Tensor, ys: Tensor, sharpness: float) -> Tensor:
    cx, cy, half_side = boxes[:, 0:1], boxes[:, 1:2], boxes[:, 2:3]
    columns = _boxcar(xs - cx, half_side, sharpness)
    rows = _boxcar(ys - cy, half_side, sharpness)
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def _boxcar(offsets: Tensor, half_side: Tensor, sharpness: float) -> Tensor:
    rise = torch.sigmoid(sharpness * (offsets + half_side))
    return rise - torch.sigmoid(sharpness * (offsets - half_side))


def _grid(size: int | tuple[int, int]) -> Grid:
    return Grid(size, size) if isinstance(size, int) else Grid(*size)


def _check_boxes(boxes: Tensor) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 3:
        raise LookcloserError(
            f"boxes of shape {tuple(boxes.shape)}",
            allowed="Boxes are (B, 3): center x, center y and half-side in [-1, 1].",
        )


def _check_images(images: Tensor, boxes: Tensor) -> None:
    _check_boxes(boxes)
    if images.ndim != 4 or images.shape[0] != boxes.shape[0]:  # len() is a constant in an export
        raise LookcloserError(
            f"images of shape {tuple(images.shape)} with {len(boxes)} boxes",
            allowed="Images are (B, C, H, W), with one box each.",
        )
    if not images.is_floating_point():
        raise LookcloserError(
            f"images of type {images.dtype}",
            allowed="floating point",
            fix="Convert them first, e.g. `images.float() / 255`",
        )
