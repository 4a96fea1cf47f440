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
        ("map.png", {}, "map of type str"),
        ([[0, 1], [2]], {}, "map of type list"),
        (np.ones((2, 2)), {"alpha": 2}, "alpha = 2"),
        (np.ones((2, 2)), {"colormap": "jet"}, "jet: unknown color map"),
    ],
)
def test_what_is_wrong_is_named(heatmap, options, words):
    with pytest.raises(LookcloserError, match=words):
        lc.overlay(GRAY, heatmap, **options)
