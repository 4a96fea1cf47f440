"""SmoothGrad, integrated gradients, guided back-propagation and the deconvnet from their papers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.explain import (
    deconvnet,
    guided_backprop,
    integrated_gradients,
    saliency,
    smoothgrad,
)


def slope_of(model, image, target):
    pixels = image.detach().clone().requires_grad_()
    return torch.autograd.grad(model(pixels)[:, target].sum(), pixels)[0]


def test_smoothgrad_averages_signed_gradients_of_noisy_images(model, images):
    model.eval()
    generator = torch.Generator().manual_seed(5)
    patterns = [torch.randn(3, 24, 32, generator=generator) for _ in range(4)]
    for image, found in zip(
        images, smoothgrad(model, images, 2, samples=4, noise=0.3, seed=5), strict=True
    ):
        spread = 0.3 * (image.max() - image.min())
        slopes = [slope_of(model, image[None] + spread * pattern, 2) for pattern in patterns]
        expected = (sum(slopes) / 4).abs().amax(dim=1)[0]
        torch.testing.assert_close(found, expected)


def test_smoothgrad_without_noise_is_saliency(model, images):
    torch.testing.assert_close(
        smoothgrad(model, images, 1, samples=3, noise=0.0), saliency(model, images, 1)
    )


def test_smoothgrad_without_target_explains_the_answer_to_the_clean_image(model, images):
    best = model.eval()(images).argmax(dim=1)
    assert torch.equal(
        smoothgrad(model, images, noise=3.0, samples=2),
        smoothgrad(model, images, best, noise=3.0, samples=2),
    )


def test_integrated_gradients_are_a_fine_riemann_sum(everything, images):
    everything.eval()
    total, points = torch.zeros_like(images), 200
    for number in range(points):
        total += slope_of(everything, images * (number + 0.5) / points, 3) / points
    found = integrated_gradients(everything, images, 3, steps=64)
    expected = (images * total).sum(dim=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-3 * expected.abs().max().item())


@pytest.mark.parametrize("baseline", [0.0, -0.7])
def test_integrated_gradients_add_up_to_the_change_of_the_score(everything, images, baseline):
    everything.eval()
    start = torch.full_like(images, baseline)
    with torch.no_grad():
        change = everything(images) - everything(start)
    some = torch.tensor([0, 3]).expand(4, 2)
    maps = integrated_gradients(everything, images, some, baseline=baseline, steps=100)
    torch.testing.assert_close(maps.sum(dim=(2, 3)), change[:, [0, 3]], rtol=1e-2, atol=5e-4)
    again = integrated_gradients(everything, images, some, baseline=start, steps=100)
    torch.testing.assert_close(again, maps)


def test_integrated_gradients_of_a_linear_model_are_exact(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 32, 5))
    weight = model[1].weight[4].detach().reshape(3, 24, 32)
    found = integrated_gradients(model, images, 4, steps=1)
    torch.testing.assert_close(found, (weight * images).sum(dim=1))


FORMS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu by keyword": lambda hidden: F.relu(input=hidden),
    "F.relu in place": lambda hidden: F.relu(hidden, inplace=True),
    "F.relu in place, positional": lambda hidden: F.relu(hidden, True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu by keyword": lambda hidden: torch.relu(input=hidden),
    "torch.relu_": torch.relu_,
    "method": lambda hidden: hidden.relu(),
    "method in place": lambda hidden: hidden.relu_(),
    "method in place, result unused": lambda hidden: (hidden.relu_(), hidden)[1],
}


class Rectified(nn.Module):
    """Two ReLUs of one form, max-pooling between them, and an in-place add after the first."""

    def __init__(self, relu):
        super().__init__()
        self.relu = relu
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3)
        self.fc = nn.Linear(6 * 10 * 14, 5)

    def forward(self, images):
        hidden = self.relu(self.first(images))
        hidden = self.relu(self.second(F.max_pool2d(hidden, 2)))
        return self.fc(hidden.flatten(1))


def by_rule(model, images, target, top, gated):
    """The way back written out, layer by layer."""
    with torch.no_grad():
        before_first = model.first(images)
        pooled, where = F.max_pool2d(before_first.clamp(0, top), 2, return_indices=True)
        before_second = model.second(pooled)
        signal = model.fc.weight[target].reshape(1, 6, 10, 14).expand(len(images), -1, -1, -1)
        signal = rule(signal, before_second, top, gated)
        signal = F.conv_transpose2d(signal, model.second.weight)
        signal = F.max_unpool2d(signal, where, 2, output_size=before_first.shape[-2:])
        signal = rule(signal, before_first, top, gated)
        signal = F.conv_transpose2d(signal, model.first.weight, padding=1)
    return signal.abs().amax(dim=1)


def rule(signal, before, top, gated):
    positive = signal.clamp(min=0)
    return positive * ((before > 0) & (before < top)) if gated else positive


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("view", "gated"), [(guided_backprop, True), (deconvnet, False)])
def test_every_form_of_relu_goes_back_by_the_rule(images, form, view, gated):
    torch.manual_seed(1)
    model = Rectified(FORMS[form])
    with torch.no_grad():
        plain = model(images)
    expected = by_rule(model, images, 2, float("inf"), gated)
    torch.testing.assert_close(view(model, images, 2), expected)
    assert not torch.allclose(saliency(model, images, 2), expected, rtol=0.1)
    assert torch.equal(model(images), plain)


@pytest.mark.parametrize("relu", [nn.ReLU6(), nn.ReLU6(inplace=True), F.relu6])
@pytest.mark.parametrize(("view", "gated"), [(guided_backprop, True), (deconvnet, False)])
def test_relu6_goes_back_by_the_rule(images, relu, view, gated):
    torch.manual_seed(1)
    model = Rectified(relu)
    model.first.weight.data *= 8  # so that some values reach the upper end
    expected = by_rule(model, images, 2, 6.0, gated)
    torch.testing.assert_close(view(model, images, 2), expected)


@pytest.mark.parametrize("view", [guided_backprop, deconvnet])
def test_an_in_place_add_after_the_relu_changes_nothing(images, view):
    class Adding(Rectified):
        def forward(self, images):
            hidden = self.relu(self.first(images))
            hidden += 1.0
            return self.fc(self.relu(self.second(F.max_pool2d(hidden, 2))).flatten(1))

    class Copying(Rectified):
        def forward(self, images):
            hidden = self.relu(self.first(images)) + 1.0
            return self.fc(self.relu(self.second(F.max_pool2d(hidden, 2))).flatten(1))

    torch.manual_seed(1)
    adding, copying = Adding(nn.Hardtanh(0, 9)), Copying(nn.ReLU())
    copying.load_state_dict(adding.state_dict())
    torch.testing.assert_close(view(adding, images, 2), view(copying, images, 2))


@pytest.mark.parametrize("view", [guided_backprop, deconvnet])
def test_a_network_without_relu_is_refused(images, view):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 22 * 30, 5))
    with pytest.raises(LookcloserError, match="calls no ReLU that can be seen"):
        view(model, images)


class Flat(nn.Module):
    """`view` refuses features in channels-last layout, which the fast way back wants."""

    def __init__(self, flatten):
        super().__init__()
        self.conv, self.fc, self.flatten = nn.Conv2d(3, 4, 3), nn.Linear(4 * 22 * 30, 5), flatten

    def forward(self, images):
        return self.fc(self.flatten(self.conv(images)))


def test_a_network_that_calls_view_is_looked_into_all_the_same(images):
    torch.manual_seed(0)
    viewing = Flat(lambda features: features.view(len(features), -1))
    reshaping = Flat(lambda features: features.flatten(1))
    reshaping.load_state_dict(viewing.state_dict())
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        viewing(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(saliency(viewing, images, 1), saliency(reshaping, images, 1))


def test_errors_of_the_network_are_not_taken_for_a_matter_of_layout(images):
    with pytest.raises(RuntimeError, match="expected input"):
        saliency(Flat(lambda features: features.flatten(1)), images[:, :2])
