import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.layers import (
    AttentionProposal,
    FullyConnectedHead,
    KeypointHead,
    bounded_boxes,
    box_corners,
    crop_and_zoom,
    strongest_response_boxes,
)


def planted(count: int, seed: int, channels: int = 32, side: int = 9) -> torch.Tensor:
    """Noisy features with one pattern at one cell of each."""
    generator = torch.Generator().manual_seed(seed)
    features = 0.5 * torch.randn(count, channels, side, side, generator=generator).relu()
    cells = torch.randint(side * side, (count,), generator=generator)
    pattern = torch.linspace(0, 3, channels)
    features.flatten(2)[torch.arange(count), :, cells] += pattern
    return features


# The parametrization


def test_bounded_boxes_is_the_formula() -> None:
    raw = [[0.3, -1.2, 0.7], [2.0, 0.1, -3.0]]
    for (u, v, w), box in zip(raw, bounded_boxes(torch.tensor(raw), 0.1, 0.6), strict=True):
        s = 0.1 + 0.5 / (1 + math.exp(-w))
        expected = [(1 - s) * math.tanh(u), (1 - s) * math.tanh(v), s]
        assert box.tolist() == pytest.approx(expected, abs=1e-6)


def test_no_box_leaves_the_image() -> None:
    raw = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)) * 30
    corners = box_corners(bounded_boxes(raw, 0.05, 1.0))
    assert corners.abs().max() <= 1 + 1e-6


def test_no_dead_clamp() -> None:
    """At the image's edge and at the largest side every input still has a gradient."""
    raw = torch.tensor([[4.0, -4.0, 4.0], [-4.0, 4.0, -4.0]], dtype=torch.double)
    raw.requires_grad_()
    assert torch.autograd.gradcheck(bounded_boxes, (raw,))
    for output in range(3):
        (gradient,) = torch.autograd.grad(bounded_boxes(raw)[:, output].sum(), raw)
        assert (gradient[:, output].abs() > 1e-4).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.5), (0.6, 0.5), (0.5, 1.1)])
def test_impossible_sides_are_named(low: float, high: float) -> None:
    with pytest.raises(LookcloserError, match=f"Half-sides from {low} to {high}"):
        bounded_boxes(torch.zeros(1, 3), low, high)


def test_boxes_are_float32_under_autocast() -> None:
    proposal = AttentionProposal(8, (4, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert proposal(torch.rand(2, 8, 4, 4)).dtype == torch.float32


# The target of the pre-training


def test_strongest_response_is_the_arg_max_of_the_channel_mean() -> None:
    features = torch.randn(6, 5, 4, 7, generator=torch.Generator().manual_seed(3))
    boxes = strongest_response_boxes(features, half_side=0.25).numpy()
    for image, box in zip(features.numpy(), boxes, strict=True):
        best, center = -np.inf, (0.0, 0.0)
        for row in range(4):
            for column in range(7):
                if image[:, row, column].mean() > best:
                    best = image[:, row, column].mean()
                    center = ((column + 0.5) / 7 * 2 - 1, (row + 0.5) / 4 * 2 - 1)
        x, y = (min(max(c, -0.75), 0.75) for c in center)
        assert box.tolist() == pytest.approx([x, y, 0.25], abs=1e-6)


def test_strongest_response_is_moved_inside_and_takes_no_gradient() -> None:
    features = torch.zeros(1, 2, 7, 7)
    features[0, :, 0, 6] = 1  # upper right corner
    boxes = strongest_response_boxes(features.requires_grad_())
    assert boxes.tolist() == [[0.5, -0.5, 0.5]]  # by default a quarter of the width, as half-side
    assert not boxes.requires_grad


# The heads


def test_weights_of_the_heads() -> None:
    """The paper's head on VGG-19 at 448 px has 103 M weights in its first layer."""
    with torch.device("meta"):
        paper = FullyConnectedHead(512, (14, 14))
        light = KeypointHead(512)
    count = [sum(p.numel() for p in head.parameters()) for head in (paper, light)]
    assert count[0] == pytest.approx(103e6, rel=0.01)
    assert count[1] < 40_000


def test_keypoint_head_is_the_expected_position() -> None:
    torch.manual_seed(0)
    head, features = KeypointHead(3, keypoints=2), torch.rand(1, 3, 2, 4)
    response = head.detect(head.normalize(features))[0]
    found = []
    for axis in (1, 0):
        for k in range(2):
            total = sum(math.exp(v) for v in response[k].flatten().tolist())
            expected = 0.0
            for row in range(2):
                for column in range(4):
                    weight = math.exp(response[k, row, column].item()) / total
                    place = ((row + 0.5) / 2, (column + 0.5) / 4)[axis] * 2 - 1
                    expected += weight * place
            found.append(expected)
    torch.testing.assert_close(head(features), head.locate(torch.tensor([found])))


@pytest.mark.parametrize("head", ["light", "paper"])
def test_head_learns_the_strongest_response_of_unseen_images(head: str) -> None:
    torch.manual_seed(0)
    train, test = planted(256, seed=1), planted(128, seed=2)
    proposal = AttentionProposal(32, (9, 9), head=head, min_half_side=0.3, max_half_side=0.5)
    optimizer = torch.optim.AdamW(proposal.parameters(), lr=3e-3 if head == "light" else 3e-4)
    goal = strongest_response_boxes(train, 0.4)
    for step in range(120):
        batch = slice(step % 8 * 32, step % 8 * 32 + 32)
        optimizer.zero_grad()
        F.smooth_l1_loss(proposal(train[batch]), goal[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        error = (proposal(test) - strongest_response_boxes(test, 0.4))[:, :2].abs().mean()
    chance = strongest_response_boxes(test, 0.4)[:, :2].abs().mean()
    assert error < (0.3 if head == "light" else 0.7) * chance


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_light_head_does_not_depend_on_the_scale_of_the_features(scale: float) -> None:
    torch.manual_seed(0)
    head, features = KeypointHead(32), planted(4, seed=1)
    torch.testing.assert_close(head(features), head(scale * features), rtol=0.01, atol=1e-3)


def test_light_head_takes_any_grid() -> None:
    proposal = AttentionProposal(8, (7, 7))
    assert proposal(torch.rand(2, 8, 5, 11)).shape == (2, 3)


@pytest.mark.parametrize("head", ["light", "paper"])
@pytest.mark.parametrize("mode", ["grid", "mask"])
def test_gradient_of_a_loss_reaches_every_weight_and_flips_with_it(head: str, mode: str) -> None:
    torch.manual_seed(0)
    proposal = AttentionProposal(8, (4, 4), head=head)
    features, images, weight = (
        torch.rand(4, 8, 4, 4),
        torch.rand(4, 3, 32, 32),
        torch.randn(3, 8, 8),
    )

    def gradients(sign: float) -> list[torch.Tensor]:
        loss = sign * (crop_and_zoom(images, proposal(features), 8, mode) * weight).sum()
        return list(torch.autograd.grad(loss, list(proposal.parameters())))

    for up, down in zip(gradients(1.0), gradients(-1.0), strict=True):
        assert up.abs().max() > 1e-6
        torch.testing.assert_close(up, -down, rtol=1e-4, atol=1e-5)


def test_unknown_head_is_named() -> None:
    with pytest.raises(LookcloserError, match="lite: unknown attention proposal head"):
        AttentionProposal(8, (4, 4), head="lite")
