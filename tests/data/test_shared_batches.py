"""Batches that several processes share: together what one process draws."""

from itertools import chain

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.dataset import EpochSampler, SharedBatches


def drawn(size, batch, world, *, least=1, epoch=0, **order):
    """Per process its batches of keys."""
    found = []
    for rank in range(world):
        shared = SharedBatches(
            EpochSampler(size, **order), batch, rank=rank, world_size=world, least=least
        )
        shared.sampler.set_epoch(epoch)
        batches = list(shared)
        assert len(batches) == len(shared)
        found.append(batches)
    return found


@pytest.mark.parametrize("size", [6, 7, 12, 13, 23, 48, 49])
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("least", [1, 2])
def test_every_image_comes_once_and_no_process_waits_for_another(size, world, least):
    ranks = drawn(size, 12, world, least=least)
    assert len({len(batches) for batches in ranks}) == 1
    keys = [key for batches in ranks for batch in batches for key in batch]
    assert sorted(keys) == [(0, index) for index in range(size)]
    for parts in zip(*ranks, strict=True):
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert least <= min(sizes)
        assert sum(sizes) < 12 + least * world


def steps(ranks):
    """The images of each step, over all processes."""
    return [sorted(chain(*parts)) for parts in zip(*ranks, strict=True)]


@pytest.mark.parametrize("world", [2, 3, 4])
def test_each_step_has_the_images_of_one_process(world):
    together = steps(drawn(48, 12, world, epoch=3, seed=5))
    assert together == steps(drawn(48, 12, 1, epoch=3, seed=5))
    assert together != steps(drawn(48, 12, world, epoch=4, seed=5))


def test_a_last_batch_that_is_too_small_joins_the_one_before():
    ranks = drawn(27, 12, 2, least=2, shuffle=False)
    assert [[len(batch) for batch in batches] for batches in ranks] == [[6, 8], [6, 7]]
    assert [len(batch) for batch in drawn(28, 12, 2, least=2)[0]] == [6, 6, 2]


def test_the_epoch_may_be_set_after_the_iterator_is_made():
    """Lightning does so."""
    shared = SharedBatches(EpochSampler(8), 4, rank=0, world_size=2)
    batches = iter(shared)
    shared.sampler.set_epoch(7)
    assert {epoch for epoch, _ in next(batches)} == {7}


def test_too_few_images_are_refused():
    with pytest.raises(LookcloserError, match="3 images for 2 processes.*least 2 for each"):
        drawn(3, 12, 2, least=2)
