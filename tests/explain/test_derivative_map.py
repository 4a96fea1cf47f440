"""The derivative map against autograd and finite differences, and where it moves a box."""

import math

import pytest
import torch
from torch import nn

from lookcloser.explain import VIEWS, box_update, derivative, derivative_map


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 4),
    ).double()  # fmt: skip


def pictures(count=2, side=9):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, side, side, generator=generator, dtype=torch.double)


def test_is_minus_the_squared_norm_over_the_channels(net):
    images = pictures().requires_grad_()
    (slope,) = torch.autograd.grad(net(images)[:, 3].sum(), images)
    expected = -(slope[:, 0] ** 2 + slope[:, 1] ** 2 + slope[:, 2] ** 2)
    torch.testing.assert_close(derivative_map(net, images, 3), expected.float())


def test_follows_finite_differences(net):
    images, eps = pictures(1), 1e-5
    found = derivative_map(net, images, 2)
    for row, column in ((0, 0), (4, 4), (8, 3)):
        total = 0.0
        for channel in range(3):
            ahead, behind = images.clone(), images.clone()
            ahead[0, channel, row, column] += eps
            behind[0, channel, row, column] -= eps
            with torch.no_grad():
                slope = (net(ahead) - net(behind))[0, 2] / (2 * eps)
            total += slope.item() ** 2
        assert found[0, row, column].item() == pytest.approx(-total, rel=1e-4)


def test_several_targets_and_the_best_one(net):
    images = pictures()
    several = derivative_map(net, images, torch.tensor([[0, 1], [2, 3]]))
    assert several.shape == (2, 2, 9, 9)
    torch.testing.assert_close(several[1, 0], derivative_map(net, images, 2)[1])
    best = int(net(images)[0].argmax())
    torch.testing.assert_close(derivative_map(net, images)[0], derivative_map(net, images, best)[0])


def test_the_view_is_its_strength(net):
    images = pictures()
    assert VIEWS["derivative"] is derivative
    torch.testing.assert_close(derivative(net, images, 1), -derivative_map(net, images, 1))
    assert derivative(net, images, 1).min() >= 0


def test_leaves_the_model_as_it_was(net):
    net.train()
    derivative_map(net, pictures())
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def mask_at(x, y, box, k=10.0):
    def h(value):
        return 1 / (1 + math.exp(-k * value))

    cx, cy, s = box
    return (h(x - cx + s) - h(x - cx - s)) * (h(y - cy + s) - h(y - cy - s))


def test_the_update_is_the_descent_of_what_the_mask_holds():
    maps, boxes = (
        -pictures(3, side=6)[:, 0].square(),
        [[0.1, -0.2, 0.5], [0, 0, 0.3], [-0.4, 0, 0.6]],
    )
    found, eps = box_update(maps, torch.tensor(boxes, dtype=torch.double)), 1e-6
    for number, box in enumerate(boxes):
        for index in range(3):
            ahead, behind = list(box), list(box)
            ahead[index] += eps
            behind[index] -= eps
            slope = sum(
                maps[number, row, column].item()
                * (mask_at(x, y, ahead) - mask_at(x, y, behind)) / (2 * eps)
                for row, y in enumerate((2 * i + 1) / 6 - 1 for i in range(6))
                for column, x in enumerate((2 * i + 1) / 6 - 1 for i in range(6))
            )  # fmt: skip
            assert found[number, index].item() == pytest.approx(-slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(
    ("place", "signs"), [((4, 24), (1, 0)), ((28, 16), (0, 1)), ((4, 4), (-1, -1))]
)
def test_the_box_moves_to_where_the_answer_depends_on_the_input(place, signs):
    maps = torch.zeros(1, 32, 32)
    row, column = place
    # Around the place, so that it lies in the middle of the axis it should not move along.
    maps[0, max(row - 1, 0) : row + 1, column - 1 : column + 1] = -1.0
    box = torch.tensor([[0.0, 0.0 if signs[1] else 2 * row / 32 - 1, 0.4]])
    update = box_update(maps, box)[0]
    for found, sign in zip(update[:2], signs, strict=True):
        assert found.sign() == sign or (sign == 0 and abs(found) < 0.1 * update[:2].abs().max())
    assert update[2] >= 0, "the mask only grows with the side"


def test_the_releases_constant_pulls_the_sides_inwards():
    maps, box = -pictures(1, side=12)[:, 0].square(), torch.tensor([[0.1, -0.2, 0.4]]).double()
    plain, pulled = box_update(maps, box)[0], box_update(maps, box, shrink=0.7)[0]
    inside = sum(
        maps[0, row, column].item() * mask_at((2 * column + 1) / 12 - 1, (2 * row + 1) / 12 - 1,
                                              box[0].tolist())
        for row in range(12) for column in range(12)
    )  # fmt: skip
    assert pulled[:2].tolist() == plain[:2].tolist()
    assert (pulled[2] - plain[2]).item() == pytest.approx(0.7 * inside)
    assert inside < 0


def test_update_works_where_gradients_are_off():
    maps, boxes = -torch.rand(2, 8, 8), torch.tensor([[0.0, 0.0, 0.5], [0.2, 0.1, 0.4]])
    expected = box_update(maps, boxes)
    with torch.inference_mode():
        torch.testing.assert_close(box_update(maps, boxes), expected)
