"""`data check` says of masks what evaluation would leave out."""

import json

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.data import check_data, read_data
from lookcloser.evaluation.localization.mask_scores import MaskTally


@pytest.fixture
def data(write):
    return write(
        *(f"{split}/{c}/{i}.png" for split in ("train", "test") for c in "ab" for i in "12")
    )


def save(data, name, values, mode="L"):
    with Image.open(data / name) as image:
        size = image.size
    file = data / "masks" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).resize(size, 0).convert(mode).save(file)
    return file


def warnings(report):
    return [one.text for one in report.problems if one.severity == "warning"]


def test_no_folder_of_masks_and_sound_ones(data):
    assert check_data(read_data(data)).masks is None
    save(data, "test/a/1.png", [[0, 1]])
    save(data, "test/b/1.png", [[0, 255]])
    report = check_data(read_data(data))
    assert (report.masks.count, report.masks.unusable, warnings(report)) == (2, (), [])
    assert json.loads(json.dumps(report.to_dict()))["masks"]["count"] == 2


def test_every_mask_that_evaluation_leaves_out_is_named_before(data):
    save(data, "test/a/1.png", [[0, 1]])
    save(data, "test/a/2.png", [[0, 1]], "RGB")
    Image.new("L", (3, 5)).save(save(data, "test/b/1.png", [[1]]))
    save(data, "test/b/2.png", [[1]]).write_bytes(b"no image")
    catalog = read_data(data)
    report = check_data(catalog)
    left_out = ["masks/test/a/2.png", "masks/test/b/1.png", "masks/test/b/2.png"]
    assert [name for name, _ in report.masks.unusable] == left_out
    assert report.masks.unusable[0][1].startswith("an image of mode RGB")
    (warning,) = warnings(report)
    assert warning.startswith("3 masks ('masks/test/a/2.png'")
    assert "cannot be used (an image of mode RGB" in warning
    samples = catalog.split("test")
    with Image.open(samples[0].source) as image:
        sizes = [ImageSize(*image.size)] * len(samples)
    tally = MaskTally(catalog.root, Grid(4, 4))
    tally.add(np.ones((len(samples), 2, 2), np.float32), samples, sizes)
    assert tally.settings()["masks left out"].startswith("3, ")


def test_masks_of_no_image_and_without_an_object(data):
    save(data, "test/a/1.png", [[0, 255]])
    (data / "masks/test/a/1.jpg").write_bytes(b"")
    (data / "masks/other.png").write_bytes(b"")
    report = check_data(read_data(data))
    assert report.masks.without_image == ("masks/other.png", "masks/test/a/1.jpg")
    assert [text.split(":")[0] for text in warnings(report)] == [
        "2 masks ('masks/other.png', 'masks/test/a/1.jpg') of no image",
        "No mask has a pixel of an object, so evaluation refuses them",
    ]


def test_masks_are_counted_where_nothing_is_decoded(data):
    save(data, "test/a/1.png", [[1]]).write_bytes(b"no image")
    report = check_data(read_data(data), decode=False)
    assert (report.masks.count, report.masks.unusable) == (1, ())
