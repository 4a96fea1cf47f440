"""Views are rated by what the network answers, and leave it as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lookcloser.core import LookcloserError
from lookcloser.core.calibration import Calibration
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.types import Output
from lookcloser.data import Catalog, Sample
from lookcloser.evaluation import ViewScores
from lookcloser.explain import VIEWS
from lookcloser.models import Model, build_model
from lookcloser.recognizer import Recognizer

NAMES = ("red", "green", "blue")
SIZE, CORNER = 32, 8
RANDOM = "random map 4 × 4"


class Corner(nn.Module):
    """Features of the upper left cell alone."""

    def forward(self, features):
        mask = torch.zeros_like(features)
        mask[..., 0, 0] = 1
        return features * mask


class Planted(Model):
    """Answers with the color of the corner; nothing else of the picture changes that."""

    name, tasks, summary = "planted", ("classification",), ""

    def __init__(self):
        super().__init__()
        colors = nn.Conv2d(3, 3, 1, bias=False)
        colors.weight.data = torch.eye(3)[:, :, None, None]
        self.features = nn.Sequential(colors, nn.AvgPool2d(CORNER), Corner())
        self.head = nn.Linear(3, 3)
        self.head.weight.data = 20 * torch.eye(3)
        self.head.bias.data.zero_()

    def forward(self, images, targets=None, top=None):
        features = self.features(images)
        logits = self.head(features.mean(dim=(2, 3)))
        maps = torch.einsum("bdhw,cd->bchw", features, self.head.weight)
        if targets is None and top is None:
            return Output(logits, maps)
        tokens = logits.topk(top).indices if targets is None else targets
        return Output(logits, maps[torch.arange(len(maps))[:, None], tokens], tokens=tokens)


def catalog(task="classification", count=12):
    """Noise with a corner in the color of its class, in memory."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(count):
        pixels = generator.integers(90, 150, (SIZE, SIZE, 3)).astype(np.uint8)
        pixels[:CORNER, :CORNER, number % 3] = 250
        labels = (NAMES[number % 3],)
        samples.append(Sample(f"{number}.png", pixels, labels, split="test"))
    return Catalog("memory", "memory", task, NAMES, tuple(samples))


@pytest.fixture
def planted():
    header = ModelHeader("planted", {}, "classification", NAMES, Preprocessing((SIZE, SIZE)))
    return Recognizer(Planted(), header, device="cpu")


def tagger(method):
    torch.manual_seed(0)
    arguments = {"num_classes": 3, "backbone": "test_resnet", "stride": 8}
    header = ModelHeader(method, arguments, "multilabel", NAMES, Preprocessing((SIZE, SIZE)))
    return Recognizer(build_model(method, arguments), header, device="cpu")


def edges(_model, images, targets):
    """A view that looks at the picture alone."""
    steps = images.mean(dim=1).diff(dim=1).abs()
    return steps[:, None].expand(-1, targets.shape[1], -1, -1)


def test_views_of_a_planted_corner_beat_random_maps(planted):
    found = planted.rate_views(catalog(), views=["cam", "gradcam"])
    assert list(found) == ["cam", "gradcam", RANDOM]
    reference = found[RANDOM]
    assert reference == ViewScores(12, *reference[1:4], None, None)
    for view in ("cam", "gradcam"):
        own = found[view]
        assert own.images == 12
        assert own.deletion < reference.deletion - 0.1
        assert own.insertion > reference.insertion + 0.1
        assert own.road > reference.road + 0.1
        assert own.left is not None
        assert all(0 <= score <= 1 for score in (own.deletion, own.insertion, own.left))


def test_scores_are_those_at_the_models_temperature(planted):
    """A head in closed form has logits of hundreds, whose plain softmax is 0 or 1."""
    plain = planted.rate_views(catalog(), views=["cam"], images=4)
    planted.model.head.weight.data *= 128
    loud = planted.rate_views(catalog(), views=["cam"], images=4)
    planted.header = replace(planted.header, calibration=Calibration(128.0))
    calm = planted.rate_views(catalog(), views=["cam"], images=4)
    for view in ("cam", RANDOM):
        assert calm[view][1:4] == pytest.approx(plain[view][1:4], rel=1e-4)
        assert abs(loud[view].insertion - plain[view].insertion) > 0.01


