"""Whose boxes thresholds may see."""

from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import Catalog, Sample
from lookcloser.evaluation import check_scored
from lookcloser.evaluation.threshold_source import read_source, supervise

BOX = ((None, (0.0, 0.0, 1.0, 1.0)),)


def catalog(val=6, boxed=4):
    samples = [Sample("t", Path("t"), ("a",), boxes=BOX, split="test")]
    samples += [
        Sample(f"v{n}", Path("v"), ("a",), boxes=BOX if n < boxed else (), split="val")
        for n in range(val)
    ]
    return Catalog(Path("birds"), "table", "classification", ("a",), tuple(samples))


def test_the_words():
    assert read_source("few:12") == ("few", 12)
    assert [read_source(name) for name in ("none", "val", "split")] == [
        ("none", 0), ("val", 0), ("split", 0)
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["few", "few:", "few:0", "few:-1", "few:2.5", "test", ""])
def test_unknown_words_name_the_allowed_ones(word):
    with pytest.raises(LookcloserError, match=r"none \(no boxes\), few:N .*, val, split"):
        read_source(word)


def test_no_box_is_seen():
    found = supervise("none", catalog(), "test")
    assert (found.source, found.samples) == (None, ())


def test_val_has_those_with_boxes():
    found = supervise("val", catalog(), "test")
    assert found.source == "separate split"
    assert [sample.name for sample in found.samples] == ["v0", "v1", "v2", "v3"]
    assert found.drawn_from is None


@pytest.mark.parametrize(
    ("word", "data", "split"),
    [
        ("split", catalog(), "test"),
        ("val", catalog(), "val"),
        ("val", catalog(val=0), "test"),
        ("val", catalog(boxed=0), "test"),
    ],
)
def test_the_scored_images_themselves(word, data, split):
    found = supervise(word, data, split)
    assert (found.source, found.samples) == ("scored images", ())


def test_a_few_are_drawn_from_those_with_boxes():
    found = supervise("few:2", catalog(), "test")
    assert len(found.samples) == 2
    assert all(sample.boxes for sample in found.samples)
    assert (found.source, found.drawn_from) == ("separate split", 4)
    again = supervise("few:2", catalog(), "test")
    assert [s.name for s in again.samples] == [s.name for s in found.samples]
    assert supervise("few:2", catalog(), "val").source == "scored images", "no separate one"


def test_more_than_there_are():
    with pytest.raises(LookcloserError, match=r"few:9: 4 images of split val .* few:1 … few:4"):
        supervise("few:9", catalog(), "test")
    with pytest.raises(LookcloserError, match=r"few:1: 0 images of split val .* none or split"):
        supervise("few:1", catalog(val=0), "test")


def test_what_would_be_scored_is_counted_and_checked():
    def header(name, task="classification"):
        return ModelHeader("cam", {}, task, (name,), Preprocessing((8, 8)))

    assert check_scored(header("a"), catalog(), "val", "few:4") == 6
    assert check_scored(header("a"), catalog(), "test", "none") == 1
    for wrong, said in (
        ((header("a"), catalog(), "val", "few:5"), "4 images of split val have boxes"),
        ((header("a"), catalog(), "tset", "val"), "tset: unknown split"),
        ((header("b"), catalog(), "val", "val"), "a: a class of the data"),
        ((header("a"), catalog(), "val", "few"), "few: unknown place"),
    ):
        with pytest.raises(LookcloserError, match=said):
            check_scored(*wrong)
    assert check_scored(header("b", "captioning"), catalog(), "val", "few:99") == 6, "no boxes"
