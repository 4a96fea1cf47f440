"""A part is answered: in order, a batch at a time, each image with the name it was given."""

from dataclasses import replace

import numpy as np
import pytest

from lookcloser.batch import answering
from lookcloser.batch.answering import answer_items, answer_part
from lookcloser.batch.folder import Finished, Folder
from lookcloser.batch.sources import Item, Part, parts
from lookcloser.core import LookcloserError
from lookcloser.data import read_as_given, write_shards

from .conftest import BROKEN


@pytest.fixture
def begun(job):
    one = job()
    Folder(one.out, one.writer).begin({})
    return one


def test_batches_keep_the_order_and_the_numbers(photos, job):
    one = job(batch_size=3)
    images = sorted(photos.glob("1/*.png"))
    items = [Item(100 + number, path) for number, path in enumerate(images[:8])]
    batches = list(answer_items(one, one.answerer(), items))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert [index for batch in batches for index, _ in batch] == list(range(100, 108))
    together = [answer for batch in batches for _, answer in batch]
    assert [answer.path for answer in together] == images[:8]
    for alone, answer in zip(one.answerer().predict(images[:8]), together, strict=True):
        assert [label.name for label in alone.labels] == [label.name for label in answer.labels]
        scores = [[label.score for label in each.labels] for each in (alone, answer)]
        np.testing.assert_allclose(*scores, rtol=1e-5)


def test_an_image_that_cannot_be_read_is_an_answer(photos, begun):
    images = (photos / "1" / f"{BROKEN:04d}.png", photos / "gone.png", photos / "1" / "0001.png")
    part = Part(0, tuple(Item(number, image) for number, image in enumerate(images)))
    assert answer_part(begun, begun.answerer(), part) == Finished(0, 3, 2)


def test_members_of_an_archive_are_named_by_it_and_not_opened_as_files(squares, job, tmp_path):
    write_shards(read_as_given(squares), tmp_path / "shards", per_shard=100)
    one = job()
    (part,) = parts([str(tmp_path / "shards")], 100)
    found = [pair for batch in answer_items(one, one.answerer(), part.items[:5]) for pair in batch]
    assert all(answer.error is None for _, answer in found)
    assert {answer.path.parent.name for _, answer in found} == {"shard-000000.tar"}


def test_a_part_of_which_all_lines_are_left_is_written_without_the_network(
    photos, begun, monkeypatch
):
    part = next(parts([str(photos)], 9))
    wanted = answer_part(begun, begun.answerer(), part)
    folder, told = Folder(begun.out, begun.writer), []
    written = folder.file(part).read_text()
    folder.file(part).unlink()
    with folder.journal(part) as journal:
        journal.add(reversed(written.splitlines()))
    monkeypatch.setattr(answering, "answer_batch", None)
    assert answer_part(begun, begun.answerer(), part, told.append) == wanted
    assert told == [9]
    assert folder.file(part).read_text() == written, "in the order of the images"


def test_a_disk_that_is_full_is_said_and_what_is_done_stays(photos, begun, monkeypatch):
    part = next(parts([str(photos)], 20))
    folder, real = Folder(begun.out, begun.writer), answering.answer_batch
    asked = []

    def full(*given):
        asked.append(given)
        if len(asked) == 2:
            raise OSError(28, "No space left on device")
        return real(*given)

    monkeypatch.setattr(answering, "answer_batch", full)
    with pytest.raises(LookcloserError, match="No space left on device"):
        answer_part(begun, begun.answerer(), part)
    assert len(folder.recovered(part)) == 8
    assert not folder.file(part).exists()
    other = replace(begun, out=begun.out / "nowhere")
    with pytest.raises(LookcloserError, match="could not be written"):
        answer_part(other, other.answerer(), part)
