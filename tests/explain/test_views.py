"""The views against hand-written formulas, other packages, and each fault seen in those."""

import gc
import threading

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.explain import VIEWS, cam, gradcam, normalize, saliency


class Gap(nn.Module):
    """A network with average pooling, an in-place ReLU, and an in-place add after a batch norm."""

    def __init__(self, functional_relu=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(8, 6, 3, padding=1)
        self.functional_relu = functional_relu
        self.fc = nn.Linear(6, 5)

    def forward(self, images):
        hidden = self.norm(self.stem(images))
        hidden += 1.0
        features = self.last(self.act(hidden))
        if self.functional_relu:
            features = F.relu(features, inplace=True)
        return self.fc(features.mean(dim=(2, 3)))


@pytest.fixture
def images():
    return torch.randn(4, 3, 24, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    torch.manual_seed(2)
    return Gap().train()


def by_hand(model, images, relu=False):
    """Class maps (B, C, h, w) from the formula, and the features they come from."""
    with torch.no_grad():
        model.eval()
        features = model.last(model.act(model.norm(model.stem(images)) + 1.0))
        features = features.relu() if relu else features
        return torch.einsum("cd,bdhw->bchw", model.fc.weight, features), features


@pytest.mark.parametrize("functional_relu", [False, True])
def test_cam_is_the_weighted_sum_of_the_features(images, functional_relu):
    torch.manual_seed(2)
    model = Gap(functional_relu)
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
    torch.testing.assert_close(maps.relu() / area, gradcam(model, images, 3), rtol=1e-4, atol=1e-7)


def test_gradcam_by_hand_at_an_inner_layer(model, images):
    model.eval()
    inner = (model.norm(model.stem(images)) + 1.0).relu().detach().requires_grad_()
    score = model.fc(model.last(inner).mean(dim=(2, 3)))[:, 4].sum()
    (slope,) = torch.autograd.grad(score, inner)
    expected = (slope.mean(dim=(2, 3), keepdim=True) * inner).sum(dim=1).relu().detach()
    torch.testing.assert_close(gradcam(model, images, 4, layer="act"), expected)


def test_saliency_is_the_largest_slope_over_channels(model, images):
    pixels = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.eval()(pixels)[:, 1].sum(), pixels)
    torch.testing.assert_close(saliency(model, images, 1), slope.abs().amax(dim=1))


def test_saliency_follows_a_finite_difference():
    torch.manual_seed(0)
    model, image = Gap().double().eval(), torch.randn(1, 3, 8, 8, dtype=torch.float64)
    step = torch.zeros_like(image)
    step[0, :, 3, 4] = torch.eye(3, dtype=torch.float64)[0] * 1e-6
    slopes = [
        (model(image + step.roll(channel, 1)) - model(image - step.roll(channel, 1)))[0, 2].abs()
        for channel in range(3)
    ]
    expected = max(slope.item() for slope in slopes) / 2e-6
    assert saliency(model, image, 2)[0, 3, 4].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_targets_in_every_form(model, images, view):
    every = view(model, images, torch.arange(5).expand(4, 5))
    assert every.shape[:2] == (4, 5)
    best = model.eval()(images).argmax(dim=1)
    own = torch.tensor([3, 0, 4, 1])
    rows = torch.arange(4)
    torch.testing.assert_close(view(model, images), every[rows, best])
    torch.testing.assert_close(view(model, images, 2), every[:, 2])
    torch.testing.assert_close(view(model, images, own), every[rows, own])
    torch.testing.assert_close(view(model, images, [3, 0, 4, 1]), every[rows, own])


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_one_target_for_a_batch_gives_each_image_its_own_map(model, images, view):
    together = view(model, images, 2)
    alone = torch.cat([view(model, image[None], 2) for image in images])
    torch.testing.assert_close(together, alone)
    assert (together.flatten(1).abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_the_model_is_left_as_it_was_found(model, images, view):
    model.norm.eval()
    model.fc.weight.grad = torch.full_like(model.fc.weight, 7.0)
    model.stem.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    view(model, images)
    with pytest.raises(LookcloserError):
        view(model, images, 99)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert (model.fc.weight.grad == 7.0).all()
    assert model.last.weight.grad is None
    assert not model.stem.weight.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode])
def test_works_without_gradients_around(model, images, view, block):
    expected = view(model, images, 1)
    with block():
        made_inside = images.clone()
        torch.testing.assert_close(view(model, made_inside, 1), expected)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_works_under_bfloat16_autocast(model, images, view):
    expected = view(model, images, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = view(model, images, 1)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_frozen_parameters_do_not_matter(model, images, view):
    expected = view(model, images, 1)
    model.requires_grad_(False)
    torch.testing.assert_close(view(model, images, 1), expected)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_threads_share_one_model(model, images, view):
    expected = [view(model, images, target) for target in range(5)]
    wrong = []

    def work(target):
        for _ in range(10):
            if not torch.allclose(view(model, images, target), expected[target], atol=1e-6):
                wrong.append(target)

    threads = [threading.Thread(target=work, args=(number % 5,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert model.training


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_many_calls_keep_no_tensors(model, images, view):
    def tensors():
        gc.collect()
        return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())

    view(model, images)
    before = tensors()
    for _ in range(30):
        view(model, images)
    assert tensors() <= before


def test_exceptions_of_the_model_reach_the_caller(model):
    with pytest.raises(RuntimeError, match="channels"):
        gradcam(model, torch.zeros(1, 5, 8, 8), layer="last")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (5, "target 5: no such class. 0 … 4"),
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
    with pytest.raises(LookcloserError, match=r"the model returned \(4, 2, 22, 30\)"):
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


@pytest.fixture
def pooled():
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=10).eval()
    # The peers add 1e-8 and 1e-7 to what they divide by; large scores make that vanish.
    model.fc.weight.data *= 1e4
    return model, torch.randn(2, 3, 96, 96)


def test_gradcam_equals_torchcam_on_a_pooled_network(pooled):
    torchcam = pytest.importorskip("torchcam.methods", reason="peer package not installed")
    model, images = pooled
    with torchcam.GradCAM(model, model.layer4, enable_hooks=True) as extractor:
        theirs = extractor([3, 7], model(images))[0]
    torch.testing.assert_close(normalize(gradcam(model, images, [3, 7])), theirs, rtol=0, atol=1e-5)


def test_gradcam_equals_the_grad_cam_package_on_a_pooled_network(pooled):
    peer = pytest.importorskip("pytorch_grad_cam", reason="peer package not installed")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, images = pooled
    with peer.GradCAM(model, [model.layer4]) as extractor:
        wanted = [ClassifierOutputTarget(3), ClassifierOutputTarget(7)]
        theirs = torch.from_numpy(extractor(images, wanted))
    ours = gradcam(model, images, [3, 7])
    spread = ours - ours.amin(dim=(1, 2), keepdim=True)  # the package stretches the minimum to 0
    large = F.interpolate(normalize(spread)[:, None], (96, 96), mode="bilinear")[:, 0]
    stretched = normalize(large - large.amin(dim=(1, 2), keepdim=True))
    torch.testing.assert_close(stretched, theirs, rtol=0, atol=1e-5)


def test_normalize_keeps_nothing_as_nothing():
    maps = torch.tensor([[[-3.0, -1.0], [-2.0, 0.0]], [[-1.0, 2.0], [4.0, 0.0]]])
    expected = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]])
    assert torch.equal(normalize(maps), expected)
