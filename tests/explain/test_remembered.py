"""What is remembered of a network counts only as long as nothing of the network has changed."""

import copy
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.core.hooks import watching
from lookcloser.explain import attention_rollout, cam, gradcam
from lookcloser.explain.layers import find_spatial_layer
from lookcloser.explain.remembered import Remembered, structure_of


class Switched(nn.Module):
    """A network of tokens that is told in many ways from which of them it answers."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.first = nn.Parameter(torch.randn(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.after = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 5)
        self.settings = {"answer": {"from": ["patches"]}}
        self.namespace = types.SimpleNamespace(answer="patches")
        self._private = "patches"
        self.register_buffer("number", torch.tensor(0))
        self.loose = torch.tensor(0)

    def token(self):
        return (
            self.settings["answer"]["from"][0] == "token"
            or self.namespace.answer == "token"
            or self._private == "token"
            or int(self.number) == 1
            or int(self.loose) == 1
        )

    def forward(self, images):
        patches = self.stem(images).flatten(2).mT
        tokens = self.norm(torch.cat((self.first.expand(len(images), -1, -1), patches), dim=1))
        query, key, value = self.qkv(tokens).chunk(3, dim=2)
        weights = (query @ key.mT)[:, None].softmax(dim=3)[:, 0]
        tokens = self.after(tokens + weights @ value)
        return self.fc(tokens[:, 0] if self.token() else tokens[:, 1:].mean(dim=1))


CHANGES = {
    "a dictionary": lambda network: network.settings["answer"]["from"].__setitem__(0, "token"),
    "a namespace": lambda network: setattr(network.namespace, "answer", "token"),
    "a private attribute": lambda network: setattr(network, "_private", "token"),
    "a buffer": lambda network: network.number.fill_(1),
    "a loose tensor": lambda network: network.loose.fill_(1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_settings_are_noticed_wherever_they_lie(change):
    torch.manual_seed(0)
    network, images = Switched().eval(), torch.randn(1, 3, 24, 32)
    before = [view(network, images, 1) for view in (gradcam, attention_rollout)]
    change(network)
    for view, old in zip((gradcam, attention_rollout), before, strict=True):
        fresh = view(copy.deepcopy(network), images, 1)
        torch.testing.assert_close(view(network, images, 1), fresh)
        assert fresh.any()
        assert not torch.allclose(fresh, old, rtol=1e-3)


def test_a_hook_that_turns_the_map_is_noticed(gap, images):
    network = gap().eval()
    gradcam(network, images, 1)
    assert find_spatial_layer(network, images) == "last"
    handle = network.last.register_forward_hook(lambda _module, _inputs, output: output.flip(3))
    assert find_spatial_layer(network, images) == "act"
    handle.remove()
    assert find_spatial_layer(network, images) == "last"


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.early = nn.Conv2d(3, 6, 4, stride=4)
        self.late = nn.Conv2d(6, 6, 1)
        self.gate = nn.Parameter(torch.ones(()))
        self.fc = nn.Linear(6, 5)

    def forward(self, images):
        early = self.early(images)
        mixed = self.gate * self.late(early) + (1 - self.gate) * early
        return self.fc(mixed.mean(dim=(2, 3)))


def test_weights_that_take_a_layer_its_say_are_noticed(images):
    torch.manual_seed(0)
    network = Gated()
    targets = torch.arange(5).expand(4, 5)
    for weight, layer in ((1.0, "late"), (0.0, "early"), (1.0, "late")):
        nn.init.constant_(network.gate, weight)
        assert find_spatial_layer(network, images) == layer
        expected = gradcam(network, images, targets, layer=layer)
        torch.testing.assert_close(gradcam(network, images, targets), expected)
        assert expected.any()
    network.gate.data.zero_()  # which no counter of torch sees
    torch.testing.assert_close(
        gradcam(network, images, targets), gradcam(network, images, targets, layer="early")
    )


def test_looking_leaves_the_memory_alone(gap, images):
    network = gap()
    before = structure_of(network)
    gradcam(network, images, 1)
    with watching({"last": network.last}, lambda *_: None):
        assert structure_of(network) == before
    network.train()
    assert structure_of(network) == before
    with torch.inference_mode():
        network.last.weight = nn.Parameter(torch.ones_like(network.last.weight))
    after = structure_of(network)
    assert after != before
    nn.init.ones_(network.fc.bias)
    assert structure_of(network) != after


def test_one_network_is_forgotten_at_a_time(gap):
    memory, first, second = Remembered(), gap(), gap()
    for network in (first, second):
        memory.put(network, "a", 1)
        memory.put(network, "b", 2)
    first.fc = nn.Linear(6, 5)
    assert memory.get(first, "a") is None
    memory.put(first, "b", 3)
    assert (memory.get(first, "a"), memory.get(first, "b")) == (None, 3)
    memory.forget(second)
    assert memory.get(second, "b") is None


class Tripled(nn.Linear):
    def forward(self, pooled):
        return 3 * super().forward(pooled)


class Unit(nn.Linear):
    def forward(self, pooled):
        return F.linear(pooled, F.normalize(self.weight), self.bias)


@pytest.mark.parametrize("kind", [Tripled, Unit])
def test_a_class_map_is_of_the_weights_that_the_logits_come_from(kind, gap, images):
    """Before, a subclass or a hook gave maps whose means are not the logits."""
    network = gap()
    assert cam(network, images, 1).shape == (4, 12, 16)
    network.fc = kind(6, 5)
    with pytest.raises(LookcloserError, match="not one linear layer on averaged features"):
        cam(network, images, 1)
    network.fc = nn.Linear(6, 5)
    cam(network, images, 1)
    network.fc.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    with pytest.raises(LookcloserError, match="not one linear layer on averaged features"):
        cam(network, images, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_parametrized_classifier_is_one(dtype, gap, images):
    network = gap().to(dtype).eval()
    nn.utils.parametrizations.weight_norm(network.fc)
    with torch.no_grad():
        network.fc.parametrizations.weight.original0.mul_(3)
        logits = network(images.to(dtype)).float()
    maps = cam(network, images.to(dtype), torch.arange(5).expand(4, 5))
    means = maps.mean(dim=(2, 3)) + network.fc.bias.float()
    torch.testing.assert_close(means, logits, rtol=0, atol=0.02 * logits.abs().max().item())
