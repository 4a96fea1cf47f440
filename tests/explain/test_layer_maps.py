"""Grad-CAM++, LayerCAM, Score-CAM and Eigen-CAM against loops written from the papers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.explain import eigencam, gradcam, gradcampp, layercam, scorecam
from lookcloser.explain.features import features_of
from lookcloser.explain.layers import find_spatial_layer


class Uneven(nn.Module):
    """The classifier weighs every position on its own, so that gradients vary over places."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.ReLU()
        self.fc = nn.Linear(6 * 48, 5)

    def forward(self, images):
        hidden = self.norm(self.stem(images))
        hidden += 0.5
        return self.fc(self.act(hidden).flatten(1).tanh())


@pytest.fixture
def uneven():
    torch.manual_seed(4)
    return Uneven().eval()


def at_layer(model, images, target):
    """Features after the ReLU and the target's gradient there, as NumPy float64."""
    with torch.no_grad():
        features = model.act(model.norm(model.stem(images)) + 0.5)
    features = features.double().requires_grad_()
    weight, bias = model.fc.weight.double(), model.fc.bias.double()
    score = (features.flatten(1).tanh() @ weight.T + bias)[:, target].sum()
    (slopes,) = torch.autograd.grad(score, features)
    return features.detach().numpy(), slopes.numpy()


def test_gradcampp_is_equation_19(uneven, images):
    features, slopes = at_layer(uneven, images, 3)
    expected = np.zeros((4, 6, 8))
    for image in range(4):
        for channel in range(6):
            a, g = features[image, channel], slopes[image, channel]
            weight = 0.0
            for y in range(6):
                for x in range(8):
                    if g[y, x] == 0:
                        continue
                    alpha = g[y, x] ** 2 / (2 * g[y, x] ** 2 + a.sum() * g[y, x] ** 3)
                    weight += alpha * max(g[y, x], 0)
            expected[image] += weight * a
    found = gradcampp(uneven, images, 3, layer="act")
    np.testing.assert_allclose(found.numpy(), expected.clip(0), rtol=1e-4, atol=1e-6)


def test_gradcampp_survives_gradients_whose_cube_underflows(uneven, images):
    uneven.fc.weight.data *= 1e-16
    maps = gradcampp(uneven, images, 3, layer="act")
    assert (maps.flatten(1).amax(dim=1) > 0).all()


def test_layercam_weighs_each_position(uneven, images):
    features, slopes = at_layer(uneven, images, 1)
    expected = np.zeros((4, 6, 8))
    for channel in range(6):
        expected += np.maximum(slopes[:, channel], 0) * features[:, channel]
    found = layercam(uneven, images, 1, layer="act")
    np.testing.assert_allclose(found.numpy(), expected.clip(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("view", [gradcam, gradcampp, layercam, scorecam, eigencam])
def test_a_layer_changed_in_place_afterwards_is_seen_as_it_was(uneven, images, view):
    # The batch norm is followed by `+=`: looking at the buffer afterwards sees the sum.
    class Copying(Uneven):
        def forward(self, images):
            hidden = self.norm(self.stem(images)) + 0.5
            return self.fc(self.act(hidden).flatten(1).tanh())

    clean = Copying().eval()
    clean.load_state_dict(uneven.state_dict())
    expected = view(clean, images, 2, layer="norm")
    torch.testing.assert_close(view(uneven, images, 2, layer="norm"), expected)


def test_scorecam_is_the_softmax_of_the_scores_behind_the_masks(uneven, images):
    features, _ = features_of(uneven, images, "act")
    expected = np.zeros((4, 6, 8))
    for image in range(4):
        scores = []
        for channel in range(6):
            mask = F.interpolate(
                features[image, channel][None, None], (24, 32), mode="bilinear", align_corners=False
            )[0, 0]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            with torch.no_grad():
                scores.append(uneven(images[image : image + 1] * mask)[0, 3].item())
        weights = np.exp(scores) / np.exp(scores).sum()
        for channel in range(6):
            expected[image] += weights[channel] * features[image, channel].numpy()
    found = scorecam(uneven, images, 3, layer="act")
    np.testing.assert_allclose(found.numpy(), expected.clip(0), rtol=1e-4, atol=1e-6)


def test_scorecam_with_a_dead_feature_stays_finite(uneven, images):
    uneven.norm.weight.data[2] = 0
    maps = scorecam(uneven, images, 0, layer="act")
    assert torch.isfinite(maps).all()
    assert maps.max() > 0


def test_eigencam_is_the_projection_on_the_first_singular_vector(uneven, images):
    features, _ = features_of(uneven, images, "act")
    for found, feature in zip(eigencam(uneven, images, layer="act"), features, strict=True):
        matrix = feature.flatten(1).T.double().numpy()
        values, vectors = np.linalg.eigh(matrix.T @ matrix)
        expected = (matrix @ vectors[:, values.argmax()]).reshape(6, 8)
        expected *= np.sign(expected.sum())
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)
        assert found.sum() > 0


def test_eigencam_is_the_same_for_every_target(uneven, images):
    maps = eigencam(uneven, images, torch.arange(5).expand(4, 5))
    assert maps.shape == (4, 5, 6, 8)
    assert torch.equal(maps, maps[:, :1].expand(-1, 5, -1, -1))


@pytest.mark.parametrize("view", [gradcam, scorecam])
def test_layers_without_a_grid_are_refused(uneven, images, view):
    with pytest.raises(LookcloserError, match=r"fc: its output \(4, 5\) has no grid"):
        view(uneven, images, layer="fc")


def test_an_embedding_of_as_many_tokens_as_a_grid_has_places_is_no_map(images):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.labels, self.fc = (
                nn.Conv2d(3, 4, 4, stride=4),
                nn.Embedding(8, 4),
                nn.Linear(4, 5),
            )

        def forward(self, images):
            named = torch.arange(8).repeat(len(images), 6)
            seen = self.stem(images).relu().mean(dim=(2, 3))
            return self.fc(seen * self.labels(named).mean(dim=1))

    assert find_spatial_layer(Net().eval(), images) == "stem"


@pytest.mark.parametrize("view", [gradcam, eigencam])
def test_layers_without_a_tensor_are_refused(images, view):
    class Pair(nn.Module):
        def forward(self, images):
            return images, images

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, images):
            return self.pair(images)[0].mean(dim=(2, 3))

    with pytest.raises(LookcloserError, match="pair: puts out a tuple"):
        view(Net(), images, layer="pair")


@pytest.mark.parametrize("frozen", [True, False])
def test_a_layer_without_a_say_is_refused(images, frozen):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.aside, self.fc = nn.Conv2d(3, 2, 1), nn.Linear(3, 5)

        def forward(self, images):
            self.aside(images)
            return self.fc(images.mean(dim=(2, 3)))

    net = Net().requires_grad_(not frozen)
    with pytest.raises(LookcloserError, match="The logits do not depend on what is looked at"):
        gradcam(net, images, layer="aside")
