"""Grad-CAM++, LayerCAM, Score-CAM and Eigen-CAM against loops written from the papers."""

import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lookcloser.core import LookcloserError
from lookcloser.explain import cam, eigencam, features, gradcam, gradcampp, layercam, scorecam
from lookcloser.explain.features import features_of, target_slopes
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
    np.testing.assert_allclose(
        found.numpy(), expected.clip(0), rtol=1e-4, atol=1e-6 * expected.max()
    )


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
    np.testing.assert_allclose(
        found.numpy(), expected.clip(0), rtol=1e-4, atol=1e-6 * expected.max()
    )


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
    np.testing.assert_allclose(
        found.numpy(), expected.clip(0), rtol=1e-4, atol=1e-6 * expected.max()
    )


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
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5 * expected.max())
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


class NoRule(torch.autograd.Function):
    """tanh whose way back cannot be taken for several gradients at once."""

    @staticmethod
    def forward(ctx, hidden):
        ctx.save_for_backward(hidden)
        return hidden.tanh()

    @staticmethod
    def backward(ctx, slope):
        (hidden,) = ctx.saved_tensors
        if torch._C._functorch.is_batchedtensor(slope):
            raise RuntimeError("one at a time")
        return slope * (1 - hidden.tanh().square())


@pytest.mark.parametrize("together", [1, 2, 5, 100])
@pytest.mark.parametrize("own", [False, True])
def test_ways_back_taken_together_are_those_taken_one_by_one(uneven, images, together, own):
    features = features_of(uneven, images, "act")[0].requires_grad_()
    hidden = features.flatten(1)
    logits = uneven.fc(NoRule.apply(hidden) if own else hidden.tanh())
    indices = torch.tensor([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 2, 2, 2, 2], [1, 0, 3, 0, 1]])
    found = [slope for (slope,) in target_slopes(logits, indices, features, together=together)]
    assert len(found) == 5
    weight = uneven.fc.weight
    for slope, classes in zip(found, indices.T, strict=True):
        expected = (weight[classes] * (1 - hidden.tanh().square())).view_as(features)
        torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("view", [gradcam, gradcampp, layercam])
def test_many_targets_are_those_asked_for_one_by_one(uneven, images, view, monkeypatch):
    each = torch.stack([view(uneven, images, target, layer="act") for target in range(5)], dim=1)
    for together in (0, 3 * 4 * 6 * 48, 2**22):  # one, three and all ways back at once
        monkeypatch.setattr(features, "_TOGETHER", together)
        found = view(uneven, images, torch.arange(5).expand(4, 5), layer="act")
        torch.testing.assert_close(found, each)


class LongTail(nn.Module):
    """Behind the features come ``length`` maps from which nothing reaches the logits."""

    def __init__(self, length):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=4, padding=1)
        self.act = nn.ReLU()
        self.tail = nn.ModuleList(nn.Identity() for _ in range(length))
        self.fc = nn.Linear(6, 5)

    def forward(self, images):
        features = self.act(self.stem(images))
        logits = self.fc(features.amax(dim=(2, 3)))
        for module in self.tail:
            module(features * 2)
        return logits


@pytest.mark.parametrize("length", [0, 3, 4, 5, 19, 20, 21, 200])
def test_the_last_layer_with_a_say_is_found_however_many_follow_it(images, length):
    assert find_spatial_layer(LongTail(length).eval(), images) == "act"


class ByKeyword(nn.Module):
    """A linear layer that is called by keyword, where a hook sees no inputs."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=4, padding=1)
        self.early = nn.Linear(6, 6)
        self.fc = nn.Linear(6, 5)

    def forward(self, images):
        features = self.stem(images)
        shift = self.early(input=torch.ones(len(images), 6))
        return self.fc(features.mean(dim=(2, 3))) + 0 * shift.sum()


def test_layers_called_by_keyword_are_passed_over(images):
    network = ByKeyword().eval()
    expected = torch.einsum("bdhw,d->bhw", network.stem(images), network.fc.weight[2])
    torch.testing.assert_close(cam(network, images, 2), expected)


def test_a_network_without_any_map_is_refused(images):
    blind = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 32, 5)).eval()
    with pytest.raises(LookcloserError, match="Sequential: no layer puts out a map of features"):
        find_spatial_layer(blind, images)


def deep(width=32, depth=40):
    layers = [nn.Conv2d(3, width, 3, padding=1)]
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5)).eval()


class Bytes(TorchDispatchMode):
    """Counts what is alive of the storages that operations inside the block have made."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.known = set()

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return found

    def count(self, storage):
        if storage.data_ptr() in self.known or storage.nbytes() == 0:
            return
        address, size = storage.data_ptr(), storage.nbytes()
        self.known.add(address)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self.forget, address, size)

    def forget(self, address, size):
        self.known.discard(address)
        self.now -= size


@pytest.mark.parametrize("view", [cam, gradcam, gradcampp, layercam, eigencam])
def test_a_first_look_does_not_hold_the_activations_of_the_whole_network(images, view):
    network = deep()
    with Bytes() as bare, torch.inference_mode():
        network(images)
    with Bytes() as counted:
        view(network, images)
    assert bare.most > 0
    assert counted.most < 3 * bare.most  # 40 of them hung on the graph before


class EarlierView(nn.Module):
    """As GhostNet: a part of a tensor, a view, is changed in place by what comes later."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.later = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.Tanh(), nn.Conv2d(6, 6, 1), nn.Tanh()
        )
        self.fc = nn.Linear(6, 5)

    def forward(self, images):
        part = self.stem(images)[:, :6]
        part += self.later(images)  # by now, gradients have been switched on
        return self.fc(part.relu().mean(dim=(2, 3)))


@pytest.mark.parametrize("view", [gradcam, gradcampp, layercam, scorecam, eigencam])
def test_a_network_that_changes_an_earlier_view_is_explained(images, view):
    torch.manual_seed(1)
    model = EarlierView().eval()
    maps = view(model, images, 2)
    assert maps.shape == (4, 6, 8)
    assert maps.ne(0).any()
    assert all(weight.grad is None for weight in model.parameters())


def test_its_gradcam_is_that_of_the_same_network_without_in_place_changes(images):
    torch.manual_seed(1)
    model = EarlierView().eval()
    with torch.no_grad():
        part, later = model.stem(images)[:, :6], model.later(images)
    later.requires_grad_()
    logits = model.fc((part + later).relu().mean(dim=(2, 3)))
    (slope,) = torch.autograd.grad(logits[:, 2].sum(), later)
    expected = (slope.mean(dim=(2, 3), keepdim=True) * later.detach()).sum(dim=1).relu()
    torch.testing.assert_close(gradcam(model, images, 2), expected)
