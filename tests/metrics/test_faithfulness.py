"""Deletion, insertion and ROAD against one image and one step at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lookcloser.core import LookcloserError
from lookcloser.metrics import faithfulness
from lookcloser.metrics.faithfulness import (
    FaithfulnessCurve,
    deletion,
    insertion,
    pixel_ranks,
    road,
)
from lookcloser.metrics.imputation import baseline_images, impute_linearly

SIDE = 8


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4),
        nn.Softmax(dim=1),
    ).eval()  # fmt: skip


def data(count=5, seed=0):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.standard_normal((count, 3, SIDE, SIDE)).astype(np.float32))
    return images, rng.random((count, SIDE, SIDE)), rng.integers(0, 4, count)


def changed_slowly(image, other, order, number):
    """``image`` with the first ``number`` pixels of ``order`` taken from ``other``."""
    result = image.clone()
    for place in order[:number]:
        y, x = divmod(int(place), SIDE)
        result[:, y, x] = other[:, y, x]
    return result


def curve_slowly(model, start, end, maps, targets, steps):
    scores, hits = [], []
    for image, other, array, target in zip(start, end, maps, targets, strict=True):
        order = np.argsort(-array.ravel())
        row = []
        for step in range(steps + 1):
            changed = changed_slowly(image, other, order, round(step / steps * SIDE * SIDE))
            with torch.no_grad():
                row.append(model(changed[None])[0])
        scores.append([float(answer[target]) for answer in row])
        hits.append([int(answer.argmax()) == target for answer in row])
    return np.array(scores), np.array(hits)


@pytest.mark.parametrize("baseline", ["blur", "mean", "zero"])
def test_deletion_and_insertion_one_by_one(baseline):
    model, (images, maps, targets) = network(), data()
    empty = baseline_images(images, baseline)
    for function, start, end in ((deletion, images, empty), (insertion, empty, images)):
        found = function(model, images, maps, targets, baseline=baseline, steps=6, batch_size=4)
        scores, hits = curve_slowly(model, start, end, maps, targets, 6)
        np.testing.assert_allclose(found.scores, scores, atol=1e-6)
        np.testing.assert_array_equal(found.hits, hits)
        np.testing.assert_allclose(found.shares, np.arange(7) / 6)
        np.testing.assert_allclose(found.accuracy(), hits.mean(axis=0))
        areas = [np.trapezoid(row, dx=1 / 6) for row in scores]
        np.testing.assert_allclose(found.auc(), areas, atol=1e-6)


def test_area_is_the_mean_height():
    curve = FaithfulnessCurve(
        np.array([0.2, 0.4, 0.8]), np.array([[1.0, 0.0, 0.5]]), np.zeros((1, 3), bool)
    )
    assert curve.auc() == pytest.approx([(0.5 * 0.2 + 0.25 * 0.4) / 0.6])


def spot_detector(images):
    """Probability of class 1: how bright the spot at rows 2–3, columns 5–6 is."""
    bright = images[:, 0, 2:4, 5:7].mean(dim=(1, 2)).clamp(0, 1)
    return torch.stack([1 - bright, bright], dim=1)


def test_the_right_map_wins():
    images = torch.zeros(1, 1, SIDE, SIDE)
    images[..., 2:4, 5:7] = 1
    right = images[:, 0].numpy()
    options = {"baseline": "zero", "steps": 16}
    best = deletion(spot_detector, images, right, [1], **options)
    worst = deletion(spot_detector, images, -right, [1], **options)
    assert best.scores[0].tolist() == [1.0] + [0.0] * 16
    assert best.auc() == 1 / 32
    assert worst.auc() == 31 / 32
    assert insertion(spot_detector, images, right, [1], **options).auc() == 31 / 32
    shares = [4 / 64, 0.5]
    found = road(spot_detector, images, right, [1], shares=shares, noise=0.0)
    assert found.most.scores == pytest.approx(np.zeros((1, 2)), abs=1e-5)
    assert found.least.scores == pytest.approx(np.ones((1, 2)), abs=1e-5)
    assert found.score() == pytest.approx([0.5], abs=1e-5)


def test_road_one_by_one():
    model, (images, maps, targets) = network(1), data(4, seed=1)
    shares = (0.1, 0.45, 0.9)
    found = road(model, images, maps, targets, shares=shares, noise=0.3, seed=7, batch_size=5)
    grain = 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(7))
    for curve, sign in ((found.most, -1), (found.least, 1)):
        for i, array in enumerate(maps):
            order = np.argsort(sign * array.ravel())
            for j, share in enumerate(shares):
                gone = torch.zeros(SIDE * SIDE, dtype=torch.bool)
                gone[order[: round(share * SIDE * SIDE)].copy()] = True
                gone = gone.view(1, 1, SIDE, SIDE)
                clean = impute_linearly(images[i : i + 1], gone)
                with torch.no_grad():
                    answer = model(torch.where(gone, clean + grain[i], clean))[0]
                assert curve.scores[i, j] == pytest.approx(float(answer[targets[i]]), abs=1e-5)
                assert curve.hits[i, j] == (int(answer.argmax()) == targets[i])
    gaps = (found.least.scores - found.most.scores).mean(axis=1) / 2
    np.testing.assert_array_equal(found.score(), gaps)


def test_the_batch_size_changes_nothing():
    model, (images, maps, targets) = network(), data()
    for function in (deletion, insertion):
        one = function(model, images, maps, targets, steps=5, batch_size=1)
        many = function(model, images, maps, targets, steps=5, batch_size=1000)
        np.testing.assert_allclose(one.scores, many.scores, atol=1e-6)
    one, many = (road(model, images, maps, targets, batch_size=size) for size in (1, 1000))
    np.testing.assert_allclose(one.least.scores, many.least.scores, atol=1e-4)


def test_pixels_go_by_the_map():
    images, maps, _ = data()
    ranks = pixel_ranks(maps, images).numpy()
    for row, array in zip(ranks, maps, strict=True):
        np.testing.assert_array_equal(np.argsort(row), np.argsort(-array.ravel()))
    small = np.zeros((5, 2, 2))
    small[:, 1, 0] = 1
    highest = pixel_ranks(small, images).numpy().reshape(5, SIDE, SIDE)
    # The upper right half of the image is below the middle of the lower left quarter.
    assert highest[:, 5, 2].max() < highest[:, :3].min()
    assert np.array_equal(np.sort(ranks[0]), np.arange(SIDE * SIDE))


def test_equal_pixels_go_in_no_order():
    images = torch.zeros(3, 1, 40, 40)
    ranks = pixel_ranks(np.zeros((3, 40, 40)), images, seed=3).numpy().reshape(3, 40, 40)
    # In reading order the upper half would have 400 as its mean, and the lower 1,200.
    assert abs(ranks[0, :20].mean() - ranks[0, 20:].mean()) < 60
    assert abs(ranks[0, :, :20].mean() - ranks[0, :, 20:].mean()) < 60
    np.testing.assert_array_equal(ranks[0], ranks[2])
    again = pixel_ranks(np.zeros((1, 40, 40)), images[:1], seed=3).numpy().reshape(1, 40, 40)
    np.testing.assert_array_equal(ranks[:1], again)
    other = pixel_ranks(np.zeros((1, 40, 40)), images[:1], seed=4).numpy().reshape(1, 40, 40)
    assert (ranks[:1] != other).mean() > 0.9


def test_the_network_is_left_as_it_was():
    """Evaluation mode meanwhile, training mode afterwards, statistics untouched, no gradients."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1)
    )
    state = {name: value.clone() for name, value in model.state_dict().items()}
    images, maps, targets = data()
    before = images.clone()
    images.requires_grad_()
    found = deletion(model, images, maps, targets, steps=2, batch_size=3)
    assert model.training
    assert model[1].training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert images.grad is None
    assert torch.equal(images, before)
    model.eval()
    np.testing.assert_allclose(
        found.scores, deletion(model, images, maps, targets, steps=2, batch_size=15).scores, 1e-5
    )


