"""The same numbers as torchcam, grad-cam and captum, to 1e-5, where the method is the same."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.explain import (
    attention_rollout,
    cam,
    deconvnet,
    eigencam,
    gradcam,
    gradcampp,
    guided_backprop,
    integrated_gradients,
    layercam,
    normalize,
    occlusion,
    saliency,
    scorecam,
    smoothgrad,
)


@pytest.fixture(scope="module")
def pooled():
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=10).eval()
    # The peers add 1e-8 and 1e-7 to what they divide by; large scores make that vanish.
    model.fc.weight.data *= 1e4
    return model, torch.randn(2, 3, 96, 96)


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=10).eval(), torch.randn(2, 3, 64, 64)


def stretched(maps):
    """Minimum to 0, maximum to 1, as the packages do."""
    return normalize(maps - maps.amin(dim=(1, 2), keepdim=True))


def close(ours, theirs, share=1e-5):
    """Within 1e-5 of the largest value."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=share * theirs.abs().max().item())


@pytest.mark.parametrize("layer", ["layer4", "layer3"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(gradcam, "GradCAM"), (layercam, "LayerCAM")],
    ids=["gradcam", "layercam"],
)
def test_maps_equal_torchcams(pooled, ours, theirs, layer):
    torchcam = pytest.importorskip("torchcam.methods", reason="peer package not installed")
    model, images = pooled
    with getattr(torchcam, theirs)(model, layer) as extractor:
        expected = extractor([3, 7], model(images))[0]
    close(stretched(ours(model, images, [3, 7], layer=layer)), expected)


def test_cam_equals_torchcams(pooled):
    torchcam = pytest.importorskip("torchcam.methods", reason="peer package not installed")
    model, images = pooled
    with torchcam.CAM(model, "layer4", "fc") as extractor, torch.inference_mode():
        model(images)
        expected = extractor([3, 7])[0]
    close(stretched(cam(model, images, [3, 7])), expected)


