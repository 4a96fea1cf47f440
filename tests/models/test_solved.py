import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser.closed_form import Memory, fit_discriminant
from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.explain import cam, gradcam, saliency
from lookcloser.models import build_model, load_model_file, save_model_file
from lookcloser.models.cam.model import CAM
from lookcloser.models.cam.options import CAMOptions
from lookcloser.models.solved import RootedChannels, Solution, learnable

CLASSES = 3


def images(count=4, seed=0, size=64):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def solved_model(limit=100, seed=0):
    """A network whose head is solved from the features of random images."""
    torch.manual_seed(seed)
    plain = CAM(CLASSES, CAMOptions(backbone="test_resnet", rooted=True)).eval()
    with torch.no_grad():
        pooled = plain.root(plain.backbone(images(30, seed=5))).mean(dim=(2, 3)).numpy()
    memory = Memory.of(pooled, np.eye(CLASSES, dtype=bool)[np.arange(30) % CLASSES], limit)
    head = fit_discriminant(memory)
    arguments = {
        "num_classes": CLASSES,
        "backbone": "test_resnet",
        "rooted": True,
        **Solution.sizes(memory, head.metric),
    }
    model = build_model("cam", arguments)
    model.backbone.load_state_dict(plain.backbone.state_dict())
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(head.weight))
        model.head.bias.copy_(torch.from_numpy(head.bias))
    model.solution.fill(memory, head.metric)
    return model.eval(), memory, head, arguments


class TestRootedChannels:
    def test_the_mean_is_the_root_of_the_mean(self):
        features = torch.randn(2, 5, 7, 6).double()
        means = features.mean(dim=(2, 3))
        rooted = RootedChannels()(features).mean(dim=(2, 3))
        torch.testing.assert_close(rooted, means.sign() * means.abs().sqrt(), atol=1e-2, rtol=1e-2)
        torch.testing.assert_close(rooted, means / (means.abs() + 1e-4).sqrt())

    def test_gradients_are_finite_where_a_channel_is_silent(self):
        features = torch.zeros(1, 3, 4, 4, requires_grad=True)
        RootedChannels()(features).sum().backward()
        assert torch.isfinite(features.grad).all()


def test_the_score_is_the_mean_of_its_map():
    """The identity that makes a class map exact, for the rooted features too."""
    model, *_ = solved_model()
    model = model.double()
    with torch.no_grad():
        output = model(images().double())
    expected = output.maps.mean(dim=(2, 3)) + model.head.bias
    torch.testing.assert_close(output.logits, expected)


def test_views_see_the_rooted_network():
    model, *_ = solved_model()
    batch, targets = images(), torch.tensor([0, 1, 2, 0])
    maps = model(batch).maps.detach()[torch.arange(4), targets]
    torch.testing.assert_close(cam(model, batch, targets), maps, rtol=1e-4, atol=1e-4)
    assert torch.isfinite(gradcam(model, batch, targets)).all()
    assert torch.isfinite(saliency(model, batch, targets)).all()


def test_logits_and_distances_are_those_of_the_closed_form():
    model, _, head, _ = solved_model()
    with torch.no_grad():
        pooled = model.root(model.backbone(images())).mean(dim=(2, 3)).numpy()
        output = model(images())
    logits = pooled.astype(np.float64) @ head.weight.T + head.bias
    scale = np.abs(logits).max()
    np.testing.assert_allclose(output.logits.numpy() / scale, logits / scale, atol=1e-4)
    expected = head.metric.distances(pooled, logits)
    np.testing.assert_allclose(output.distances.numpy(), expected, rtol=2e-3)


@pytest.mark.parametrize("limit", [100, 12])
def test_a_saved_model_brings_its_memory(tmp_path, limit):
    model, memory, head, arguments = solved_model(limit)
    header = ModelHeader(
        "cam", arguments, "classification", ("a", "b", "c"), calibration=head.calibration
    )
    path = save_model_file(tmp_path / "m.safetensors", model.state_dict(), header)
    loaded, package = load_model_file(path)
    assert package.calibration == head.calibration
    again = loaded.solution.memory()
    assert np.array_equal(again.features, memory.features)
    assert np.array_equal(again.labels, memory.labels)
    assert again.count == 30
    repeated = fit_discriminant(again)
    assert np.array_equal(repeated.weight, head.weight)
    with torch.no_grad():
        assert torch.equal(loaded(images()).distances, model(images()).distances)


def test_a_trained_head_has_no_distances():
    assert CAM(CLASSES, CAMOptions(backbone="test_resnet")).eval()(images()).distances is None


@pytest.mark.parametrize(
    "sizes",
    [{"kept": 10**9}, {"kept": -1}, {"kept": 5, "rank": 10**6}],
)
def test_sizes_of_no_closed_form_are_refused(sizes):
    with pytest.raises(LookcloserError, match="no closed form has"):
        Solution(3, 8, **sizes)


def test_double_precision_and_a_batch_of_one():
    model, *_ = solved_model()
    wide = model.double()
    with torch.no_grad():
        together = wide(images().double())
        alone = [wide(image[None].double()) for image in images()]
    torch.testing.assert_close(together.distances, torch.cat([o.distances for o in alone]))


class TestLearnable:
    """A head that says its best class 30 nats above each other one."""

    @staticmethod
    def logits(classes=10):
        return 30 * torch.eye(classes, dtype=torch.float64)

    def test_label_smoothing_finds_nothing_to_soften(self):
        for classes, smoothing in ((2, 0.1), (10, 0.1), (10, 0.3), (50, 0.05)):
            logits = self.logits(classes) / learnable(self.logits(classes), 1e-3, smoothing)
            logits.requires_grad_(True)
            targets = torch.arange(classes)
            F.cross_entropy(logits, targets, label_smoothing=smoothing).backward()
            assert logits.grad.abs().max() < 1e-12

    def test_a_head_that_is_less_sure_stays_so(self):
        assert learnable(self.logits(), 25.0, 0.1) == 25.0
        assert learnable(self.logits(), 25.0) == 25.0

    @pytest.mark.parametrize("smoothing", [0.0, 1e-12])
    def test_without_smoothing_twenty_nats_are_enough(self, smoothing):
        assert learnable(self.logits(), 1e-3, smoothing) == pytest.approx(27 / 20)