def test_without_a_module_and_in_half_precision():
    images, maps, targets = data()
    model = network()
    expected = deletion(model, images, maps, targets, steps=4)
    as_lists = (torch.from_numpy(maps), targets.tolist())
    called = deletion(model.forward, images, *as_lists, steps=4)
    np.testing.assert_array_equal(called.scores, expected.scores)
    half = road(model.bfloat16(), images.bfloat16(), maps, targets, shares=[0.5])
    assert np.isfinite(half.score()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.zeros((4, SIDE, SIDE))}, r"Maps of shape \(4, 8, 8\) for images"),
        ({"maps": np.full((5, SIDE, SIDE), np.nan)}, "Maps with NaN"),
        ({"targets": [0, 1]}, r"Targets of shape \(2,\)"),
        ({"targets": [0, 1, 2, 3, 4]}, "Targets from 0 to 4"),
        ({"steps": 0}, "steps = 0"),
        ({"predict": lambda x: x}, r"`predict` returned \(5, 3, 8, 8\) for 5 images"),
        ({"predict": lambda x: (x,)}, "`predict` returned tuple"),
        ({"baseline": "gray"}, "unknown baseline"),
    ],
)
def test_errors_name_the_fault(change, message):
    images, maps, targets = data()
    arguments = {"predict": network(), "maps": maps, "targets": targets, "steps": 1} | change
    predict = arguments.pop("predict")
    with pytest.raises(LookcloserError, match=message):
        deletion(predict, images, **arguments, batch_size=5)


@pytest.mark.parametrize("shares", [[], [0.0, 0.5], [0.5, 1.0], [0.5, 0.4]])
def test_shares_are_checked(shares):
    images, maps, targets = data()
    with pytest.raises(LookcloserError, match="ascending, all above 0 and below 1"):
        faithfulness.road(network(), images, maps, targets, shares=shares)
