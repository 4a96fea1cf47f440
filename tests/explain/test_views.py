"""CAM, Grad-CAM and saliency against hand-written formulas; finding the layer; targets."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.explain import cam, gradcam, normalize, saliency


def by_hand(model, images, relu=False):
    """Class maps (B, C, h, w) from the formula, and the features they come from."""
    with torch.no_grad():
        model.eval()
        features = model.last(model.act(model.norm(model.stem(images)) + 1.0))
        features = features.relu() if relu else features
        return torch.einsum("cd,bdhw->bchw", model.fc.weight, features), features


@pytest.mark.parametrize("functional_relu", [False, True])
def test_cam_is_the_weighted_sum_of_the_features(gap, images, functional_relu):
    torch.manual_seed(2)
    model = gap(functional_relu)
    expected, _ = by_hand(model, images, functional_relu)
    torch.testing.assert_close(cam(model, images, 2), expected[:, 2])


def test_the_mean_of_a_map_is_the_logit_less_its_bias(model, images):
    maps = cam(model, images, torch.arange(5).expand(4, 5))
    logits = model.eval()(images)
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + model.fc.bias, logits)


def test_on_a_pooled_head_gradcam_is_the_positive_cam_over_the_area(images):
    model = timm.create_model("test_resnet", num_classes=7).eval()
    images = F.interpolate(images, (96, 96))
    maps = cam(model, images, 3)
    area = maps.shape[-1] * maps.shape[-2]
    found = gradcam(model, images, 3)
    torch.testing.assert_close(maps.relu() / area, found, rtol=1e-4, atol=1e-6 * found.max().item())


def test_gradcam_by_hand_at_an_inner_layer(model, images):
    model.eval()
    inner = (model.norm(model.stem(images)) + 1.0).relu().detach().requires_grad_()
    score = model.fc(model.last(inner).mean(dim=(2, 3)))[:, 4].sum()
    (slope,) = torch.autograd.grad(score, inner)
    expected = (slope.mean(dim=(2, 3), keepdim=True) * inner).sum(dim=1).relu().detach()
    torch.testing.assert_close(gradcam(model, images, 4, layer="act"), expected)


def test_gradcam_builds_its_graph_from_the_layer_onwards_only(model, images):
    graphs = {}
    for name in ("stem", "norm", "fc"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: graphs.update({name: output.requires_grad})
        )
    gradcam(model, images, 4, layer="last")
    assert graphs == {"stem": False, "norm": False, "fc": True}


def test_saliency_is_the_largest_slope_over_channels(model, images):
    pixels = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.eval()(pixels)[:, 1].sum(), pixels)
    torch.testing.assert_close(saliency(model, images, 1), slope.abs().amax(dim=1))


def test_saliency_follows_a_finite_difference(gap):
    torch.manual_seed(0)
    model, image = gap().double().eval(), torch.randn(1, 3, 8, 8, dtype=torch.float64)
    step = torch.zeros_like(image)
    step[0, :, 3, 4] = torch.eye(3, dtype=torch.float64)[0] * 1e-6
    slopes = [
        (model(image + step.roll(channel, 1)) - model(image - step.roll(channel, 1)))[0, 2].abs()
        for channel in range(3)
    ]
    expected = max(slope.item() for slope in slopes) / 2e-6
    assert saliency(model, image, 2)[0, 3, 4].item() == pytest.approx(expected, rel=1e-4)


def test_exceptions_of_the_model_reach_the_caller(model):
    with pytest.raises(RuntimeError, match="channels"):
        gradcam(model, torch.zeros(1, 5, 8, 8), layer="last")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (5, "target 5: no such class. Allowed: 0 … 4"),
        (-1, "target -1"),
        ([0, 1], r"shape \(2,\) for a batch of 4"),
    ],
)
def test_wrong_targets_are_named(model, images, targets, message):
    with pytest.raises(LookcloserError, match=message):
        cam(model, images, targets)


def test_a_network_without_pooled_head_is_sent_to_gradcam(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 22 * 30, 5))
    with pytest.raises(LookcloserError, match="Use gradcam"):
        cam(model, images)
    assert gradcam(model, images).shape == (4, 22, 30)


def test_an_unknown_layer_offers_near_names(model, images):
    with pytest.raises(LookcloserError, match="lats: unknown layer. Close: last"):
        gradcam(model, images, layer="lats")


def test_outputs_of_other_shapes_are_refused(images):
    with pytest.raises(LookcloserError, match=r"The model returned \(4, 2, 22, 30\)"):
        saliency(nn.Conv2d(3, 2, 3), images)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("vit_tiny_patch16_224", "blocks.11.norm1"), ("swin_tiny_patch4_window7_224", "norm")],
)
def test_transformers_get_their_tokens_back_on_a_grid(name, layer):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4).eval()
    images = torch.randn(1, 3, 224, 224)
    maps = gradcam(model, images, 0)
    torch.testing.assert_close(maps, gradcam(model, images, 0, layer=layer))
    assert maps.shape == ((1, 14, 14) if name.startswith("vit") else (1, 7, 7))
    assert maps.max() > 0


def test_normalize_keeps_nothing_as_nothing():
    maps = torch.tensor([[[-3.0, -1.0], [-2.0, 0.0]], [[-1.0, 2.0], [4.0, 0.0]]])
    expected = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]])
    assert torch.equal(normalize(maps), expected)


def test_maps_of_several_targets_are_each_clipped_at_their_own_percentile():
    maps = torch.arange(1.0, 25.0).reshape(1, 2, 3, 4).mul(torch.tensor([1.0, 9.0])[:, None, None])
    drawn = normalize(maps, clip=0.8)
    for index in range(2):
        assert torch.equal(drawn[0, index], normalize(maps[0, index], clip=0.8))
        highest = maps[0, index].flatten()[round(0.8 * 11)]
        torch.testing.assert_close(drawn[0, index], (maps[0, index] / highest).clamp(max=1))


def test_the_layer_does_not_depend_on_the_sizes_seen_before():
    # At 32 px ResNet's last stage has one cell, no map: there the stage before is the last one.
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=5).eval()
    small, large = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 128, 128)
    assert gradcam(model, small).shape == (1, 2, 2)
    assert gradcam(model, large).shape == (1, 4, 4)
    assert gradcam(model, small).shape == (1, 2, 2)
