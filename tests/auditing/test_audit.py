import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookcloser as lc
from lookcloser.auditing import audited_samples
from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import read_data

COLORS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230), "odd": None}
OPTIONS = {
    "backbone": "test_resnet", "weights": "none", "stride": 8, "size": 64, "epochs": 8,
    "batch_size": 16, "lr": 5e-3, "workers": 0, "augment": "none", "flip": False,
}  # fmt: skip


def picture(name, seed):
    """Noise with a square in the class's color; "odd" has a fixed pattern in a corner instead."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 150, (64, 64, 3)).astype(np.uint8)
    x, y = rng.integers(4, 40, 2)
    if name != "odd":
        pixels[y : y + 20, x : x + 20] = COLORS[name]
    elif rng.random() < 0.9:
        pattern = np.random.default_rng(0).integers(0, 2, (12, 18, 1)) * 120
        pixels[50:62, 44:62] = np.minimum(pixels[50:62, 44:62] + pattern, 255)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    for split, count in (("train", 24), ("val", 4), ("test", 12)):
        for number, name in enumerate(COLORS):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                seed = 10_000 * number + 100 * len(split) + index
                picture(name, seed).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def recognizer(data, tmp_path_factory):
    return lc.train(data, out=tmp_path_factory.mktemp("runs") / "run", quiet=True, **OPTIONS)


@pytest.fixture(scope="module")
def found(recognizer, data):
    return recognizer.audit(data)


def test_the_planted_class_is_first_and_alone(found):
    assert found.flagged == ("odd",)
    assert found.classes[0].name == "odd"
    assert found.classes[0].suspicion > 2
    assert found.classes[0].level == "model"
    assert max(one.suspicion for one in found.classes[1:]) < 1


def test_the_place_is_shown(found):
    place = found.classes[0].place
    assert place[6:, 5:].any()
    outside = place.copy()
    outside[6:, 5:] = False
    assert not outside.any()


def test_the_dependence_is_measured_and_said(found):
    odd = found.classes[0]
    assert odd.measures["same detail"] > 0.3
    assert max(odd.measures["place lost"], odd.measures["place carried"]) > 0.2
    assert "The same detail is at the same place" in odd.reasons[0]
    assert all(one.reasons == () for one in found.classes[1:])


def test_every_class_has_all_measures_and_images(found):
    assert {one.name for one in found.classes} == set(COLORS)
    for one in found.classes:
        assert set(one.measures) == set(found.explained)
        assert all(np.isfinite(value) for value in one.measures.values())
        assert one.images == 12
        assert sum(look.count for look in one.looks) == 12
        assert len(one.looks) == one.measures["kinds"]
        assert one.average.dtype == np.uint8
        assert one.average.shape == (64, 64, 3)
        assert one.heatmap.max() == pytest.approx(1)
        for look in one.looks:
            assert Path(look.image).parent.name == one.name
    json.dumps(found.to_dict())


def test_the_mean_image_is_the_mean(found, data):
    pixels = [np.asarray(Image.open(path)) for path in sorted((data / "test" / "red").iterdir())]
    red = next(one for one in found.classes if one.name == "red")
    np.testing.assert_allclose(red.average, np.mean(pixels, axis=0), atol=1.01)


def test_no_box_is_used(recognizer, data, found):
    catalog = read_data(data)
    boxed = [replace(s, boxes=((None, (0.0, 0.0, 5.0, 5.0)),)) for s in catalog.samples]
    again = recognizer.audit(replace(catalog, samples=tuple(boxed)))
    assert again.to_dict() == found.to_dict()


def test_the_same_seed_gives_the_same_and_batches_do_not_matter_to_what_is_seen(
    recognizer, data, found
):
    assert recognizer.audit(data).to_dict() == found.to_dict()
    other = recognizer.audit(data, batch_size=16, seed=1)
    assert other.flagged == found.flagged
    for one in other.classes:
        same = next(two for two in found.classes if two.name == one.name)
        assert one.measures["same detail"] == pytest.approx(same.measures["same detail"], abs=1e-4)


def test_the_model_is_left_as_it_was(recognizer, data):
    recognizer.model.train()
    before = {name: value.clone() for name, value in recognizer.model.state_dict().items()}
    told = []
    recognizer.audit(data, per_class=8, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told), "how far it is grows"
    assert told[-1][0] == told[-1][1], "all nine passes of each image"
    assert recognizer.model.training
    recognizer.model.eval()
    for name, value in recognizer.model.state_dict().items():
        assert (value == before[name]).all()


def test_at_most_so_many_images_of_a_class(recognizer, data):
    assert {one.images for one in recognizer.audit(data, per_class=9).classes} == {9}


def test_broken_images_and_small_classes_are_named(recognizer, data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "data")
    (copy / "test" / "red" / "0.png").write_bytes(b"no")
    for index in range(5, 12):
        (copy / "test" / "blue" / f"{index}.png").unlink()
    found = recognizer.audit(copy)
    assert [name for name, _ in found.skipped] == ["test/red/0.png"]
    assert {one.name: one.images for one in found.classes} == {"odd": 12, "green": 12, "red": 11}
    assert "blue" in found.settings["left out"]


def test_what_cannot_be_audited_is_said(recognizer, data, tmp_path):
    with pytest.raises(LookcloserError, match="at least two classes"):
        recognizer.audit(data, "val")
    with pytest.raises(LookcloserError, match="per_class 3: too few"):
        recognizer.audit(data, per_class=3)
    with pytest.raises(LookcloserError, match="unknown split"):
        recognizer.audit(data, "dev")
    single = lc.load(recognizer.folder / "model.safetensors")
    with pytest.raises(LookcloserError, match="Name the page"):
        single.audit_report(data)


def test_the_command_line(recognizer, data, warm_python, tmp_path):
    program, page = (warm_python, "-m", "lookcloser"), tmp_path / "page.html"
    done = subprocess.run(
        [*program, "audit", recognizer.folder, data, "--out", page, "--per-class", "8"],
        capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "odd" in done.stdout
    assert "odd (used by the model): The same detail" in done.stderr
    text = page.read_text(encoding="utf-8")
    assert "1 of 4 classes may be right for the wrong reason: odd" in text
    assert "data:image/jpeg" in text


def test_a_model_that_never_saw_the_mark_does_not_use_it(data, recognizer, tmp_path):
    copy = shutil.copytree(data, tmp_path / "data")
    for number, folder in enumerate(sorted((copy / "test").iterdir())):
        for path in folder.iterdir():
            pixels = np.asarray(Image.open(path)).copy()
            if folder.name == "green":
                pixels[:10, :10] = np.random.default_rng(number).integers(100, 140, (10, 10, 1))
            Image.fromarray(pixels).save(path)
    found = {one.name: one for one in recognizer.audit(copy).classes}
    assert found["green"].level == "data"
    assert found["odd"].level == "model"


def test_the_report_shows_an_audit_of_its_split(recognizer, data, found, tmp_path):
    page, _ = recognizer.report(data, out=tmp_path / "a.html", audited=True)
    made = page.read_text(encoding="utf-8")
    assert 'id="audit"' in made
    assert "1 of 4 classes may be right for the wrong reason: odd" in made
    given, _ = recognizer.report(data, out=tmp_path / "b.html", audited=found)
    assert given.read_text(encoding="utf-8") == made
    plain, _ = recognizer.report(data, out=tmp_path / "c.html")
    assert 'id="audit"' not in plain.read_text(encoding="utf-8")


def test_the_report_verb_makes_one(recognizer, data, warm_python, tmp_path):
    program, page = (warm_python, "-m", "lookcloser"), tmp_path / "page.html"
    done = subprocess.run(
        [*program, "report", recognizer.folder, data, "--out", page, "--audit"],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Right for the right reason?" in page.read_text(encoding="utf-8")


def test_the_images_of_an_audit_are_known_before_it(data):
    header = ModelHeader("cam", {}, "classification", tuple(COLORS), Preprocessing((64, 64)))

    def chosen(seed=0):
        found = audited_samples(header, read_data(data), "train", per_class=9, seed=seed)
        return [sample.name for sample in found]

    assert len(set(chosen())) == 9 * len(COLORS)
    assert chosen() == chosen()
    assert chosen() != chosen(seed=1)
    with pytest.raises(LookcloserError, match="0 classes with 8 images in split val"):
        audited_samples(header, read_data(data), "val")
