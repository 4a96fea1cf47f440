import copy

import pytest
import torch
from torch import nn

from lookcloser.models.tracing import dead_modules, traced


class Branches(nn.Module):
    """One branch is used, one runs for nothing, one does not run."""

    def __init__(self):
        super().__init__()
        self.used = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.idle = nn.Conv2d(3, 4, 3)
        self.behind = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 6)))
        self.alone = nn.Parameter(torch.zeros(2))

    def forward(self, images):
        self.idle(images)
        return self.used(images)


def test_living_are_those_that_the_output_depends_on():
    network = Branches().train()
    output, living = traced(network, (8, 9))
    assert output.shape == (1, 4, 6, 7)
    assert living == {"used.0.weight", "used.0.bias", "used.1.weight", "used.1.bias"}
    assert dead_modules(network, living) == ["idle", "behind"], "the outermost ones"


def test_they_are_those_that_get_a_gradient():
    network = Branches()
    _, living = traced(network, (8, 8))
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    assert living == {
        name for name, weight in network.named_parameters() if weight.grad is not None
    }


@pytest.mark.parametrize("made_inside", [True, False])
def test_so_they_are_in_inference_mode(made_inside):
    network = Branches()
    with torch.inference_mode():
        _, living = traced(Branches() if made_inside else network, (8, 8))
        _, asked = traced(Asking() if made_inside else network, (8, 8))
    assert living == traced(network, (8, 8))[1]
    assert asked, "also where it is run for real"


def test_the_network_is_left_as_it_was_found():
    network = Branches().train()
    network.used[0].weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    output, living = traced(network, (8, 8))
    assert output.is_meta, "nothing is computed"
    assert "used.0.weight" in living, "whether or not it learns just now"
    assert network.training
    assert not network.used[0].weight.requires_grad
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(weight.grad is None for weight in network.parameters())


class Asking(nn.Module):
    """Asks for a value, which the meta device has not."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3)

    def forward(self, images):
        return self.layer(images) * (1 if float(images.sum()) == 0 else 2)


def test_a_network_that_needs_values_is_run_for_real():
    output, living = traced(Asking().double(), (5, 5))
    assert not output.is_meta
    assert output.dtype == torch.float64
    assert living == {"layer.weight", "layer.bias"}


class Shared(nn.Module):
    """One module under two names, and one tensor in two modules."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3)
        self.second = self.first
        self.third = nn.Conv2d(3, 3, 3, bias=False)
        self.third.weight = self.first.weight

    def forward(self, images):
        return self.third(self.second(self.first(images)))


def test_shared_parts_are_put_back():
    network = Shared()
    weight = network.first.weight
    _, living = traced(network, (9, 9))
    assert living == {"first.weight", "first.bias", "third.weight"}
    assert network.first.weight is weight
    assert network.third.weight is weight
    assert not network.second.bias.is_meta


def test_what_it_refuses_is_said():
    with pytest.raises(RuntimeError, match="Kernel size"):
        traced(nn.Conv2d(3, 2, 7), (5, 5))
