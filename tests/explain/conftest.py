"""Two small networks with every trap in them, and images."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F


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


class Everything(nn.Module):
    """Batch norm, in-place add and ReLU, dropout, fused attention, pooling: all views apply."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.qkv = nn.Linear(8, 24)
        self.drop = nn.Dropout(0.5)
        self.end = nn.Identity()
        self.fc = nn.Linear(8, 5)

    def forward(self, images):
        hidden = self.norm(self.stem(images))
        hidden += 0.5
        tokens = self.last(torch.relu_(hidden)).flatten(2).mT
        parts = self.qkv(tokens).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        tokens = self.end(tokens + self.drop(mixed))
        return self.fc(tokens.mean(dim=1))


@pytest.fixture
def images():
    return torch.randn(4, 3, 24, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def gap():
    """The class, to be built with and without a functional ReLU at the end."""
    return Gap


@pytest.fixture
def model():
    torch.manual_seed(2)
    return Gap().train()


@pytest.fixture
def everything():
    torch.manual_seed(2)
    return Everything().train()
