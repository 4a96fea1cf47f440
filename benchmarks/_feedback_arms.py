"""The arms of feedback.py: networks, what stands in for the map, all seeds as one."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from lookcloser.core.sizes import Grid
from lookcloser.models import FeedbackNet
from lookcloser.models.feedback.attention import feedback_attention

RESNET = {
    "backbone": "test_resnet", "stride": 8, "feedback_stage": 0,
    "model_kwargs": {"norm_layer": "groupnorm1"},
}  # fmt: skip
DEEPER = {"norm_layer": "groupnorm1", "layers": [2, 2, 1, 1]}
NETWORKS: dict[str, dict[str, Any]] = {
    "two-block": {"backbone": "two-block"},
    "resnet": RESNET,
}
# Peaks; the first network learns too slowly at the rate of the second.
RATES = {"two-block": 1e-2, "resnet": 3e-3}
BASE = "control: ones"
ARMS = (
    "attention",
    BASE,
    "attention, both passes learn",
    "plain, equal compute",
    "plain, longer training",
    "half attention, both passes learn",
    "half attention",
    "weighted pooling",
    "control: another image's map",
    "control: own map at random places",
    "control: random map",
)
ONE_PASS = (BASE, "plain, equal compute", "plain, longer training", "weighted pooling")
LONGER = 1.4  # times the steps: what a step with the second pass costs over one without
START = "empty canvas"  # the setting that --start trains on
Rows = dict[str, list[float]]
BOTH = "both passes learn"
SMALL: dict[str, Any] = {  # what a CPU can do in a few minutes
    "networks": ["resnet"],
    "settings": ["8 pieces", "two digits, the framed counts", "two digits, the larger counts"],
    "shrink": 2, "start": 6400, "train": 2400, "test": 1000, "epochs": 1, "batch_size": 16,
}  # fmt: skip
WARMUP = 0.05  # of the steps
TESTED = 500  # images at a time


class Arm(FeedbackNet):
    """`FeedbackNet` with other things in the place of its map; remembers its first pass.

    Attributes:
        arm: One of `ARMS`; at test also BASE and "control: another image's map" of a network that
            was trained otherwise.
        half: Whether (1 + map) / 2 stands for the map.
        first: Logits of the first pass, while a call lasts.
    """

    first: Tensor

    def __init__(self, network: str, arm: str, noise: float) -> None:
        own = NETWORKS[network]
        deeper = arm == "plain, equal compute"
        if deeper and network != "two-block":
            own = {**own, "model_kwargs": DEEPER}
        super().__init__(10, self.Options(**own, noise=noise, std=(1, 1, 1)))
        if deeper and network == "two-block":
            width = self.backbone.width
            self.backbone.block2 = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), *self.backbone.block2
            )
        self.arm, self.half = arm, arm.startswith("half")
        if arm == "control: own map at random places":
            self.control = "shuffled"

    def fed_back(self, features: Tensor, read: Tensor, size: Grid) -> Tensor:
        """As the arm has it."""
        self.first = self.head(features.mean(dim=(2, 3)))
        own = super().fed_back(features, read, size)
        own = (1 + own) / 2 if self.half else own
        if self.arm == "control: another image's map":
            return own.roll(1, 0)
        if self.arm == "control: random map":
            drawn = F.softplus(torch.randn_like(own))
            return drawn / drawn.mean(dim=(2, 3), keepdim=True)
        return own

    def passes(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, 10) of the answer and of the first pass, and what was fed back."""
        if self.arm not in ONE_PASS:
            output = self(images)
            # Not kept: the way back that hangs on it would outlive its step.
            return output.logits, self.__dict__.pop("first"), output.part_maps
        if self.training and self.noise:
            images = images + self.noise / 255 * torch.randn_like(images)
        features, _ = self.stages.look(self.stages.early(images), images.shape[-2:])
        first = self.head(self.dropout(features.mean(dim=(2, 3))))
        grid = Grid(*features.shape[2:])
        if self.arm != "weighted pooling":  # what a second pass with ones would repeat
            return first, first, features.new_ones(len(features), 1, *grid)
        weight = feedback_attention(self.head.maps(features), first, grid)
        return self.head((features * weight).mean(dim=(2, 3))), first, weight


class Looking(nn.Module):
    """`Arm.passes` as a forward pass, which torch.func calls; grey images (B, H, W) uint8."""

    def __init__(self, arm: Arm) -> None:
        super().__init__()
        self.arm = arm

    def forward(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, ...]:
        grey = images.float()[:, None] / 255
        if noise is not None:
            grey = grey + noise[:, None]
        return self.arm.passes(grey.expand(-1, 3, -1, -1))


class Batched:
    """The networks of all seeds as one: parameters (S, …)."""

    def __init__(self, network: str, arm: str, noise: float, given: argparse.Namespace) -> None:
        looks = []
        for seed in given.seeds:
            torch.manual_seed(seed)
            looks.append(Looking(Arm(network, arm, noise)).to(given.device))
        self.network, self.look = network, looks[0]
        self.weights, self.buffers = stack_module_state(looks)  # type: ignore[arg-type]

    def __call__(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, ...]:
        """Images (S, B, H, W) -> what `Arm.passes` gives, with S in front."""

        def one(weights: Any, buffers: Any, own: Tensor) -> tuple[Tensor, ...]:
            found: tuple[Tensor, ...] = functional_call(self.look, (weights, buffers), (own, noise))
            return found

        found: tuple[Tensor, ...] = vmap(one, randomness="different")(
            self.weights, self.buffers, images
        )
        return found
