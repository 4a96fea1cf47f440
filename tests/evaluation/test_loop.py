"""One pass over a split, here or elsewhere, and the numbers kept of each image."""

import pickle
from functools import partial

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.targets import ClassTargets
from lookcloser.evaluation.loop import Columns, Loop
from lookcloser.inference.engine import as_arrays

CLASSES = 3


def logits_of(model, batch):
    return as_arrays(model(batch.images)).logits


@pytest.fixture
def run(scripted, split_of):
    """Run a loop over seven images; returns the rows, the logits, the skipped and the told."""

    def run(batch_size=2, unreadable=(), spread=None):
        engine = scripted(np.arange(21).reshape(7, CLASSES))
        samples = split_of("abcabca", unreadable=unreadable).samples
        told, skipped = [], []
        loop = Loop(engine, batch_size, 0, lambda *counts: told.append(counts), spread)
        if spread is not None:
            loop = Loop(engine, batch_size, 0, loop.progress, partial(spread, engine))
        found = list(loop.run(samples, ClassTargets("abc"), logits_of, skipped))
        return found, skipped, told

    return run


def elsewhere(engine, work, items, at_once=3):
    """Three images at a time, by work that came through a pickle."""
    assert len(pickle.dumps(work.keywords)) < 1000
    assert not any(value is engine for value in work.args), "it holds no network"
    for start in range(0, len(items), at_once):
        yield work(engine, items[start : start + at_once])


@pytest.mark.parametrize("spread", [None, elsewhere])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_every_image_comes_once_in_its_order(run, spread, batch_size):
    found, skipped, told = run(batch_size, spread=spread)
    rows = [row for batch, _ in found for row in batch.rows]
    assert rows == list(range(7))
    assert [sample.name for batch, _ in found for sample in batch.samples] == [
        f"{row}.png" for row in rows
    ]
    np.testing.assert_array_equal(
        np.concatenate([said for _, said in found]), np.arange(21).reshape(7, CLASSES)
    )
    assert np.concatenate([batch.targets for batch, _ in found]).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert skipped == []
    assert told[-1] == (7, 7)
    assert told == [(batch.rows[-1] + 1, 7) for batch, _ in found]


@pytest.mark.parametrize("spread", [None, elsewhere])
def test_rows_count_images_that_cannot_be_read(run, spread):
    found, skipped, told = run(2, unreadable=[0, 4], spread=spread)
    assert [row for batch, _ in found for row in batch.rows] == [1, 2, 3, 5, 6]
    assert [name for name, _ in skipped] == ["0.png", "4.png"]
    assert told[-1] == (7, 7)


@pytest.mark.parametrize("spread", [None, elsewhere])
def test_progress_ends_at_the_end_also_where_the_last_image_is_broken(run, spread):
    assert run(3, unreadable=[6], spread=spread)[2] == [(3, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize("spread", [None, elsewhere])
def test_nothing_that_can_be_read_is_an_error_but_a_part_of_it_is_none(run, spread):
    with pytest.raises(LookcloserError, match="None of the 7 images could be read"):
        run(unreadable=range(7), spread=spread)
    found, skipped, _ = run(unreadable=range(3), spread=spread)  # all of the first part
    assert [row for batch, _ in found for row in batch.rows] == [3, 4, 5, 6]
    assert len(skipped) == 3


def test_images_stay_where_they_were_answered(run):
    assert all(batch.images.numel() == 0 for batch, _ in run(spread=elsewhere)[0])
    assert all(batch.images.shape == (1, 3, 8, 8) for batch, _ in run(1)[0])


def test_no_samples_are_no_error(scripted):
    loop = Loop(scripted(np.eye(CLASSES)), progress=pytest.fail)
    assert list(loop.run([], ClassTargets("abc"), logits_of, [])) == []


def test_columns_join_batches_and_keep_what_numbers_are():
    columns = Columns()
    assert "hit" not in columns
    columns.add(hit=np.array([True, False]), scales=np.zeros((2, 3), np.float32))
    columns.add(hit=np.array([True]), scales=np.ones((1, 3), np.float32))
    assert columns["hit"].tolist() == [True, False, True]
    assert columns["hit"].dtype == bool
    assert columns["scales"].shape == (3, 3)
    assert columns["scales"].dtype == np.float32
    assert "hit" in columns
    assert "scale" not in columns
