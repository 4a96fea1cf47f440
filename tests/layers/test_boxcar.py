import math

import pytest
import torch
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.layers import (
    bounded_boxes,
    box_corners,
    boxcar_mask,
    compose_boxes,
    crop_and_zoom,
)
from lookcloser.layers.boxcar import STEP, exact, on_steps

MODES = ("grid", "mask", "saliency")


def noise(*shape: int, seed: int = 0, smooth: int = 0) -> torch.Tensor:
    values = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    for _ in range(smooth):
        values = F.avg_pool2d(F.pad(values, (1, 1, 1, 1), "replicate"), 3, stride=1)
    return values


def some_boxes(count: int, seed: int = 1) -> torch.Tensor:
    raw = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return bounded_boxes(raw)


def box_gradient(
    mode: str, boxes: torch.Tensor, images: torch.Tensor, weight: torch.Tensor, sign: float = 1.0
) -> torch.Tensor:
    boxes = boxes.clone().requires_grad_()
    crops = crop_and_zoom(images, boxes, weight.shape[-2:], mode)
    (gradient,) = torch.autograd.grad(sign * (crops * weight).sum(), boxes)
    return gradient


def logistic(value: float, k: float) -> float:
    return 1 / (1 + math.exp(-k * value))


def literal_mask(x: float, y: float, box: list[float], k: float = 10.0) -> float:
    cx, cy, s = box
    across = logistic(x - (cx - s), k) - logistic(x - (cx + s), k)
    return across * (logistic(y - (cy - s), k) - logistic(y - (cy + s), k))


# The mask


@pytest.mark.parametrize("k", [10.0, 3.0])
def test_mask_is_the_formula(k: float) -> None:
    boxes = some_boxes(3)
    mask = boxcar_mask(boxes, (5, 7), sharpness=k)
    assert mask.shape == (3, 1, 5, 7)
    for b in range(3):
        for row in range(5):
            for column in range(7):
                x, y = (2 * column + 1) / 7 - 1, (2 * row + 1) / 5 - 1
                expected = literal_mask(x, y, boxes[b].tolist(), k)
                assert mask[b, 0, row, column].item() == pytest.approx(expected, abs=1e-12)


def test_default_sharpness_belongs_to_normalized_coordinates() -> None:
    # In [0, 1] the same k gives 0.72 at the center, in pixels 1.0.
    mask = boxcar_mask(torch.tensor([[0.0, 0.0, 0.5]]), 447)[0, 0]
    assert mask[223, 223].item() == pytest.approx(0.973, abs=5e-4)
    assert mask[223, 0].item() == pytest.approx(0.0066, abs=1e-3)
    assert mask[0, 0].item() < 1e-4


def test_mask_moves_by_many_columns_not_by_the_edge_pixels_only() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.5]], dtype=torch.double)
    slope = jacobian(lambda b: boxcar_mask(b, 448)[0, 0, 224], boxes)[:, 0, 0].abs()
    assert (slope > 0.1 * slope.max()).float().mean() > 0.3


def test_mask_only_grows_with_the_side_and_only_at_the_border() -> None:
    boxes = torch.tensor([[0.1, -0.2, 0.6]], dtype=torch.double)
    growth = jacobian(lambda b: boxcar_mask(b, 60)[0, 0], boxes)[:, :, 0, 2]
    assert (growth >= 0).all()
    border = growth[24, round((0.7 + 1) * 30)]
    center = growth[24, 33]
    assert center < 0.05 * border


def test_mask_gradcheck() -> None:
    boxes = some_boxes(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda b: boxcar_mask(b, (6, 5)), (boxes,))


def test_mask_of_half_precision_boxes_is_float32() -> None:
    boxes = torch.tensor([[0.25, 0.5, 0.25]])
    mask = boxcar_mask(boxes.bfloat16(), 9)
    assert mask.dtype == torch.float32
    torch.testing.assert_close(mask, boxcar_mask(boxes, 9))


# The crop, forward


