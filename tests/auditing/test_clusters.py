import numpy as np
import pytest

from lookcloser.auditing.clusters import FEWEST, MOST, clusters
from lookcloser.auditing.shares import densities


def blobs(places, each, seed=0, shape=(7, 7)):
    """Maps around some places, one after the other, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    maps = [
        np.exp(-(((y - r) ** 2 + (x - c) ** 2) / 2)) + 0.05 * rng.random(shape)
        for r, c in places
        for _ in range(each)
    ]
    return densities(np.array(maps))


@pytest.mark.parametrize(
    "places", [[(1, 1), (5, 5)], [(1, 1), (5, 5), (1, 5)], [(1, 1), (5, 5), (1, 5), (5, 1)]]
)
def test_kinds_of_places_are_told_apart(places):
    found = clusters(blobs(places, 12))
    assert len(found) == len(places)
    truth = np.repeat(np.arange(len(places)), 12)
    for kind in found:
        assert len(np.unique(truth[kind.members])) == 1
        assert kind.typical in kind.members


def test_one_kind_is_one():
    assert len(clusters(blobs([(3, 3)], 20))) == 1


def test_the_most_frequent_comes_first_and_all_are_in():
    density = np.concatenate([blobs([(1, 1)], 6), blobs([(5, 5)], 20, seed=1)])
    found = clusters(density)
    assert [len(kind.members) for kind in found] == [20, 6]
    assert sorted(np.concatenate([kind.members for kind in found])) == list(range(26))


def test_the_typical_one_is_like_the_others():
    density = np.concatenate([blobs([(3, 3)], 12), blobs([(3, 4)], 1, seed=4)])
    assert clusters(density)[0].typical != 12


@pytest.mark.parametrize("count", [1, 2, FEWEST - 1])
def test_few_maps_are_one_kind(count):
    (kind,) = clusters(blobs([(1, 1)], count))
    assert len(kind.members) == count


def test_maps_without_evidence_and_equal_maps_are_no_trouble():
    assert len(clusters(np.zeros((10, 4, 4)))) >= 1
    density = np.concatenate([np.zeros((9, 7, 7)), blobs([(1, 1)], 9)])
    found = clusters(density)
    assert sum(len(kind.members) for kind in found) == 18
    assert len(found) <= MOST


def test_the_same_maps_give_the_same_kinds():
    density = blobs([(1, 1), (5, 5)], 15, seed=3)
    one, two = clusters(density), clusters(density)
    assert [kind.typical for kind in one] == [kind.typical for kind in two]
