"""Baselines, and imputation against a direct solution of the written equations and a peer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from lookcloser.core import LookcloserError
from lookcloser.metrics import imputation
from lookcloser.metrics.imputation import baseline_images, impute_linearly


def imputed_slowly(image, gone):
    """One channel: one dense equation per removed pixel, solved at once."""
    height, width = image.shape
    places = [tuple(place) for place in np.argwhere(gone)]
    matrix, right = np.zeros((len(places), len(places))), np.zeros(len(places))
    for row, (y, x) in enumerate(places):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                other = (y + dy, x + dx)
                if other == (y, x) or not (0 <= other[0] < height and 0 <= other[1] < width):
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                matrix[row, row] += weight
                if gone[other]:
                    matrix[row, places.index(other)] -= weight
                else:
                    right[row] += weight * image[other]
    result = image.copy()
    result[gone] = np.linalg.solve(matrix, right)
    return result


def pictures(count, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator, dtype=torch.float64)
    gone = torch.rand(count, 1, height, width, generator=generator) < 0.6
    gone[0, :, 2:-2] = True
    gone[:, :, -1, -1] = False
    return images, gone


def test_imputation_solves_the_equations():
    images, gone = pictures(4, 9, 7)
    found = impute_linearly(images, gone)
    for image, mask, result in zip(images.numpy(), gone.numpy(), found.numpy(), strict=True):
        for channel, values in zip(image, result, strict=True):
            np.testing.assert_allclose(values, imputed_slowly(channel, mask[0]), atol=1e-5)
    np.testing.assert_array_equal(found[~gone.expand_as(found)], images[~gone.expand_as(images)])


# The peer hands a tensor to numpy.argwhere.
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
def test_imputation_agrees_with_grad_cams():
    images, gone = pictures(2, 24, 30, seed=1)
    for image, mask, found in zip(images, gone, impute_linearly(images, gone), strict=True):
        kept = (~mask[0]).float()
        expected = NoisyLinearImputer(noise=0.0)(image.float(), kept)
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=1e-4)


def test_each_image_is_solved_by_itself(monkeypatch):
    """In parts or at once, beside a solved image or a hard one, in any precision."""
    images, gone = pictures(5, 16, 16, seed=2)
    gone[3] = False
    whole = impute_linearly(images, gone)
    torch.testing.assert_close(whole[3], images[3], rtol=0, atol=0)
    monkeypatch.setattr(imputation, "_CACHED", 1)
    torch.testing.assert_close(impute_linearly(images, gone), whole, rtol=0, atol=1e-4)
    for dtype, close in ((torch.float32, 1e-4), (torch.bfloat16, 0.05)):
        found = impute_linearly(images.to(dtype), gone)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), whole, rtol=0, atol=close)


def test_a_solved_image_waits_for_a_hard_one():
    """Going on where nothing is left to solve ended in 0 / 0."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(9, 3, 64, 64, generator=generator)
    ranks = torch.randperm(64 * 64, generator=generator).view(1, 64, 64)
    gone = torch.stack([ranks < count for count in (200, 409, 819, 1228, 1638, 2048, 2867, 3686)])
    hard = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    hard[..., 0, 0] = False
    together = impute_linearly(images, torch.cat((gone, hard)))
    for row in range(8):
        alone = impute_linearly(images[row : row + 1], gone[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-4)


def test_a_plane_is_continued_and_a_constant_kept():
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    plane = (2 * x - 3 * y)[None, None]
    gone = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    gone[..., 3:9, 2:10] = True
    torch.testing.assert_close(impute_linearly(plane, gone), plane, rtol=0, atol=1e-4)
    constant = torch.full((1, 2, 12, 12), 7.0)
    torch.testing.assert_close(impute_linearly(constant, ~gone), constant, rtol=1e-4, atol=0)


def test_an_image_without_pixels_is_an_error():
    with pytest.raises(LookcloserError, match="All pixels of an image are removed"):
        impute_linearly(torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3, dtype=torch.bool))


def test_plain_baselines():
    images = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0)) + 1
    assert baseline_images(images, "zero").abs().max() == 0
    mean = baseline_images(images, "mean")
    assert mean.shape == images.shape
    for i in range(2):
        for c in range(3):
            expected = images[i, c].sum() / 30
            torch.testing.assert_close(mean[i, c], expected.expand(6, 5))
    own = baseline_images(images, torch.tensor([1.0, 2.0, 3.0])[:, None, None])
    assert own[1, :, 4, 4].tolist() == [1, 2, 3]
    with pytest.raises(LookcloserError, match="Close: blur"):
        baseline_images(images, "blurr")


def test_blur_is_a_gaussian_with_repeated_borders():
    image = torch.rand(1, 1, 45, 67, generator=torch.Generator().manual_seed(0)).double()
    found = baseline_images(image, "blur")[0, 0].numpy()

    def weights(size):
        sigma = 5 * size / 224
        radius = round(3 * sigma)
        each = [np.exp(-(i**2) / (2 * sigma**2)) for i in range(-radius, radius + 1)]
        return radius, np.array(each) / sum(each)

    (ry, wy), (rx, wx) = weights(45), weights(67)
    padded = np.pad(image[0, 0].numpy(), ((ry, ry), (rx, rx)), mode="edge")
    for y, x in ((0, 0), (20, 30), (44, 66), (44, 0)):
        window = padded[y : y + 2 * ry + 1, x : x + 2 * rx + 1]
        assert found[y, x] == pytest.approx(wy @ window @ wx, abs=1e-6)
    torch.testing.assert_close(
        baseline_images(torch.full((1, 1, 9, 9), 3.0), "blur"), torch.full((1, 1, 9, 9), 3.0)
    )
