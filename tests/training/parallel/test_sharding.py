"""Which blocks are sharded on their own; that they learn the same is in the tests beside it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lookcloser.training.parallel.sharding import LEAST, blocks_of

LARGE, SMALL = 1_200, 10  # of a square layer: 1.44 million parameters, and 100


def block(*sides: int) -> nn.Module:
    return nn.Sequential(*(nn.Linear(side, side, bias=False) for side in sides))


class Net(nn.Module):
    """A network as timm builds them: stages of blocks, and a head."""

    def __init__(self, *stages: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(LARGE, LARGE)


@pytest.fixture(autouse=True)
def _nothing_is_allocated() -> None:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def test_blocks_of_a_million_parameters_are_and_the_head_is_not() -> None:
    large, small = block(LARGE), block(SMALL)
    net = Net(large, small)
    assert [id(found) for found in blocks_of(net)] == [id(large)]
    assert LARGE**2 >= LEAST > SMALL**2


def test_inner_blocks_come_before_outer_ones_which_count_what_is_left() -> None:
    inner = block(LARGE)
    outer = nn.Sequential(inner, nn.Linear(LARGE, LARGE))
    assert [id(found) for found in blocks_of(Net(outer))] == [id(inner), id(outer)]
    rest = nn.Sequential(inner, nn.Linear(SMALL, SMALL))
    assert [id(found) for found in blocks_of(Net(rest))] == [id(inner)]


def test_many_small_blocks_are_one_large_one() -> None:
    stage = nn.Sequential(*(block(400) for _ in range(7)))
    assert [id(found) for found in blocks_of(Net(stage))] == [id(stage)]


def test_lists_that_nobody_calls_and_single_layers_are_passed_over() -> None:
    called = block(LARGE)
    kept = nn.ModuleList([called, nn.ModuleDict({"a": block(LARGE)}), nn.Linear(LARGE, LARGE)])
    assert [id(found) for found in blocks_of(Net(kept))] == [id(called)]


def test_weights_that_two_blocks_share_belong_to_one() -> None:
    first, second = block(LARGE), block(LARGE)
    second[0].weight = first[0].weight  # type: ignore[index]  # a sequence
    assert len(list(blocks_of(Net(first, second)))) == 1
