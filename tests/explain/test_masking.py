"""Occlusion and RISE against loops over single windows and masks."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.explain import masking, occlusion, rise
from lookcloser.explain.rise import random_masks


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (6, 5), (7, 7), (24, 1), (3, 2), (40, 40)])
def test_occlusion_by_hand(model, images, window, stride):
    model.eval()
    falls, covered = np.zeros((4, 24, 32)), np.zeros((24, 32))
    with torch.no_grad():
        base = model(images)[:, 3].numpy()
        top = 0
        while True:
            left = 0
            while True:
                changed = images.clone()
                changed[:, :, top : top + window, left : left + window] = 0
                fall = base - model(changed)[:, 3].numpy()
                falls[:, top : top + window, left : left + window] += fall[:, None, None]
                covered[top : top + window, left : left + window] += 1
                if left + window >= 32:
                    break
                left += stride
            if top + window >= 24:
                break
            top += stride
    found = occlusion(model, images, 3, window=window, stride=stride)
    expected = falls / covered
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


def test_occlusion_finds_the_only_pixels_that_count(images):
    class Corner(torch.nn.Module):
        def forward(self, images):
            corner = images[:, :, :4, :4].sum(dim=(1, 2, 3))
            return torch.stack([corner, -corner], dim=1)

    images = images.abs()
    maps = occlusion(Corner(), images, torch.tensor([[0, 1]] * 4), window=4, stride=4)
    expected = torch.zeros(4, 24, 32)
    expected[:, :4, :4] = images[:, :, :4, :4].sum(dim=(1, 2, 3))[:, None, None]
    torch.testing.assert_close(maps, torch.stack([expected, -expected], dim=1))


def test_occlusion_without_options_covers_the_image(model, images):
    assert torch.isfinite(occlusion(model, images)).all()
    assert occlusion(model, images[:, :, :3, :3]).shape == (4, 3, 3)


@pytest.mark.parametrize("stride", [0, 9])
def test_strides_that_leave_gaps_are_refused(model, images, stride):
    with pytest.raises(
        LookcloserError, match=rf"stride {stride}: leaves gaps. Allowed: 1 … window \(8\)"
    ):
        occlusion(model, images, window=8, stride=stride)


def test_rise_is_the_weighted_mean_of_its_masks(model, images):
    model.eval()
    masks = torch.cat(list(random_masks(20, (24, 32), 5, 0.4, seed=3, block=6)))
    expected = torch.zeros(4, 24, 32)
    for image in range(4):
        for mask in masks:
            with torch.no_grad():
                score = model(images[image : image + 1] * mask).softmax(dim=1)[0, 1]
            expected[image] += score * mask
    found = rise(model, images, 1, masks=20, cells=5, keep=0.4, seed=3)
    torch.testing.assert_close(found, expected / (20 * 0.4))


def test_rise_takes_other_scores(model, images):
    maps = rise(model, images, 1, masks=40, score=torch.sigmoid)
    constant = rise(model, images, 1, masks=40, score=torch.ones_like)
    assert not torch.allclose(maps, constant, rtol=0.05)
    masks = torch.cat(list(random_masks(40, (24, 32), 7, 0.5, seed=0, block=40)))
    torch.testing.assert_close(constant, (masks.mean(dim=0) / 0.5).expand(4, -1, -1))


def test_rise_masks_are_those_of_the_paper():
    masks = torch.cat(list(random_masks(3000, (24, 32), 4, 0.3, seed=0, block=500)))
    assert masks.shape == (3000, 24, 32)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    # Each pixel is kept with probability 0.3 of the mean; three standard deviations.
    assert (masks.mean(dim=0) - 0.3).abs().max() < 3 * masks.std(dim=0).max() / 3000**0.5 + 0.01
    # Smooth: from one pixel to the next no more than a cell's step.
    assert (masks[:, 1:] - masks[:, :-1]).abs().max() <= 1 / 6 + 1e-6
    assert (masks[:, :, 1:] - masks[:, :, :-1]).abs().max() <= 1 / 8 + 1e-6
    # Randomly shifted: the edges between cells do not always fall on the same rows.
    first = masks[:200]
    edges = {
        tuple((mask.diff(dim=0).diff(dim=0).abs().sum(dim=1) > 1e-4).tolist()) for mask in first
    }
    assert len(edges) > 4


def test_rise_masks_do_not_depend_on_the_block():
    def drawn(block, seed=1):
        return torch.cat(list(random_masks(7, (10, 12), 3, 0.5, seed, block)))

    assert torch.equal(drawn(1), drawn(7))
    assert torch.equal(drawn(3), drawn(100))
    assert not torch.equal(drawn(7), drawn(7, seed=2))


def test_one_forward_holds_a_limited_number_of_images(model, images, monkeypatch):
    monkeypatch.setattr(masking, "MOST_IMAGES", 10)
    sizes = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    whole = rise(model, images, 1, masks=9)
    assert max(sizes) == 8
    monkeypatch.setattr(masking, "MOST_IMAGES", 1)
    torch.testing.assert_close(rise(model, images, 1, masks=9), whole)


def test_any_number_of_targets_costs_the_same_forwards(model, images):
    sizes = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    rise(model, images, 1, masks=9)
    once, sizes[:] = sum(sizes), []
    rise(model, images, torch.arange(5).expand(4, 5), masks=9)
    assert sum(sizes) == once


def test_masks_are_enlarged_between_cell_centers():
    # Neither nearest neighbors nor align_corners=True: both move the borders of cells.
    (mask,) = next(iter(random_masks(1, (8, 8), 4, 0.5, seed=3, block=1)))
    generator = torch.Generator().manual_seed(3)
    grid = torch.rand(1, 1, 4, 4, generator=generator).lt(0.5).float()
    top, left = (int(torch.randint(2, (1,), generator=generator)) for _ in range(2))
    expected = F.interpolate(grid, (10, 10), mode="bilinear", align_corners=False)[0, 0]
    assert torch.equal(mask, expected[top : top + 8, left : left + 8])
