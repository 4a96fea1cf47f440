"""What is remembered of a network counts only as long as nothing of the network has changed."""

import argparse
import copy
import dataclasses
import gc
import types
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.core.hooks import watching
from lookcloser.explain import NamedOutput, attention_rollout, cam, gradcam
from lookcloser.explain.layers import find_spatial_layer
from lookcloser.explain.remembered import Likeness, Remembered


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
    before = Likeness(network)
    gradcam(network, images, 1)
    with watching({"last": network.last}, lambda *_: None):
        assert before.holds()
    network.train()
    assert before.holds()
    with torch.inference_mode():
        network.last.weight = nn.Parameter(torch.ones_like(network.last.weight))
    assert not before.holds()
    after = Likeness(network)
    nn.init.ones_(network.fc.bias)
    assert not after.holds()


@dataclasses.dataclass
class Settings:
    """Read by a network."""

    pool: str = "mean"


class Block(nn.Module):
    """Has something of every kind that a network may read its way from."""

    scale = 1.0

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        self.settings = Settings()
        self.arguments = argparse.Namespace(pool="mean")
        self.chosen = {1, 2}
        self.where = slice(0, 5)
        self.rate = 0.5
        self.table = np.arange(6)
        self.deep = {"a": [{"b": (1, 2)}]}
        self.act = F.relu
        self.gate = torch.zeros(1)
        self.kept = [self.gate]
        self.parent = [self]  # leads back to the network

    def part(self, images):
        return self.act(self.inner(images))

    def forward(self, images):
        return self.part(images)

    def hook(self, _module, _inputs, output):
        return output


def other_forward(self, images):
    return images


def with_prehook(block):
    block.inner[0].register_forward_pre_hook(lambda _module, inputs: (inputs[0].flip(3),))


def another_hook(block):
    block.handle.remove()
    block.handle = block.inner.register_forward_hook(lambda *_: None)


def swap_order(block):
    block.inner[0], block.inner[1] = block.inner[1], block.inner[0]


def as_subclass(block):
    block.inner[0].__class__ = type("Mine", (nn.Conv2d,), {"forward": other_forward})


BLOCK_CHANGES = {
    "a dataclass": lambda block: setattr(block.settings, "pool", "max"),
    "parsed arguments": lambda block: setattr(block.arguments, "pool", "max"),
    "a set": lambda block: block.chosen.add(3),
    "a slice": lambda block: setattr(block, "where", slice(5, 10)),
    "a number, twice": lambda block: (setattr(block, "rate", 0.6), setattr(block, "rate", 0.7)),
    "another array": lambda block: setattr(block, "table", np.arange(6)),
    "a setting in a setting": lambda block: block.deep["a"][0].__setitem__("b", (1, 3)),
    "a function": lambda block: setattr(block, "act", F.gelu),
    "a loose tensor": lambda block: block.gate.add_(1),
    "a longer list": lambda block: block.kept.append(None),
    "another number of a loose tensor": lambda block: setattr(block, "gate", torch.ones(1)),
    "a new attribute": lambda block: setattr(block, "news", 1),
    "an attribute that is gone": lambda block: delattr(block, "rate"),
    "forward of the instance": lambda block: setattr(block.inner[0], "forward", lambda x: x),
    "forward of the class": lambda block: setattr(Block, "forward", other_forward),
    "what forward of the class calls": lambda block: setattr(Block, "part", other_forward),
    "a setting of the class": lambda block: setattr(Block, "scale", 2.0),
    "another class": as_subclass,
    "a hook": lambda block: block.inner.register_forward_hook(lambda *_: None),
    "another hook": another_hook,
    "a hook that is gone": lambda block: block.handle.remove(),
    "a hook before": with_prehook,
    "a weight in place": lambda block: nn.init.zeros_(block.inner[0].weight),
    "a weight that is replaced": lambda block: setattr(
        block.inner[0], "weight", nn.Parameter(block.inner[0].weight.detach())
    ),
    "a weight by .data": lambda block: setattr(block.inner[0].bias, "data", torch.ones(3)),
    "a weight that is gone": lambda block: setattr(block.inner[0], "bias", None),
    "another type of numbers": lambda block: block.double(),
    "a buffer in place": lambda block: block.inner[1].running_mean.add_(1),
    "a module": lambda block: setattr(block, "inner", nn.Identity()),
    "a module inside": lambda block: block.inner.__setitem__(1, nn.BatchNorm2d(3)),
    "a module more": lambda block: block.inner.append(nn.Flatten()),
    "a module that is gone": lambda block: block.inner.__delitem__(1),
    "the order of modules": swap_order,
    "a parametrization": lambda block: nn.utils.parametrizations.weight_norm(block.inner[0]),
}


@pytest.mark.parametrize("change", BLOCK_CHANGES.values(), ids=BLOCK_CHANGES)
def test_whatever_changes_is_noticed(change, monkeypatch):
    for name in ("forward", "part", "scale"):
        monkeypatch.setattr(Block, name, vars(Block)[name])  # put back after the test
    block = Block()
    block.handle = block.inner.register_forward_hook(lambda *_: None)
    before = Likeness(block)
    assert before.holds()
    change(block)
    assert not before.holds()
    assert Likeness(block).holds()


NO_CHANGES = {
    "training": lambda block: block.train(not block.training),
    "a pass": lambda block: block.eval()(torch.randn(1, 3, 4, 4)),
    "a hook of training": lambda block: block.inner.register_full_backward_hook(lambda *_: None),
    "gradients": lambda block: block.eval()(torch.randn(1, 3, 4, 4)).sum().backward(),
    "an equal setting": lambda block: setattr(block, "deep", {"a": [{"b": (1, 2)}]}),
}


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_changes_no_answer_is_not_taken_for_a_change(change):
    block = Block()
    before = Likeness(block)
    change(block)
    assert before.holds()


def test_memory_keeps_no_network_alive():
    """Whatever leads back to a network from inside it."""
    memory, block = Remembered(), Block()
    block.inner.register_forward_hook(block.hook)
    block.bound = block.part
    memory.put(block, "a", 1)
    gone = weakref.ref(block)
    del block
    gc.collect()
    assert gone() is None


def test_the_output_that_is_chosen_counts(gap):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = gap(), gap()

        def forward(self, images):
            return {"one": self.one(images), "other": self.other(images)}

    network = NamedOutput(Two(), "one")
    before = Likeness(network)
    network.output = "other"
    assert not before.holds()


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
