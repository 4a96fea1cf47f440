"""Two thousand calls on a tiny network: nothing is left in memory or on the network."""

import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from lookcloser.explain import cam, gradcam, guided_backprop, saliency

CALLS = {cam: 1400, gradcam: 200, saliency: 200, guided_backprop: 200}


def resident():
    """Bytes of memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_two_thousand_calls_leave_nothing():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    images = torch.randn(1, 3, 40, 40)  # its features have 46 kB: of 200 calls they would be 9 MB
    for view in CALLS:
        for _ in range(50):
            view(model, images, 1)
    before = resident()
    for view, count in CALLS.items():
        for _ in range(count):
            view(model, images, 1)
    assert resident() - before < 6 * 2**20
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert module.training
    assert all(parameter.grad is None for parameter in model.parameters())
