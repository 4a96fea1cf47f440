"""What a layer's output is a map of: found by what a change of a quarter of the image moves."""

import pytest
import torch
from torch import nn

from lookcloser.core import LookcloserError
from lookcloser.explain import attention_rollout, cam, eigencam, gradcam
from lookcloser.explain.layers import find_spatial_layer
from lookcloser.explain.places import find_layout, probes

SIZE = (32, 48)


def patches(rows=4, columns=6):
    """(5, 3, rows, columns): the probes of an image, averaged over the places of a grid."""
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    return nn.functional.adaptive_avg_pool2d(probes(image), (rows, columns))


def tokens(features, before=0, after=0):
    """(5, N, 3), with tokens before and after that know the whole image."""
    own = features.flatten(2).mT
    whole = own.mean(dim=1, keepdim=True)
    return torch.cat([whole.repeat(1, before, 1), own, whole.repeat(1, after, 1)], dim=1)


LAYOUTS = {
    "a map": lambda f: f,
    "channels last": lambda f: f.permute(0, 2, 3, 1),
    "columns before rows": lambda f: f.mT,
    "tokens": tokens,
    "a class token": lambda f: tokens(f, before=1),
    "registers at both ends": lambda f: tokens(f, before=0, after=5),
    "features first": lambda f: f.flatten(2),
    "batch second": lambda f: tokens(f).transpose(0, 1),
    "down the columns": lambda f: tokens(f.mT),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("grid", [(4, 6), (2, 3), (8, 3), (4, 12)])
def test_places_are_found_however_they_lie(name, grid):
    if "registers" in name and grid in {(8, 3), (4, 12)}:
        pytest.skip("beside a grid of another ratio than the image's at most one token is expected")
    features = patches(*grid)
    output = LAYOUTS[name](features)
    layout = find_layout(output, SIZE)
    assert layout is not None
    assert layout.size == grid
    torch.testing.assert_close(layout.places(output), features)
    assert layout.fits(output, 5)
    assert not layout.fits(output, 4)


def queries(features, count=24):
    """Every token sees the whole image, each in its own way."""
    mix = torch.randn(count, features[0, 0].numel(), generator=torch.Generator().manual_seed(0))
    return torch.einsum("np,bpd->bnd", mix.softmax(dim=1), features.flatten(2).mT)


NO_MAPS = {
    "class queries": queries,
    "queries of a square": lambda f: queries(f, 25),
    "time steps": lambda f: nn.functional.interpolate(f.mean(dim=2), 24).mT,
    "attention": lambda f: (tokens(f) @ tokens(f).mT)[:, None].repeat(1, 3, 1, 1),
    "windows": lambda f: f.reshape(5, 3, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(30, 4, 3),
    "the same everywhere": lambda f: f.mean(dim=(2, 3), keepdim=True).expand_as(f),
    "one place": lambda f: f.mean(dim=(2, 3), keepdim=True),
}


@pytest.mark.parametrize("name", NO_MAPS)
def test_what_only_has_the_shape_of_a_map_is_none(name):
    assert find_layout(NO_MAPS[name](patches()), SIZE) is None


class Queries(nn.Module):
    """Class queries that read a map of features; their number is that of a grid."""

    def __init__(self, classes):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 4, stride=4)
        self.act = nn.ReLU()
        self.query = nn.Parameter(torch.randn(classes, 8))
        self.norm = nn.LayerNorm(8)
        self.weight = nn.Parameter(torch.randn(classes, 8))

    def forward(self, images):
        memory = self.act(self.features(images)).flatten(2).mT
        weights = (self.query @ memory.mT).softmax(dim=2)
        return (self.norm(weights @ memory) * self.weight).sum(dim=2)


@pytest.mark.parametrize("classes", [4, 16, 64, 65])
def test_class_queries_are_passed_over(classes):
    torch.manual_seed(0)
    model = Queries(classes).eval()
    images = torch.randn(2, 3, 32, 32)
    assert find_spatial_layer(model, images) == "act"
    assert gradcam(model, images, 1).shape == (2, 8, 8)


def test_a_named_layer_is_believed():
    torch.manual_seed(0)
    model, images = Queries(16).eval(), torch.randn(2, 3, 32, 32)
    assert gradcam(model, images, 1, layer="norm").shape == (2, 4, 4)
    named = gradcam(model, images, 1, layer="act")
    torch.testing.assert_close(gradcam(model, images, 1, layer=model.act), named)


def test_uneven_strides_give_a_map_of_another_ratio():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, (4, 2), stride=(8, 2)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    ).eval()  # fmt: skip
    images = torch.randn(2, 3, 32, 32)
    maps = cam(model, images, 1)
    assert maps.shape == (2, 4, 16)
    expected = model(images)[:, 1] - model[-1].bias[1]
    torch.testing.assert_close(maps.mean(dim=(1, 2)), expected)


