"""From an image to the network's input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data.transforms import (
    AUGMENTATIONS,
    Augmentation,
    evaluation_transform,
    training_transform,
)

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
WIDE = Preprocessing((24, 32), mean=MEAN, std=STD)


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def shown(image: Tensor) -> np.ndarray:
    """Undoes the normalization: (H, W, 3) in 0…255."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((image * std + mean) * 255).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(50, 40), (32, 24), (1, 1)])
def test_every_kind_gives_the_input_of_the_network(kind: str, size: tuple[int, int]) -> None:
    image = training_transform(WIDE, Augmentation(kind, erase=0.5))(noise(*size))
    assert (image.shape, image.dtype) == ((3, 24, 32), torch.float32)
    assert torch.isfinite(image).all()


@pytest.mark.parametrize("size", [(32, 24), (64, 48)])
def test_without_augmentation_training_sees_what_evaluation_sees(size: tuple[int, int]) -> None:
    image = noise(*size)
    trained = training_transform(WIDE, Augmentation("none", flip=False))(image)
    evaluated = evaluation_transform(WIDE)(image)
    assert evaluated.dtype == torch.float32
    if size == (32, 24):
        np.testing.assert_allclose(shown(evaluated), np.asarray(image), atol=1e-3)
    assert np.abs(shown(trained) - shown(evaluated)).max() <= 1.01, "to the rounding of a pixel"


def test_a_flip_swaps_left_and_right_half_of_the_time() -> None:
    image, plain = noise(32, 24), shown(evaluation_transform(WIDE)(noise(32, 24)))
    flipping = training_transform(WIDE, Augmentation("none"))
    found = [shown(flipping(image)) for _ in range(60)]
    flipped = [np.abs(one - plain).max() > 2 for one in found]
    assert 15 <= sum(flipped) <= 45
    for one, swapped in zip(found, flipped, strict=True):
        np.testing.assert_allclose(one, plain[:, ::-1] if swapped else plain, atol=1e-3)


def test_a_shift_moves_by_a_sixteenth_of_the_shorter_side_and_mirrors_the_border() -> None:
    image, plain = noise(32, 24), shown(evaluation_transform(WIDE)(noise(32, 24)))
    padded = np.pad(plain, ((2, 2), (2, 2), (0, 0)), mode="reflect")  # 24 / 16, rounded
    shifting = training_transform(WIDE, Augmentation("shift", flip=False))
    offsets = set()
    for _ in range(40):
        found = shown(shifting(image))
        near = [
            (x, y)
            for x in range(5)
            for y in range(5)
            if np.abs(padded[y : y + 24, x : x + 32] - found).max() < 1e-2
        ]
        assert len(near) == 1
        offsets.update(near)
    assert {x for x, _ in offsets} == {y for _, y in offsets} == set(range(5))


@pytest.mark.parametrize(("area", "smallest"), [(0.6, 0.6), (0.1, 0.1)])
def test_a_crop_keeps_its_share_of_the_image(area: float, smallest: float) -> None:
    """Red grows from left to right and green downwards, so that both sides can be read off."""
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 250, 200)[None]
    ramp[..., 1] = np.linspace(0, 250, 200)[:, None]
    cropping = training_transform(WIDE, Augmentation("crop", crop_area=area, flip=False))
    shares = []
    for _ in range(40):
        found = shown(cropping(Image.fromarray(ramp)))
        across, down = np.ptp(found[..., 0]) / 250, np.ptp(found[..., 1]) / 250
        shares.append(across * down * (32 / 31) * (24 / 23))
    assert smallest * 0.9 <= min(shares) < smallest * 1.9
    assert max(shares) <= 1.1


def test_what_is_erased_is_a_rectangle_of_one_color() -> None:
    image, plain = noise(32, 24), evaluation_transform(WIDE)(noise(32, 24))
    erasing = training_transform(WIDE, Augmentation("none", flip=False, erase=1.0))
    found = erasing(image)
    gone = ((found - plain).abs() > 1e-4).any(dim=0)
    rows, columns = gone.any(dim=1), gone.any(dim=0)
    inside = found[:, rows][:, :, columns]
    assert 0.01 * 24 * 32 <= inside[0].numel() < 0.4 * 24 * 32
    assert (inside == 0).all(), "zero, the mean of normalized images"
    always = training_transform(WIDE, Augmentation("none", flip=False))(image)
    torch.testing.assert_close(always, plain)