@pytest.mark.parametrize(("source", "size"), [((8, 8), 8), ((8, 12), (5, 19)), ((20, 14), (10, 7))])
def test_whole_image_box_is_plain_resize(
    source: tuple[int, int], size: int | tuple[int, int]
) -> None:
    images = noise(2, 3, *source)
    whole = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.double).expand(2, 3)
    expected = F.interpolate(images, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(crop_and_zoom(images, whole, size), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factors", [(6, 2), (2, 6)])
def test_each_axis_is_sampled_as_densely_as_its_own_source_asks(factors: tuple[int, int]) -> None:
    """A source six times as long needs three samples a pixel, one twice as long needs one."""
    images = noise(1, 3, 5 * factors[0], 7 * factors[1])
    whole = torch.tensor([[0.0, 0.0, 1.0]], dtype=images.dtype)
    expected = F.interpolate(images, (5, 7), mode="area")
    torch.testing.assert_close(crop_and_zoom(images, whole, (5, 7)), expected)


def test_whole_image_box_is_area_resize_where_pixels_would_be_skipped() -> None:
    images = noise(1, 2, 32, 48)
    whole = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.double)
    expected = F.interpolate(images, (8, 12), mode="area")
    torch.testing.assert_close(crop_and_zoom(images, whole, (8, 12)), expected)


def test_box_on_pixel_edges_is_the_slice() -> None:
    images = noise(1, 3, 32, 32)
    # Columns 4..20 and rows 10..26: x first, y second.
    boxes = torch.tensor([[(4 + 20) / 32 - 1, (10 + 26) / 32 - 1, 0.5]], dtype=torch.double)
    torch.testing.assert_close(crop_and_zoom(images, boxes, 16), images[:, :, 10:26, 4:20])
    zoomed = crop_and_zoom(images, boxes, 32)
    loop = F.interpolate(images[:, :, 10:26, 4:20], 32, mode="bilinear", align_corners=False)
    torch.testing.assert_close(zoomed[..., 1:-1, 1:-1], loop[..., 1:-1, 1:-1])


def test_each_image_has_its_own_box() -> None:
    images, boxes = noise(4, 3, 24, 24), some_boxes(4)
    together = crop_and_zoom(images, boxes, 10)
    alone = [crop_and_zoom(images[i : i + 1], boxes[i : i + 1], 10) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_no_source_pixel_is_skipped() -> None:
    """Every pixel inside the box counts; with one bilinear sample per output pixel few would."""
    images = noise(1, 1, 96, 80).requires_grad_()
    boxes = torch.tensor([[0.05, 0.0, 0.9]], dtype=torch.double)
    (counts,) = torch.autograd.grad(crop_and_zoom(images, boxes, 12).sum(), images)
    inside = counts[0, 0, 6:-6, 7:-3]
    assert (inside > 0.2 * inside.mean()).all()


def test_minified_photograph_is_near_the_antialiased_resize() -> None:
    # Sums of noise at every scale have the spectrum of photographs.
    octaves = [F.interpolate(noise(2, 3, n, n, seed=n), 256, mode="nearest") for n in (8, 32, 256)]
    images = octaves[0] + octaves[1] + octaves[2]
    whole = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.double).expand(2, 3)
    best = F.interpolate(images, 40, mode="bilinear", antialias=True)
    plain = F.interpolate(images, 40, mode="bilinear")
    ours = crop_and_zoom(images, whole, 40)
    assert (ours - best).square().mean() < 0.2 * (plain - best).square().mean()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_every_mode_has_the_same_forward(mode: str, dtype: torch.dtype) -> None:
    images, boxes = noise(3, 2, 20, 20).to(dtype), some_boxes(3).float()
    expected = crop_and_zoom(images, boxes, 12)
    crops = crop_and_zoom(images, boxes.requires_grad_(), 12, mode)
    assert crops.dtype == dtype
    assert torch.equal(crops, expected)
    with torch.no_grad():
        assert torch.equal(crop_and_zoom(images, boxes, 12, mode), expected)


def test_positions_keep_their_precision_under_autocast() -> None:
    """A matrix product for the grid would round the positions to half a percent of the image."""
    images, boxes = noise(2, 3, 448, 448).float(), some_boxes(2).float()
    expected = crop_and_zoom(images, boxes, 224)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(crop_and_zoom(images, boxes, 224), expected)


def test_half_precision_images_are_sampled_in_float32() -> None:
    images, boxes = noise(2, 3, 448, 448).bfloat16(), some_boxes(2).bfloat16()
    expected = crop_and_zoom(images.float(), boxes.float(), 224).bfloat16()
    assert torch.equal(crop_and_zoom(images, boxes, 224), expected)


# The crop, backward


@pytest.mark.parametrize("size", [7, (3, 4)])  # as it is, and with several samples per pixel
def test_crop_gradcheck(size: int | tuple[int, int]) -> None:
    images, boxes = noise(2, 2, 11, 13).requires_grad_(), some_boxes(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, b: crop_and_zoom(x, b, size), (images, boxes))


@pytest.mark.parametrize("mode", ["grid", "mask"])
def test_gradient_is_not_zero_and_flips_with_the_loss(mode: str) -> None:
    images, boxes, weight = (
        noise(8, 3, 32, 32, smooth=3),
        some_boxes(8),
        noise(8, 3, 16, 16, seed=5),
    )
    gradient = box_gradient(mode, boxes, images, weight - 0.5)
    assert (gradient.abs() > 1e-6).all()
    flipped = box_gradient(mode, boxes, images, weight - 0.5, sign=-1.0)
    torch.testing.assert_close(flipped, -gradient)


def test_saliency_is_no_gradient_of_the_loss() -> None:
    images, boxes, weight = noise(4, 3, 32, 32), some_boxes(4), noise(4, 3, 16, 16, seed=5) - 0.5
    gradient = box_gradient("saliency", boxes, images, weight)
    assert (gradient.abs() > 1e-6).all()
    torch.testing.assert_close(box_gradient("saliency", boxes, images, weight, -1.0), gradient)
    torch.testing.assert_close(box_gradient("saliency", boxes, images, weight, 1e3), gradient)


def test_mask_gradient_is_that_of_the_masked_image() -> None:
    """Against central differences of the formula, pixel by pixel of the crop."""
    images, boxes, weight = noise(1, 2, 16, 16), some_boxes(1), noise(1, 2, 6, 6, seed=5) - 0.5
    crops, (box,) = crop_and_zoom(images, boxes, 6), boxes.tolist()
    eps = 1e-5
    for index in range(3):
        expected = 0.0
        for row in range(6):
            for column in range(6):
                x = box[0] + box[2] * ((2 * column + 1) / 6 - 1)
                y = box[1] + box[2] * ((2 * row + 1) / 6 - 1)
                ahead, behind = box.copy(), box.copy()
                ahead[index] += eps
                behind[index] -= eps
                slope = (literal_mask(x, y, ahead) - literal_mask(x, y, behind)) / (2 * eps)
                expected += slope * (weight * crops)[0, :, row, column].sum().item()
        gradient = box_gradient("mask", boxes, images, weight)[0, index].item()
        assert gradient == pytest.approx(expected, rel=1e-6)


def test_mask_gradient_agrees_with_masking_at_source_resolution() -> None:
    images, weight = noise(4, 3, 128, 128, smooth=6), noise(4, 3, 64, 64, seed=5, smooth=3) - 0.5
    boxes = some_boxes(4).requires_grad_()
    crops = crop_and_zoom(images * boxcar_mask(boxes, 128), boxes.detach(), 64)
    (expected,) = torch.autograd.grad((crops * weight).sum(), boxes)
    gradient = box_gradient("mask", boxes.detach(), images, weight)
    torch.testing.assert_close(gradient, expected, rtol=0.01, atol=0.01 * expected.abs().max())


def test_saliency_is_the_released_rule() -> None:
    images, boxes, g = noise(1, 2, 16, 16), some_boxes(1), noise(1, 2, 5, 5, seed=5) - 0.5
    (box,), eps, expected = boxes.tolist(), 1e-5, [0.0, 0.0, 0.0]
    for channel in range(2):
        largest = g[0, channel].abs().max().item()
        for row in range(5):
            for column in range(5):
                x = box[0] + box[2] * ((2 * column + 1) / 5 - 1)
                y = box[1] + box[2] * ((2 * row + 1) / 5 - 1)
                strength = abs(g[0, channel, row, column].item()) / largest / (2 * 5 * 5)
                for index in range(3):
                    ahead, behind = box.copy(), box.copy()
                    ahead[index] += eps
                    behind[index] -= eps
                    slope = (literal_mask(x, y, ahead) - literal_mask(x, y, behind)) / (2 * eps)
                    expected[index] -= strength * slope
                expected[2] += strength * 1.0  # a tenth of k
    gradient = box_gradient("saliency", boxes, images, g)[0].tolist()
    assert gradient == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_of_a_box_is_its_own_whatever_the_batch(mode: str) -> None:
    images, boxes, weight = noise(3, 3, 32, 32), some_boxes(3), noise(3, 3, 16, 16, seed=5) - 0.5
    together = box_gradient(mode, boxes, images, weight)
    for row in range(3):
        part = slice(row, row + 1)
        alone = box_gradient(mode, boxes[part], images[part], weight[part])
        torch.testing.assert_close(alone, together[part])


def test_saliency_of_no_gradient_is_zero() -> None:
    images, boxes = noise(2, 3, 16, 16), some_boxes(2)
    gradient = box_gradient("saliency", boxes, images, torch.zeros(2, 3, 8, 8).double())
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("mode", MODES)
def test_images_get_the_true_gradient(mode: str) -> None:
    images, boxes, weight = noise(2, 1, 6, 6), some_boxes(2), noise(2, 1, 4, 4, seed=5)
    images.requires_grad_()
    crops = crop_and_zoom(images, boxes.requires_grad_(), 4, mode)
    (gradient,) = torch.autograd.grad((crops * weight).sum(), images)
    basis = torch.eye(36, dtype=torch.double).reshape(36, 1, 6, 6)
    for b in range(2):
        responses = crop_and_zoom(basis, boxes[b : b + 1].detach().expand(36, 3), 4)
        expected = (responses * weight[b]).sum((1, 2, 3)).reshape(6, 6)
        torch.testing.assert_close(gradient[b, 0], expected)


@pytest.mark.parametrize("mode", ["grid", "mask"])
def test_gradient_steps_move_the_box_onto_a_planted_target(mode: str) -> None:
    """Evidence is positive on the target and negative around it; the loss is what the box holds."""
    starts = 128
    generator = torch.Generator().manual_seed(0)
    target = torch.cat(
        ((torch.rand(starts, 2, generator=generator) * 2 - 1) * 0.6, torch.full((starts, 1), 0.35)),
        1,
    )
    y, x = torch.meshgrid(*2 * [(2 * torch.arange(48) + 1) / 48 - 1], indexing="ij")
    distance = (x - target[:, 0, None, None]) ** 2 + (y - target[:, 1, None, None]) ** 2
    evidence = (torch.exp(-distance / (2 * 0.4**2)) - math.exp(-(0.35**2) / (2 * 0.4**2)))[:, None]

    raw = torch.randn(starts, 3, generator=generator).requires_grad_()
    before = overlap(bounded_boxes(raw), target)
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(120):
        boxes = bounded_boxes(raw)
        held = crop_and_zoom(evidence, boxes, 16, mode).mean((1, 2, 3)) * boxes[:, 2] ** 2
        optimizer.zero_grad()
        (-held.sum()).backward()
        optimizer.step()
    after = overlap(bounded_boxes(raw), target)
    assert (before > 0.5).float().mean() < 0.15
    assert (after > 0.5).float().mean() >= 0.95


def overlap(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """IoU, box by box."""
    a, b = box_corners(first), box_corners(second)
    shared = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    intersection = shared.clamp(min=0).prod(1)
    return intersection / (4 * first[:, 2] ** 2 + 4 * second[:, 2] ** 2 - intersection)


@pytest.mark.parametrize("mode", MODES)
def test_export_keeps_the_batch_open(mode: str) -> None:
    class Crop(torch.nn.Module):
        def forward(self, images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
            return crop_and_zoom(images, boxes, 6, mode)

    images, boxes = noise(5, 3, 20, 20), some_boxes(5)
    dimension = torch.export.Dim("batch", min=1, max=8)
    exported = torch.export.export(
        Crop(), (images[:2], boxes[:2]), dynamic_shapes=({0: dimension}, {0: dimension})
    )
    torch.testing.assert_close(exported.module()(images, boxes), crop_and_zoom(images, boxes, 6))


# Boxes


def test_corners() -> None:
    corners = box_corners(torch.tensor([[0.25, -0.5, 0.125]]))
    assert corners.tolist() == [[0.125, -0.625, 0.375, -0.375]]


def test_composed_box_is_the_box_within_the_box() -> None:
    outer, inner = torch.tensor([[0.5, -0.25, 0.5]]), torch.tensor([[-0.5, 0.5, 0.25]])
    composed = compose_boxes(outer, inner)
    assert composed.tolist() == [[0.25, 0.0, 0.125]]
    whole = torch.tensor([[0.0, 0.0, 1.0]])
    assert torch.equal(compose_boxes(whole, inner), inner)
    assert torch.equal(compose_boxes(outer, whole), outer)


def test_composed_crop_is_the_crop_of_the_crop_but_keeps_detail() -> None:
    outer = torch.tensor([[0.2, -0.1, 0.5]], dtype=torch.double)
    inner = torch.tensor([[-0.3, 0.4, 0.3]], dtype=torch.double)
    ramp = torch.arange(64, dtype=torch.double).expand(1, 1, 64, 64)
    direct = crop_and_zoom(ramp, compose_boxes(outer, inner), 16)
    torch.testing.assert_close(direct, crop_and_zoom(crop_and_zoom(ramp, outer, 32), inner, 16))

    stripes = (torch.arange(64) // 2 % 2).double().expand(1, 1, 64, 64)
    direct = crop_and_zoom(stripes, compose_boxes(outer, inner), 16)
    twice = crop_and_zoom(crop_and_zoom(stripes, outer, 16), inner, 16)
    assert direct.std() > 2 * twice.std()


# Errors


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 4), r"Boxes of shape \(2, 4\).*half-side"),
        (torch.zeros(3, 4, 4), torch.zeros(2, 3), r"Images of shape \(3, 4, 4\) with 2 boxes"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(1, 3), r"with 1 boxes"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(1, 3), "torch.uint8.*255"),
    ],
)
def test_wrong_inputs_are_named(images: torch.Tensor, boxes: torch.Tensor, message: str) -> None:
    with pytest.raises(LookcloserError, match=message):
        crop_and_zoom(images, boxes, 4)


