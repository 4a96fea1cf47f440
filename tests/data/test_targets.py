from collections import Counter
from pathlib import Path

import pytest
import torch

from lookcloser.data import Sample
from lookcloser.data.targets import CaptionTargets, ClassTargets, TagTargets
from lookcloser.data.vocabulary import END, NULL, START, UNKNOWN, Vocabulary

CAPTIONS = ("a dog", "a red dog runs", "the cat")
NAMES = Vocabulary.of(CAPTIONS).names
A, DOG = NAMES.index("a"), NAMES.index("dog")
SAMPLE = Sample("1", Path("1.jpg"), captions=CAPTIONS)


def test_start_words_end_and_padding() -> None:
    target = CaptionTargets(NAMES, 4).of("A dog!")
    assert target.dtype == torch.int64
    assert target.tolist() == [START, A, DOG, END, NULL, NULL]


def test_the_longest_caption_has_its_end() -> None:
    target = CaptionTargets(NAMES, 4).of("a red dog runs")
    assert len(target) == 6
    assert target[0] == START
    assert target[-1] == END
    assert NULL not in target


def test_a_caption_that_is_cut_has_no_end() -> None:
    target = CaptionTargets(NAMES, 3).of("a red dog runs")
    assert target.tolist() == [START, A, NAMES.index("red"), DOG, NULL]
    assert CaptionTargets(NAMES, 2).of("a dog").tolist() == [START, A, DOG, END]


def test_unknown_words_and_no_words() -> None:
    targets = CaptionTargets(NAMES, 3)
    assert targets.of("a unicorn").tolist() == [START, A, UNKNOWN, END, NULL]
    assert targets.of("!?").tolist() == [START, END, NULL, NULL, NULL]


def test_validation_takes_the_first_caption() -> None:
    targets = CaptionTargets(NAMES, 4)
    for epoch in range(5):
        assert torch.equal(targets(SAMPLE, epoch, 3), targets.of(CAPTIONS[0]))


def test_training_draws_each_caption_by_seed_epoch_and_index() -> None:
    targets = CaptionTargets(NAMES, 4, seed=1)
    drawn = [[tuple(targets(SAMPLE, e, i).tolist()) for e in range(60)] for i in range(5)]
    again = CaptionTargets(NAMES, 4, seed=1)
    assert drawn[2][7] == tuple(again(SAMPLE, 7, 2).tolist()), "nothing depends on history"
    counts = Counter(caption for row in drawn for caption in row)
    assert sum(counts.values()) == 300
    assert len(counts) == 3
    assert min(counts.values()) > 70
    assert len({tuple(row) for row in drawn}) == 5, "images do not go in step"
    other = CaptionTargets(NAMES, 4, seed=2)
    assert [tuple(other(SAMPLE, e, 0).tolist()) for e in range(60)] != drawn[0]


@pytest.mark.parametrize("length", [1, 4, 9])
def test_all_targets_have_one_shape(length: int) -> None:
    targets = CaptionTargets(NAMES, length, seed=0)
    assert {targets(SAMPLE, epoch, 0).shape for epoch in range(9)} == {(length + 2,)}


def test_a_class_is_its_index_and_tags_are_ones() -> None:
    sample = Sample("1", Path("1.jpg"), labels=("c",))
    target = ClassTargets("abc")(sample, 0, 0)
    assert (target.item(), target.dtype, target.shape) == (2, torch.int64, ())
    tags = TagTargets("abc")
    assert tags(Sample("1", Path("1.jpg"), labels=("c", "a")), 0, 0).tolist() == [1.0, 0.0, 1.0]
    nothing = tags(Sample("1", Path("1.jpg")), 0, 0)
    assert (nothing.tolist(), nothing.dtype) == ([0.0, 0.0, 0.0], torch.float32)
