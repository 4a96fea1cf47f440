"""The network's input without torch, against torchvision."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from lookcloser.core.preprocessing import Preprocessing, input_pixels, normalized


def photo(size=(90, 61), seed=0):
    values = np.random.default_rng(seed).integers(0, 255, (size[1] // 4, size[0] // 4, 3))
    return Image.fromarray(values.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(32, 48), (120, 100)])
def test_pixels_are_those_of_torchvision_to_a_gray_level_or_two(interpolation, size):
    prepared = Preprocessing(size, interpolation=interpolation)
    found = input_pixels(photo(), prepared)
    assert found.dtype == np.uint8
    mode = interpolation.replace("nearest", "nearest-exact")
    resize = v2.Resize(size, InterpolationMode(mode), antialias=True)
    expected = resize(v2.functional.pil_to_tensor(photo())).numpy()
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 2


def test_what_nothing_else_is_said_of_is_the_input_of_imagenet():
    """The numbers of every torchvision model, in the order red, green, blue."""
    assert Preprocessing() == Preprocessing(
        (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear"
    )


def test_the_input_is_normalized_per_channel():
    prepared = Preprocessing((8, 8), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    pixels = input_pixels(photo(), prepared)
    found = normalized(pixels[None], prepared)
    assert found.shape == (1, 3, 8, 8)
    assert found.dtype == np.float32
    expected = v2.functional.normalize(
        torch.from_numpy(pixels).double() / 255, list(prepared.mean), list(prepared.std)
    )
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_an_aspect_ratio_is_not_kept_so_that_a_place_is_a_place():
    picture = Image.new("RGB", (100, 20))
    picture.paste((255, 255, 255), (50, 0, 100, 20))
    pixels = input_pixels(picture, Preprocessing((40, 40)))
    assert pixels[0, :, :18].max() == 0
    assert pixels[0, :, 22:].min() == 255