def test_unknown_mode_is_named() -> None:
    with pytest.raises(LookcloserError, match="gird: unknown gradient mode. Close: grid"):
        crop_and_zoom(torch.zeros(1, 1, 4, 4), torch.zeros(1, 3), 4, "gird")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_boxes_that_are_no_numbers_give_no_crop_and_do_not_end_the_process(mode, value):
    """Before, torch ended the process on its way back, and gave a crop of somewhere."""
    images = noise(2, 3, 16, 16).float().requires_grad_()
    boxes = torch.tensor([[0.0, 0.1, 0.5], [0.1, value, 0.5]]).requires_grad_()
    crops = crop_and_zoom(images, boxes, 8, mode)
    alone = crop_and_zoom(images[:1], boxes[:1], 8, mode)
    assert torch.equal(crops[:1], alone)
    assert not torch.isfinite(crops[1]).any()
    crops.sum().backward()
    assert torch.isfinite(images.grad[0]).all()
    assert torch.isfinite(boxes.grad[0]).all()


# What does not depend on the library


def test_a_crop_at_exact_boxes_is_as_near_as_float32_can_hold_it() -> None:
    """Positions in float32 are rounded by 1e-5 of a pixel here, which a steep image shows."""
    images = torch.rand(2, 1, 448, 448, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.1, -0.2, 0.31], [-0.3, 0.05, 0.47]])
    true = crop_and_zoom(images.double(), boxes.double(), 96)
    errors = [
        (crop_and_zoom(images, given, 96) - true).abs().max() for given in (exact(boxes), boxes)
    ]
    assert errors[0] <= torch.finfo(torch.float32).eps / 2 < errors[1] / 10
    assert crop_and_zoom(images, exact(boxes), 96).dtype == torch.float32


