"""Tags, tags that the data does not give, and what has no boxes at all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.data import read_data
from lookcloser.models import build_model
from lookcloser.recognizer import Recognizer

TAGS = ("a", "b", "c", "d")


def as_batch(recognizer, picture):
    return recognizer.engine.images(input_pixels(picture, recognizer.header.preprocessing)[None])


@pytest.fixture
def data(tmp_path):
    """Six noise pictures of different sizes with one to three tags, and a box for some of them."""
    rng = np.random.default_rng(0)
    rows = ["image,labels,split"]
    for index in range(6):
        width, height = rng.integers(20, 60, 2)
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        tags = rng.choice(TAGS, 1 + index % 3, replace=False)
        rows.append(f"{index}.png,{';'.join(tags)},test")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "labels.csv"


@pytest.fixture
def recognizer():
    torch.manual_seed(0)
    arguments = {"num_classes": 4, "backbone": "test_resnet", "stride": 8}
    model = build_model("sigmoid", arguments)
    with torch.no_grad():
        model.head.weight.mul_(50)
    return Recognizer(
        model, ModelHeader("sigmoid", arguments, "multilabel", TAGS, Preprocessing((32, 32)))
    )


def test_each_given_tag_has_its_own_map_and_score(recognizer, data, tmp_path):
    found = recognizer.annotate(data, tmp_path / "out")
    for record, sample in zip(found.records, read_data(data).samples, strict=True):
        image = Image.open(sample.source).convert("RGB")
        batch = as_batch(recognizer, image)
        with torch.no_grad():
            output = recognizer.model(batch)
        expected = {
            name: output.logits[0, TAGS.index(name)].sigmoid().item()
            for name in sample.labels
            if output.maps[0, TAGS.index(name)].max() > 0
        }
        assert {thing.label: thing.score for thing in record.things} == pytest.approx(expected)
        assert record.size == image.size
        for thing in record.things:
            x0, y0, x1, y1 = thing.box
            assert 0 <= x0 < x1 <= image.width
            assert 0 <= y0 < y1 <= image.height


def test_predicted_tags_are_those_of_predict(recognizer, data, tmp_path):
    found = recognizer.annotate(data, tmp_path / "out", labels="predicted")
    answers = recognizer.predict([sample.source for sample in read_data(data).samples])
    for record, answer in zip(found.records, answers, strict=True):
        regions = {r.label: r.box for r in answer.regions if r.box is not None}
        assert {thing.label for thing in record.things} == set(regions)
        for thing in record.things:
            assert thing.box == pytest.approx(regions[thing.label], abs=0.011)


def test_words_have_no_boxes(recognizer, data, tmp_path):
    captioner = Recognizer(recognizer.model, replace(recognizer.header, task="captioning"))
    with pytest.raises(LookcloserError, match="boxes are of classes or tags"):
        captioner.annotate(data, tmp_path / "out")


def test_images_that_are_no_files(recognizer, data, tmp_path):
    catalog = read_data(data)
    pixels = [np.asarray(Image.open(s.source).convert("RGB")) for s in catalog.samples]
    samples = [replace(s, source=p) for s, p in zip(catalog.samples, pixels, strict=True)]
    inside = replace(catalog, samples=tuple(samples))
    for form in ("voc", "yolo"):
        with pytest.raises(LookcloserError, match="needs images that are files"):
            recognizer.annotate(inside, tmp_path / "out", form=form)
    files = recognizer.annotate(catalog, tmp_path / "files")
    assert recognizer.annotate(inside, tmp_path / "pixels").boxes == files.boxes
