from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lookcloser.core import LookcloserError
from lookcloser.data.samplers import ClassBalancedBatchSampler

# Images of each class.
EVEN = [4] * 12
UNEVEN = [1, 7, 3, 10, 5, 2, 2, 9, 4, 1, 6, 3]
ONE_LARGE = [60, 2, 3, 2, 2]


def labels_of(counts: list[int]) -> list[int]:
    labels = np.repeat(np.arange(len(counts)) * 3 + 5, counts)
    return np.random.default_rng(0).permutation(labels).tolist()


def epoch(
    counts: list[int], classes: int = 4, images: int = 2, world: int = 1, number: int = 0
) -> list[list[list[int]]]:
    """The batches of every process."""
    result = []
    for rank in range(world):
        sampler = ClassBalancedBatchSampler(
            labels_of(counts), classes, images, rank=rank, world_size=world
        )
        sampler.set_epoch(number)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        result.append(batches)
    return result


@pytest.mark.parametrize("counts", [EVEN, UNEVEN, ONE_LARGE])
@pytest.mark.parametrize("images", [1, 2, 3])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_no_image_is_lost_or_doubled(counts: list[int], images: int, world: int) -> None:
    for number in range(3):
        ranks = epoch(counts, 4, images, world, number)
        seen = [index for batches in ranks for batch in batches for index in batch]
        assert sorted(seen) == list(range(sum(counts)))


@pytest.mark.parametrize("counts", [EVEN, UNEVEN, ONE_LARGE])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_have_equally_many_batches_of_bounded_size(counts: list[int], world: int) -> None:
    ranks = epoch(counts, 4, 2, world)
    assert len({len(batches) for batches in ranks}) == 1
    sizes = [len(batch) for batches in ranks for batch in batches]
    assert min(sizes) >= 1
    assert max(sizes) <= 4 * 2


def test_full_batches_are_n_pairs() -> None:
    """12 classes × 4 images = 24 groups: 6 batches of exactly 4 classes × 2 images."""
    labels = labels_of(EVEN)
    (batches,) = epoch(EVEN, 4, 2)
    assert len(batches) == 6
    for batch in batches:
        assert sorted(Counter(labels[index] for index in batch).values()) == [2, 2, 2, 2]


@pytest.mark.parametrize("world", [1, 2])
def test_a_class_comes_once_in_a_batch(world: int) -> None:
    labels = labels_of(UNEVEN)
    for batches in epoch(UNEVEN, 4, 2, world):
        for batch in batches:
            assert max(Counter(labels[index] for index in batch).values()) <= 2


def test_groups_are_spread_evenly() -> None:
    """60 of 69 images are of one class: it fills the slots the others leave, in every batch."""
    labels = labels_of(ONE_LARGE)
    (batches,) = epoch(ONE_LARGE, 4, 2)
    largest = [Counter(labels[index] for index in batch)[5] for batch in batches]
    assert max(largest) - min(largest) <= 2
    groups = -(-np.array(ONE_LARGE) // 2)
    assert len(batches) == -(-groups.sum() // 4)


def test_images_of_a_class_are_split_without_leaving_one_alone() -> None:
    """5 images in groups of at most 4 are 3 and 2, not 4 and 1."""
    labels = labels_of([5, 5, 5])
    for batches in epoch([5, 5, 5], classes=3, images=4):
        counts = [c for batch in batches for c in Counter(labels[i] for i in batch).values()]
        assert sorted(counts) == [2, 2, 2, 3, 3, 3]


def test_epochs_differ_and_are_reproducible() -> None:
    first, again, second = (epoch(UNEVEN, number=number) for number in (0, 0, 1))
    assert first == again
    assert first != second
    other = ClassBalancedBatchSampler(labels_of(UNEVEN), 4, seed=1)
    assert list(other) != first[0]


def test_classes_meet_different_classes() -> None:
    """Within one epoch a class meets most others, not the same few in batch after batch."""
    counts, labels = [20] * 40, labels_of([20] * 40)
    (batches,) = epoch(counts, 8, 2)
    met: dict[int, set[int]] = {label: set() for label in labels}
    for batch in batches:
        present = {labels[index] for index in batch}
        for label in present:
            met[label] |= present - {label}
    # 10 batches × 7 others: 70 draws of 39 classes.
    assert np.mean([len(others) for others in met.values()]) > 28


def test_partners_change_from_epoch_to_epoch() -> None:
    pairs = []
    labels = labels_of(EVEN)
    for number in range(2):
        (batches,) = epoch(EVEN, number=number)
        found = set()
        for batch in batches:
            by_class: dict[int, list[int]] = {}
            for index in batch:
                by_class.setdefault(labels[index], []).append(index)
            found |= {tuple(sorted(group)) for group in by_class.values()}
        pairs.append(found)
    assert len(pairs[0] & pairs[1]) < len(pairs[0]) * 0.7


def test_data_loader_takes_it() -> None:
    labels = torch.tensor(labels_of(EVEN))
    sampler = ClassBalancedBatchSampler(labels.tolist(), 4)
    batches = list(DataLoader(labels, batch_sampler=sampler))
    assert [len(batch.unique()) for batch in batches] == [4] * 6


def test_process_group_gives_rank_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    assert list(ClassBalancedBatchSampler(labels_of(EVEN), 4)) == epoch(EVEN, world=2)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes_per_batch": 13}, "13 classes in a batch, but the data has 12.*at most 12"),
        ({"classes_per_batch": 1}, "1 classes × 2 images"),
        ({"classes_per_batch": 4, "images_per_class": 0}, "4 classes × 0 images"),
        ({"classes_per_batch": 4, "rank": 2, "world_size": 2}, "Rank 2 of 2 processes"),
        ({"classes_per_batch": 4, "rank": 0, "world_size": 25}, "24 groups .* for 25 processes"),
    ],
)
def test_impossible_batches_are_named(options: dict[str, int], message: str) -> None:
    with pytest.raises(LookcloserError, match=message):
        ClassBalancedBatchSampler(labels_of(EVEN), **options)