def test_exact_boxes_are_those_that_the_device_can_hold() -> None:
    assert exact(torch.zeros(1, 3)).dtype == torch.float64
    assert exact(torch.zeros(1, 3, dtype=torch.float16)).dtype == torch.float64


def test_boxes_on_steps_are_inside_and_half_a_step_away_at_most() -> None:
    boxes = some_boxes(200).float()
    steps = on_steps(boxes)
    assert (steps / STEP == (steps / STEP).round()).all()
    assert (steps[:, :2].abs() + steps[:, 2:] <= 1).all()
    # A center is half a step away, and moved once more where a larger half-side needs the room.
    assert (steps - boxes).abs().max() <= STEP
    assert (steps - boxes)[:, 2].abs().max() <= STEP / 2


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        ([0.5, -0.5, 0.5], [0.5, -0.5, 0.5]),
        ([0.9, 0.0, 1e-9], [922 * STEP, 0.0, STEP]),  # never empty
        ([0.6 + 0.4 * STEP, 0.0, 0.4], [1 - 410 * STEP, 0.0, 410 * STEP]),
    ],
)
def test_steps_of_single_boxes(box: list[float], expected: list[float]) -> None:
    assert on_steps(torch.tensor([box])).tolist() == [expected]


def test_steps_have_no_gradient() -> None:
    boxes = some_boxes(2).requires_grad_()
    assert not on_steps(boxes).requires_grad
