"""From a network's input space to images that can be saved."""

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.explain import to_images

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


def test_a_normalized_image_comes_back():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 9, 3), dtype=np.uint8)
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    normal = (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    for found, expected in zip(to_images(normal, MEAN, STD), pixels, strict=True):
        assert found.mode == "RGB"
        assert np.array_equal(np.asarray(found), expected)


def test_values_out_of_range_are_cut_off_and_gray_stays_gray():
    (found,) = to_images(torch.tensor([[[[-9.0, 0.0, 9.0]]]]), [0.5], [0.5])
    assert found.mode == "L"
    assert np.asarray(found).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("tensors", "mean"), [(torch.zeros(3, 4, 4), MEAN), (torch.zeros(1, 3, 4, 4), MEAN[:2])]
)
def test_other_shapes_are_refused(tensors, mean):
    with pytest.raises(LookcloserError):
        to_images(tensors, mean, STD)
