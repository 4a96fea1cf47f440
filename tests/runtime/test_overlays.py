import numpy as np
import pytest
import torch
from PIL import Image

import lookcloser as lc
from lookcloser.core import LookcloserError

GRAY = np.full((20, 30, 3), 100, np.uint8)


def test_no_evidence_leaves_the_image_and_much_evidence_colors_it():
    heatmap = np.zeros((2, 3))
    heatmap[0, 2] = 1
    found = np.asarray(lc.overlay(GRAY, heatmap, alpha=1.0))
    assert found.shape == GRAY.shape
    assert (found[-1, 0] == 100).all()
    assert found[0, -1, 0] > 200, "bright at the strongest evidence"


def test_raw_maps_and_tensors_are_brought_into_range():
    raw = np.random.default_rng(0).standard_normal((4, 4)) * 9
    heatmap = np.maximum(raw, 0) / raw.max()
    expected = np.asarray(lc.overlay(GRAY, heatmap))
    for given in (raw, torch.from_numpy(raw).requires_grad_()):
        assert np.abs(np.asarray(lc.overlay(GRAY, given)).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float16, np.float64, list])
def test_numbers_of_any_kind_make_a_map(kind):
    values = np.array([[0, 1], [1, 0]])
    given = values.tolist() if kind is list else values.astype(kind)
    expected = lc.overlay(GRAY, values.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(lc.overlay(GRAY, given)), np.asarray(expected))


def test_without_opacity_the_image_is_as_it_was():
    np.testing.assert_array_equal(np.asarray(lc.overlay(GRAY, np.ones((2, 2)), alpha=0)), GRAY)


def test_the_callers_image_is_not_changed():
    image = Image.fromarray(GRAY)
    lc.overlay(image, np.ones((2, 2)))
    assert (np.asarray(image) == GRAY).all()


@pytest.mark.parametrize(
    ("heatmap", "options", "words"),
    [
        (np.zeros((1, 2, 2)), {}, "shape \\(1, 2, 2\\)"),
        (np.zeros((0, 2)), {}, "shape"),
        (np.array([[np.nan, 1]]), {}, "not finite"),
        ("map.png", {}, "not one of real numbers"),
        ([[1, 2], [3]], {}, "not one of real numbers"),
        ([["a", "b"]], {}, "not one of real numbers"),
        (np.array([[1j, 1]]), {}, "not one of real numbers"),
        (np.array([[1e300, 1]]), {}, "not finite"),
        (np.ones((2, 2)), {"alpha": 2}, "alpha = 2"),
        (np.ones((2, 2)), {"alpha": float("nan")}, "alpha = nan"),
        (np.ones((2, 2)), {"alpha": "0.5"}, "alpha = 0.5"),
        (np.ones((2, 2)), {"colormap": "jet"}, "jet: unknown color map"),
    ],
)
def test_what_is_wrong_is_named(heatmap, options, words):
    with pytest.raises(LookcloserError, match=words):
        lc.overlay(GRAY, heatmap, **options)
