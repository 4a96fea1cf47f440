import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser.auditing.sameness import CELLS, Sameness, ring

SIDE = 64


def pictures(count, seed):
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def collected(images, classes, batch=7):
    same = Sameness(int(classes.max()) + 1, (SIDE, SIDE))
    for start in range(0, len(images), batch):
        same.add(images[start : start + batch], classes[start : start + batch])
    return same


@pytest.fixture
def planted():
    """Three classes of 12 noise pictures; class 1 has a faint pattern in one cell of most."""
    images = pictures(36, 0)
    classes = torch.arange(36) % 3
    pattern = pictures(1, 9)[0, :, :8, :8]
    marked = torch.nonzero(classes == 1)[1:, 0]
    images[marked, :, 40:48, 8:16] += 0.7 * pattern
    return images, classes


def slow_detail(images, classes):
    """Every pair of pictures correlated on its own."""
    gray = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    padded = F.pad(gray, (2, 2, 2, 2), mode="reflect")
    detail = gray - F.avg_pool2d(padded, 5, stride=1)
    cells = F.unfold(detail, SIDE // CELLS, stride=SIDE // CELLS).transpose(1, 2).numpy()
    cells = cells / np.linalg.norm(cells, axis=2, keepdims=True)
    found = []
    for label in range(int(classes.max()) + 1):
        own, other = np.flatnonzero(classes == label), np.flatnonzero(classes != label)
        within = [(cells[i] * cells[j]).sum(axis=1) for i in own for j in own if i != j]
        between = [(cells[i] * cells[j]).sum(axis=1) for i in own for j in other]
        found.append((np.mean(within, axis=0) - np.mean(between, axis=0)).reshape(CELLS, CELLS))
    return np.array(found)


def test_detail_is_the_mean_correlation_of_all_pairs(planted):
    found = collected(*planted).detail()
    np.testing.assert_allclose(found, slow_detail(*planted), atol=1e-4)


def test_a_faint_pattern_stands_out_at_its_place(planted):
    found = collected(*planted).detail()
    assert np.unravel_index(found.argmax(), found.shape) == (1, 5, 1)
    assert found[1, 5, 1] > 0.15
    others = found.copy()
    others[1, 5, 1] = 0
    assert np.abs(others).max() < 0.1


@pytest.mark.parametrize("count", [8, 16, 40])
def test_chance_hardly_ever_reaches_its_bound_and_shrinks_with_images(count):
    highest, bounds = [], []
    for seed in range(6):
        found = collected(pictures(4 * count, seed), torch.arange(4 * count) % 4)
        highest.append(found.detail().max(axis=(1, 2)))
        bounds.append(found.chance())
    assert np.mean(np.array(highest) > np.array(bounds)) <= 0.05
    assert np.max(np.array(highest) / np.array(bounds)) > 0.5, "and it is not far off"
    assert np.mean(bounds) * count == pytest.approx(0.8, rel=0.3)


def test_chance_is_not_moved_by_the_planted_class(planted):
    found = collected(*planted)
    assert found.detail()[1].max() > found.chance()[1] * 0.9
    clean = collected(pictures(36, 0), planted[1])
    np.testing.assert_allclose(found.chance(), clean.chance(), rtol=0.1)


def test_what_all_classes_share_cancels():
    images, classes = pictures(36, 1), torch.arange(36) % 3
    images[:, :, :8, :8] += 3 * pictures(1, 2)[0, :, :8, :8]
    assert np.abs(collected(images, classes).detail()[:, 0, 0]).max() < 0.05


def test_contrast_and_brightness_do_not_matter(planted):
    images, classes = planted
    factor = torch.linspace(0.1, 10, len(images))[:, None, None, None]
    changed = collected(images * factor + 5, classes).detail()
    np.testing.assert_allclose(changed, collected(images, classes).detail(), atol=1e-3)


def test_flat_images_have_no_detail():
    images, classes = torch.ones(20, 3, SIDE, SIDE), torch.arange(20) % 2
    found = collected(images, classes)
    assert (found.detail() == 0).all()
    assert (found.color() == 0).all()


def test_larger_and_oblong_inputs():
    images = torch.randn(16, 3, 300, 200, generator=torch.Generator().manual_seed(0))
    same = Sameness(2, (300, 200))
    same.add(images, torch.arange(16) % 2)
    assert same.detail().shape == same.color().shape == (2, CELLS, CELLS)
    assert np.abs(same.detail()).max() < 0.2


def test_a_steady_color_is_found_though_some_images_lack_it():
    classes = torch.arange(45) % 3
    tints = torch.randn(45, 3, 1, 1, generator=torch.Generator().manual_seed(3))
    images = tints.repeat(1, 1, SIDE, SIDE)
    steady = torch.nonzero(classes == 2)[2:, 0]  # 13 of 15
    images[steady, :, :8] = 0.1 * images[steady, :, :8] + 0.5
    found = collected(images, classes).color()
    assert found[2, 0].min() > 0.7
    assert np.abs(found[2, 1:]).max() < 0.5
    assert found[:2].max() < 0.5


def test_color_is_the_median_distance_to_the_median_color():
    images, classes = pictures(30, 5), torch.arange(30) % 3
    cells = F.adaptive_avg_pool2d(images, CELLS).numpy()
    spreads = []
    for label in range(3):
        own = cells[classes.numpy() == label]
        spreads.append(np.median(np.sqrt(((own - np.median(own, 0)) ** 2).sum(1)), axis=0))
    wanted = 1 - np.array(spreads) / np.median(spreads, axis=0)
    np.testing.assert_allclose(collected(images, classes).color(), wanted, atol=1e-5)


def test_a_class_without_images_is_no_trouble():
    same = Sameness(4, (SIDE, SIDE))
    same.add(pictures(20, 0), torch.arange(20) % 2)
    assert np.isfinite(same.detail()).all()
    assert (same.color()[2:] == 0).all()


def test_the_ring_is_the_outermost_cells():
    assert ring().sum() == 28
    assert not ring()[1:-1, 1:-1].any()


def test_opposites_are_no_more_than_the_same():
    """Each class is one image again and again; that of the other is its negative."""
    one = pictures(1, 3)
    images, classes = torch.cat([one, -one] * 4), torch.arange(8) % 2
    assert collected(images, classes).detail().max() == 1.0
