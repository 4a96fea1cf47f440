"""PxAP of an evaluation: masks beside the images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookcloser as lc
from lookcloser import metrics
from lookcloser.core import LookcloserError
from lookcloser.core.results.scores import flat_scores
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.data import Sample, read_data
from lookcloser.evaluation.localization.mask_scores import MaskTally, read_mask


def save(folder, name, values, mode="L"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).convert(mode).save(file)
    return file


def test_values_and_nearest_pixels(tmp_path):
    file = save(tmp_path, "m.png", [[0, 1, 7], [255, 254, 0]])
    found = read_mask(file, ImageSize(3, 2), Grid(4, 6))
    assert found.dtype == np.uint8
    small = np.array([[0, 1, 1], [255, 1, 0]])
    np.testing.assert_array_equal(found, small.repeat(2, axis=0).repeat(2, axis=1))


def test_palettes_and_bits(tmp_path):
    image = Image.fromarray(np.array([[0, 3], [255, 0]], np.uint8), "L").convert("L")
    image = Image.frombytes("P", (2, 2), image.tobytes())
    image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png", ImageSize(2, 2), Grid(2, 2)).tolist() == [[0, 1], [255, 0]]
    bits = save(tmp_path, "b.png", [[0, 255], [255, 0]], "1")
    assert read_mask(bits, ImageSize(2, 2), Grid(2, 2)).tolist() == [[0, 1], [1, 0]]


def test_scores_are_those_of_all_pixels_together(tmp_path):
    rng = np.random.default_rng(0)
    maps = rng.random((70, 3, 3), dtype=np.float32)
    truth = rng.choice([0, 1, 255], (70, 6, 6))
    rows = [row for row in range(70) if row != 4]
    for row in rows:
        save(tmp_path / "masks", f"{row}.png", truth[row])
    samples = [Sample(f"{row}.jpg", Path("x")) for row in range(70)]
    tally = MaskTally(tmp_path, Grid(6, 6))
    for start in range(0, 70, 16):
        some = slice(start, start + 16)
        tally.add(maps[some], samples[some], [(6, 6)] * len(samples[some]))
    assert tally.count == 69
    (score,) = tally.scores()
    assert score.higher_is_better
    found = flat_scores([score])
    large = metrics.upsample_maps(maps, (6, 6))
    assert found["PxAP"] == pytest.approx(metrics.pxap(large[rows], truth[rows]))
    center = metrics.center_maps(69, (6, 6))
    assert found["PxAP center box"] == pytest.approx(metrics.pxap(center, truth[rows]))
    noise = metrics.upsample_maps(metrics.random_maps(69, (3, 3)), (6, 6))
    assert found["PxAP random map"] == pytest.approx(metrics.pxap(noise, truth[rows]))


def test_masks_that_are_all_ignored(tmp_path):
    save(tmp_path / "masks", "m.png", [[0, 255]])
    tally = MaskTally(tmp_path, Grid(2, 2))
    assert tally.scores() == ()
    tally.add(np.ones((1, 2, 2), np.float32), [Sample("m.jpg", Path("x"))], [(2, 1)])
    with pytest.raises(LookcloserError, match="no mask has a pixel of an object.* 255 is ignored"):
        tally.scores()


def test_a_mask_that_cannot_be_used_is_named_and_the_others_count(tmp_path):
    rng = np.random.default_rng(0)
    maps, truth = rng.random((3, 2, 2), dtype=np.float32), rng.integers(2, size=(3, 2, 2))
    samples = [Sample(f"{row}.jpg", Path("x")) for row in range(3)]
    for row in (0, 2):
        save(tmp_path / "masks", f"{row}.png", truth[row])
    (tmp_path / "masks" / "1.png").write_bytes(b"%!PS-Adobe")
    tally = MaskTally(tmp_path, Grid(2, 2))
    assert tally.settings() == {}
    tally.add(maps, samples, [ImageSize(2, 2)] * 3)
    tally.add(maps[:1], samples[:1], [ImageSize(3, 2)])
    assert tally.count == 2
    assert tally.scores()[0].value == pytest.approx(metrics.pxap(maps[[0, 2]], truth[[0, 2]]))
    said = tally.settings()
    assert said["masks"].startswith("2, ")
    assert said["masks left out"].startswith(f"2, the first is {tmp_path / 'masks' / '1.png'}: not")


def test_no_mask_that_can_be_used_is_no_score(tmp_path):
    save(tmp_path / "masks", "0.png", [[1, 2]], "RGB")
    tally = MaskTally(tmp_path, Grid(2, 2))
    tally.add(np.ones((1, 2, 2), np.float32), [Sample("0.jpg", Path("x"))], [ImageSize(2, 1)])
    assert (tally.count, tally.scores(), list(tally.settings())) == (0, (), ["masks left out"])


@pytest.fixture(scope="module")
def masked(squares, tmp_path_factory):
    """The squares with a mask of the object for each picture of test, and without boxes."""
    data = shutil.copytree(squares, tmp_path_factory.mktemp("masked") / "data")
    for sample in read_data(squares).split("test"):
        mask = np.zeros((32, 32))
        ((_, (x0, y0, x1, y1)),) = sample.boxes
        mask[int(y0) : int(y1), int(x0) : int(x1)] = 1
        save(data / "masks", sample.name, mask)
    (data / "boxes.csv").unlink()
    return data


def test_an_evaluation_reads_them_for_scoring_only(masked, squares, quick, tmp_path):
    catalog = read_data(masked)
    assert catalog.names == ("blue", "green", "red")
    assert len(catalog.samples) == len(read_data(squares).samples), "masks are no images"
    recognizer = lc.train(masked, out=tmp_path / "run", quiet=True, **quick)
    found = recognizer.evaluation(masked)
    assert found.metrics["PxAP"] > found.metrics["PxAP random map"]
    assert "PxAP center box" in found.metrics
    assert found.settings["masks"].startswith("18, of the true class")
    assert "MaxBoxAcc@0.5" not in found.metrics
    assert "PxAP" not in recognizer.evaluation(squares, threshold_from="none").metrics