class Fine(nn.Module):
    """Features at the size of the image: stretching before or after enlarging is the same."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(6, 5)

    def forward(self, images):
        return self.fc(self.features(images).mean(dim=(2, 3)))


def test_scorecam_equals_torchcam_where_features_need_no_enlarging(images):
    # Elsewhere torchcam stretches the small map to [0, 1], the paper the enlarged one.
    torchcam = pytest.importorskip("torchcam.methods", reason="peer package not installed")
    torch.manual_seed(0)
    model = Fine().eval()
    with torchcam.ScoreCAM(model, "features") as extractor, torch.no_grad():
        model(images)
        expected = extractor([3, 1, 0, 2])[0]
    maps = scorecam(model, images, [3, 1, 0, 2], layer="features")
    close(stretched(maps), expected)


def stretched_by_grad_cam(maps, size):
    """Its post-processing: the minimum to 0, the maximum to 1, enlarged, and stretched again."""
    small = stretched(maps.relu())[:, None]
    return stretched(F.interpolate(small, size, mode="bilinear")[:, 0])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(gradcam, "GradCAM"), (gradcampp, "GradCAMPlusPlus"), (layercam, "LayerCAM")],
    ids=["gradcam", "gradcampp", "layercam"],
)
def test_maps_equal_the_grad_cam_packages(pooled, ours, theirs):
    peer = pytest.importorskip("pytorch_grad_cam", reason="peer package not installed")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, images = pooled
    with getattr(peer, theirs)(model, [model.layer4]) as extractor:
        wanted = [ClassifierOutputTarget(3), ClassifierOutputTarget(7)]
        expected = torch.from_numpy(extractor(images, wanted))
    close(stretched_by_grad_cam(ours(model, images, [3, 7]), (96, 96)), expected)


def test_eigencam_differs_from_the_grad_cam_package_by_its_centering_alone(pooled):
    peer = pytest.importorskip("pytorch_grad_cam", reason="peer package not installed")
    model, images = pooled

    class Centered(nn.Module):
        def forward(self, features):
            return features - features.mean(dim=(2, 3), keepdim=True)

    both = nn.Sequential(
        copy.deepcopy(nn.Sequential(*list(model.children())[:-2])), Centered(), nn.Flatten()
    )
    with peer.EigenCAM(model, [model.layer4]) as extractor:
        theirs = torch.from_numpy(extractor(images, None))
    ours = eigencam(both.eval(), images, layer="1")
    signs = [stretched_by_grad_cam(sign * ours, (96, 96)) for sign in (1, -1)]
    for image in range(2):  # the package takes whatever sign the decomposition gives
        assert min((sign[image] - theirs[image]).abs().max() for sign in signs) < 1e-4


@pytest.fixture(scope="module")
def captum():
    return pytest.importorskip("captum.attr", reason="peer package not installed")


def test_saliency_equals_captums(captum, plain):
    model, images = plain
    theirs = captum.Saliency(model).attribute(images.clone().requires_grad_(), target=[3, 7])
    close(saliency(model, images, [3, 7]), theirs.amax(dim=1))


@pytest.mark.parametrize("steps", [1, 8, 20])
def test_integrated_gradients_equal_captums(captum, plain, steps):
    model, images = plain
    theirs = captum.IntegratedGradients(model).attribute(
        images, baselines=0.3, target=[3, 7], n_steps=steps, method="gausslegendre"
    )
    ours = integrated_gradients(model, images, [3, 7], baseline=0.3, steps=steps)
    close(ours, theirs.sum(dim=1).float())


def test_smoothgrad_equals_captums_on_the_same_noise(captum, plain):
    model, images = plain
    generator = torch.Generator().manual_seed(0)
    patterns = [torch.randn(3, 64, 64, generator=generator) for _ in range(3)]
    low, high = images.flatten(1).aminmax(dim=1)
    spread = 0.15 * (high - low)[:, None, None, None]
    method = captum.Saliency(model)
    theirs = [
        method.attribute((images + spread * pattern).requires_grad_(), target=[3, 7], abs=False)
        for pattern in patterns
    ]
    close(smoothgrad(model, images, [3, 7], samples=3), (sum(theirs) / 3).abs().amax(dim=1))


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(guided_backprop, "GuidedBackprop"), (deconvnet, "Deconvolution")],
    ids=["guided_backprop", "deconvnet"],
)
def test_guided_backprop_and_deconvnet_equal_captums(captum, ours, theirs):
    torch.manual_seed(0)
    model = nn.Sequential(  # captum's hooks need every ReLU to be a module of its own
        nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 13 * 13, 10),
    ).eval()  # fmt: skip
    images = torch.randn(2, 3, 64, 64)
    expected = getattr(captum, theirs)(model).attribute(
        images.clone().requires_grad_(), target=[3, 7]
    )
    close(ours(model, images, [3, 7]), expected.abs().amax(dim=1))


@pytest.mark.parametrize(("window", "stride"), [(16, 8), (20, 13)])
def test_occlusion_equals_captums(captum, plain, window, stride):
    model, images = plain
    theirs = captum.Occlusion(model).attribute(
        images,
        target=[3, 7],
        sliding_window_shapes=(3, window, window),
        strides=(3, stride, stride),
        baselines=0.0,
    )
    ours = occlusion(model, images, [3, 7], window=window, stride=stride)
    # Differences of float32 logits: their rounding is the floor.
    with torch.no_grad():
        floor = 4 * torch.finfo(torch.float32).eps * model(images).abs().max().item()
    atol = max(floor, 1e-5 * theirs.abs().max().item())
    torch.testing.assert_close(ours, theirs[:, 0], rtol=0, atol=atol)


def test_several_targets_are_those_asked_for_one_by_one(plain):
    model, images = plain
    together = gradcampp(model, images, torch.tensor([[3, 1], [7, 0]]))
    close(together[:, 0], gradcampp(model, images, [3, 7]))
    close(together[:, 1], gradcampp(model, images, [1, 0]))
    with pytest.raises(ValueError, match="no attention"):
        attention_rollout(model, images)
