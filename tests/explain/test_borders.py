"""A network that looks at a part of the image has no map that may be drawn over all of it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.explain import attention_rollout, cam, gradcam, layercam, saliency
from lookcloser.explain.borders import borders


class Cut(nn.Module):
    """A network behind something that is done to the image first."""

    def __init__(self, network, first):
        super().__init__()
        self.network, self.first = network, first

    def forward(self, images):
        return self.network(self.first(images))


CUTS = {
    "the middle": (lambda images: images[..., 3:-3, 4:-4], "top, left, bottom, right"),
    "a little off all around": (lambda images: images[..., 1:-1, 1:-1], "top, left"),
    "the lower right": (lambda images: images[..., 8:, 8:], "top, left"),
    "the upper left": (lambda images: images[..., :20, :28], "bottom, right"),
    "the left": (lambda images: images[..., :24, :24], "right"),
    "a zoom": (lambda images: F.interpolate(images[..., 8:-8, 8:-8], (36, 48)), "top, left"),
}
WHOLE = {
    "another size": lambda images: F.interpolate(images, (40, 40)),
    "fewer pixels": lambda images: F.interpolate(images, (24, 32)),
    "less than a place left out at the end": lambda images: images[..., :-1, :-1],
    "zeros around": lambda images: F.pad(images, (1, 1, 1, 1)),
}


@pytest.mark.parametrize("view", [cam, gradcam, layercam])
@pytest.mark.parametrize(("first", "lost"), CUTS.values(), ids=CUTS)
def test_a_network_that_crops_has_no_map(first, lost, view, gap, images):
    with pytest.raises(LookcloserError, match=f"a part of the image only .*{lost}"):
        view(Cut(gap(), first), images, 1)


def test_a_layer_that_is_named_has_none_either(gap, images):
    with pytest.raises(LookcloserError, match="a part of the image only"):
        gradcam(Cut(gap(), CUTS["the middle"][0]), images, 1, layer="network.last")


@pytest.mark.parametrize("view", [cam, gradcam])
@pytest.mark.parametrize("first", WHOLE.values(), ids=WHOLE)
def test_a_network_that_sees_the_whole_image_has_one(first, view, gap, images):
    assert view(Cut(gap(), first), images, 1).any()


def test_what_is_cropped_before_is_the_whole_image(gap, images):
    """The way out that the error names, and a crop that takes nothing of small images."""
    network = Cut(gap(), lambda images: images[..., :24, :24])
    assert cam(network, images[..., :24, :24], 1).any()
    with pytest.raises(LookcloserError, match="Crop the image as the network does"):
        cam(network, images, 1)


def test_patches_of_a_crop_are_not_those_of_the_image(images):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=1, num_classes=5, dynamic_img_size=True
    )
    large = torch.randn(1, 3, 96, 96)
    with pytest.raises(LookcloserError, match="a part of the image only"):
        attention_rollout(Cut(network, lambda images: images[..., 16:-16, 16:-16]), large)
    assert attention_rollout(Cut(network, lambda images: images), large).any()


def test_maps_of_pixels_lie_where_the_pixels_are(gap, images):
    found = saliency(Cut(gap(), CUTS["the middle"][0]), images, 1)
    assert found[:, 3:-3, 4:-4].any()
    assert not found[:, :3].any()
    assert not found[:, :, -4:].any()


def test_strips_are_at_the_sides_they_are_named_after():
    image = torch.randn(1, 3, 24, 32)
    *sides, everywhere, none = (borders(image, (3, 4)) != image).all(dim=1)
    top, left, bottom, right = (torch.zeros(24, 32, dtype=torch.bool) for _ in range(4))
    top[:2], left[:, :2], bottom[-8:], right[:, -8:] = True, True, True, True
    for found, expected in zip(sides, (top, left, bottom, right), strict=True):
        assert torch.equal(found, expected)
    assert everywhere.all()
    assert not none.any()