@pytest.mark.parametrize("layer", ["nothing", 3, ["act"], nn.ReLU()])
def test_a_wrong_layer_is_named(layer):
    model = Queries(4).eval()
    with pytest.raises(LookcloserError):
        gradcam(model, torch.randn(1, 3, 32, 32), 1, layer=layer)


def test_a_layer_that_is_not_run_is_named():
    model = Queries(4).eval()
    model.unused = nn.Conv2d(3, 4, 1)
    with pytest.raises(LookcloserError, match="unused: this layer is not run"):
        gradcam(model, torch.randn(1, 3, 32, 32), 1, layer="unused")


class Pooled(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 4, stride=4)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, classes)

    def forward(self, images):
        return self.fc(self.pool(self.act(self.features(images))).flatten(1))


def assert_class_map(model, images, target):
    expected = model(images)[:, target] - model.fc.bias[target]
    found = cam(model, images, target).mean(dim=(1, 2))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_network_that_was_changed_is_looked_at_anew():
    torch.manual_seed(0)
    model, images = Pooled().eval(), torch.randn(3, 3, 32, 32)
    assert_class_map(model, images, 1)
    model.fc = nn.Linear(8, 7)
    assert_class_map(model, images, 6)
    model.act = nn.Identity()
    assert_class_map(model, images, 6)
    model.pool = nn.AdaptiveMaxPool2d(1)
    with pytest.raises(LookcloserError, match="not one linear layer on averaged features"):
        cam(model, images, 1)


def test_what_is_remembered_is_checked_against_the_values_too():
    """The features of the first image have no negative values, so that a ReLU goes unnoticed."""

    class Shy(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.fc = nn.Conv2d(3, 6, 4, stride=4), nn.Linear(6, 4)

        def forward(self, images):
            return self.fc(self.features(images).relu().mean(dim=(2, 3)))

    torch.manual_seed(0)
    model = Shy().eval()
    nn.init.constant_(model.features.bias, 5.0)
    first, images = 0.01 * torch.randn(1, 3, 32, 32), 20 * torch.randn(4, 3, 32, 32)
    assert_class_map(model, first, 2)
    assert_class_map(model, images, 2)


def test_a_one_by_one_convolution_before_the_mean_is_the_class_map():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Conv2d(8, 5, 1))
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(2, 3, 32, 48)
    torch.testing.assert_close(cam(model, images, 3), body(images)[:, 3])
    several = torch.tensor([[4, 0], [1, 2]])
    torch.testing.assert_close(
        cam(model, images, several).mean(dim=(2, 3)), model(images).gather(1, several)
    )


def test_attention_over_what_is_no_patch_is_refused():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 8, (32, 2), stride=2), nn.Linear(8, 3)

        def forward(self, images):
            steps = self.stem(images).squeeze(2).mT
            weights = (steps @ steps.mT).softmax(dim=-1)[:, None]
            mixed = nn.functional.scaled_dot_product_attention(*[steps[:, None]] * 3)
            return self.fc(mixed.mean(dim=(1, 2)) + 0 * weights.sum())

    with pytest.raises(LookcloserError, match="no attention over the patches"):
        attention_rollout(Steps().eval(), torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize("view", [gradcam, attention_rollout])
def test_an_answer_that_knows_no_image_is_said_to_be_such(view, everything, images):
    nn.init.zeros_(everything.fc.weight)
    with pytest.raises(LookcloserError, match="its answer does not depend on the image"):
        view(everything, images, 1)


def test_networks_without_a_classifier_have_an_eigencam():
    model = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU()).eval()
    images = torch.randn(2, 3, 32, 32)
    assert eigencam(model, images).shape == (2, 8, 8)
    with pytest.raises(LookcloserError, match=r"The model returned \(2, 8, 8, 8\)"):
        gradcam(model, images)
    model.num_classes = 0
    with pytest.raises(LookcloserError, match="has no classifier"):
        gradcam(model, images, 1)


@pytest.mark.parametrize(("down", "found"), [(0.9, True), (0.1, True), (0.02, False)])
def test_a_map_may_react_far_less_along_one_axis_but_not_not_at_all(down, found):
    """Before, random EfficientNets had no map of images that are not square."""
    y, x = torch.linspace(-1, 1, 4)[:, None], torch.linspace(-1, 1, 6)
    quarters = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    moved = torch.stack([1 + down * side * y + 0.9 * other * x for side, other in quarters])
    output = torch.cat([torch.zeros(1, 4, 6), moved])[:, None]
    layout = find_layout(output, SIZE)
    assert (layout is not None) == found
    assert layout is None or layout.size == (4, 6)