def test_a_view_that_ignores_the_weights_is_flagged(planted, monkeypatch):
    monkeypatch.setitem(VIEWS, "edges", edges)
    recognizer = tagger("sigmoid")
    found = recognizer.rate_views(catalog("multilabel"), views=["edges", "cam"], images=6)
    assert found["edges"].left == pytest.approx(1)
    assert found["edges"].insensitive is True
    assert found["cam"].insensitive is False
    assert list(found)[2:] == ["random map 32 × 31", RANDOM]
    assert planted.rate_views(catalog(), views=["edges"], images=3)["edges"].insensitive is True


def refuse(_images):
    raise LookcloserError("its answer does not depend on the image")


@pytest.mark.parametrize("random", [refuse, lambda images: images[:, 0]])
def test_a_copy_that_has_no_such_map_any_more_has_nothing_in_common(planted, monkeypatch, random):
    """Random weights may see no image; another layer may be the last that has a say."""
    weights = planted.model.head.weight.clone()

    def fragile(model, images, targets):
        if not torch.equal(model.head.weight, weights):
            return random(images)[:, None].expand(-1, targets.shape[1], -1, -1)
        return planted.model(images, targets=targets).maps

    monkeypatch.setitem(VIEWS, "fragile", fragile)
    found = planted.rate_views(catalog(), views=["fragile"], images=6)["fragile"]
    assert (found.left, found.insensitive) == (0, False)


@pytest.mark.parametrize("method", ["sigmoid", "cnnrnn"])
def test_tags_are_rated_by_their_best_label(method):
    data = catalog("multilabel")
    found = tagger(method).rate_views(data, views=["gradcam"], images=3)
    assert list(found) == ["gradcam", RANDOM]
    assert np.isfinite(found["gradcam"]).all()


def test_the_same_call_gives_the_same_numbers(planted):
    first = planted.rate_views(catalog(), images=5)
    assert list(first)[:3] == ["cam", "gradcam", "saliency"]
    assert planted.rate_views(catalog(), images=5) == first
    assert planted.rate_views(catalog(), images=5, seed=1) != first
    parts = planted.rate_views(catalog(), images=5, batch_size=2)
    for name, scores in parts.items():
        assert scores[:5] == pytest.approx(first[name][:5], abs=1e-3), "only ROAD's noise differs"


def test_the_model_is_left_as_it_was(planted):
    model = planted.model
    model.head.train()
    model.head.weight.grad = torch.ones(3, 3)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    planted.rate_views(catalog(), images=3)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert all(not module._forward_hooks for module in model.modules())
    assert model.features[0].weight.grad is None
    assert torch.equal(model.head.weight.grad, torch.ones(3, 3))


def test_unreadable_images_are_left_out(planted, tmp_path):
    data = catalog(count=4)
    (tmp_path / "broken.png").write_bytes(b"x")
    broken = Sample("broken.png", tmp_path / "broken.png", ("red",), split="test")
    mixed = Catalog("memory", "memory", data.task, NAMES, (*data.samples, broken))
    found = planted.rate_views(mixed, views=["cam"], images=24)
    assert {scores.images for scores in found.values()} == {4}
    nothing = Catalog("memory", "memory", data.task, NAMES, (broken,))
    with pytest.raises(LookcloserError, match="None of the 1 images could be read"):
        planted.rate_views(nothing, views=["cam"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"views": ["gradcan"]}, "gradcan: unknown view. Close: gradcam"),
        ({"views": ["attention_rollout"]}, "attention_rollout: Planted has no attention"),
        ({"images": 0}, "images = 0. Allowed: 1 or more"),
        ({"split": "tset"}, "tset: unknown split"),
    ],
)
def test_what_is_wrong_is_named(planted, given, message):
    with pytest.raises(LookcloserError, match=message):
        planted.rate_views(catalog(), **given)


def test_captions_are_refused():
    header = ModelHeader("lstm", {}, "captioning", ("a",), Preprocessing((SIZE, SIZE)))
    with pytest.raises(LookcloserError, match="lstm: writes captions, and a view is of one class"):
        Recognizer(Planted(), header, device="cpu").rate_views(catalog("captioning"))
