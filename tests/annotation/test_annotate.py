import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO

import lookcloser as lc
from lookcloser.annotation import FORMATS
from lookcloser.annotation.class_thresholds import TRUSTED, _choose
from lookcloser.annotation.journal import JOURNAL
from lookcloser.core import LookcloserError
from lookcloser.core import boxes as geometry
from lookcloser.data import read_data
from lookcloser.metrics.thresholds import THRESHOLDS

# pycocotools 2.0.11 answers NumPy 2's call of __array__ in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def names(found):
    return [record.name for record in found.records]


def test_every_image_gets_the_box_of_its_label(recognizer, squares, tmp_path):
    found = recognizer.annotate(squares, tmp_path)
    samples = read_data(squares).samples
    assert names(found) == [sample.name for sample in samples]
    assert found.boxes == len(samples) == 78
    assert repr(found) == f"Annotation(78 boxes on 78 images, in '{found.files[0]}')"
    for record, sample in zip(found.records, samples, strict=True):
        assert [thing.label for thing in record.things] == list(sample.labels)
        assert record.split == sample.split
    ious = [
        geometry.iou([record.things[0].box], [sample.boxes[0][1]])[0, 0]
        for record, sample in zip(found.records, samples, strict=True)
        if sample.split == "test"
    ]
    assert np.mean(np.array(ious) >= 0.3) > 0.5
    assert any(note.startswith("labels: given for ") for note in found.notes)
    assert "thresholds: chosen on 12 boxes of the split val" in found.notes


def test_boxes_are_those_that_predict_cuts_at_the_same_threshold(recognizer, squares, tmp_path):
    catalog = read_data(squares)
    bare = replace(catalog, samples=tuple(replace(s, boxes=()) for s in catalog.samples))
    found = recognizer.annotate(bare, tmp_path, labels="predicted", split="test")
    assert set(found.thresholds.values()) == {recognizer.header.box_threshold}
    samples = catalog.split("test")
    answers = recognizer.predict([sample.source for sample in samples], top=1)
    for record, answer in zip(found.records, answers, strict=True):
        (thing,) = record.things
        assert thing.label == answer.labels[0].name
        assert thing.score == pytest.approx(answer.labels[0].score, abs=1e-5)
        assert thing.box == pytest.approx(answer.regions[0].box, abs=0.011)


def test_scores_are_those_of_the_label(recognizer, squares, tmp_path):
    found = recognizer.annotate(squares, tmp_path, split="test")
    samples = read_data(squares).split("test")
    answers = recognizer.predict([sample.source for sample in samples], top=3)
    for record, sample, answer in zip(found.records, samples, answers, strict=True):
        scores = {label.name: label.score for label in answer.labels}
        assert record.things[0].score == pytest.approx(scores[sample.labels[0]], abs=1e-5)


def test_boxes_of_the_scored_splits_are_never_looked_at(recognizer, squares, tmp_path):
    copy = shutil.copytree(squares, tmp_path / "squares")
    table = copy / "boxes.csv"
    rows = list(csv.reader(table.read_text().splitlines()))
    for row in rows[1:]:
        if not row[0].startswith("val"):
            row[3:] = ["0", "0", "1", "1"]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    one = recognizer.annotate(squares, tmp_path / "one")
    two = recognizer.annotate(copy, tmp_path / "two")
    assert [r.things for r in one.records] == [r.things for r in two.records]
    assert one.thresholds == two.thresholds


@pytest.mark.parametrize("masks", ["polygons", "rle"])
def test_masks_fit_their_boxes_for_pycocotools(recognizer, squares, tmp_path, masks):
    found = recognizer.annotate(squares, tmp_path, masks=masks, split="val")
    coco = COCO(found.files[0])
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation)
        x, y, w, h = annotation["bbox"]
        rows, columns = np.nonzero(mask)
        assert columns.min() >= x - 1
        assert columns.max() < x + w + 1
        assert rows.max() < y + h + 1
        assert mask.sum() == pytest.approx(annotation["area"], rel=0.1, abs=6)


def test_a_folder_without_labels(recognizer, squares, tmp_path):
    folder = shutil.copytree(squares / "test" / "red", tmp_path / "photos")
    (folder / "broken.png").write_bytes(b"no")
    found = recognizer.annotate(folder, tmp_path / "out", form="csv")
    assert len(found.records) == 7
    assert [name for name, _ in found.skipped] == ["broken.png"]
    rows = list(csv.DictReader((tmp_path / "out" / "boxes.csv").read_text().splitlines()))
    assert len(rows) == found.boxes == 6
    assert Counter(row["label"] for row in rows)["red"] >= 4
    assert {row["split"] for row in rows} == {""}
    again = recognizer.annotate(folder, tmp_path / "out", form="csv")
    assert again.resumed == 6
    assert [name for name, _ in again.skipped] == ["broken.png"]
    (folder / "broken.png").write_bytes(found_image(folder).read_bytes())
    repaired = recognizer.annotate(folder, tmp_path / "out", form="csv")
    assert not repaired.skipped, "an image that was repaired is annotated"
    assert repaired.boxes == 7


def found_image(folder):
    return next(path for path in sorted(folder.rglob("*.png")) if path.name != "broken.png")


def test_one_image_without_a_label_takes_none_from_the_others(recognizer, squares, tmp_path):
    catalog = read_data(squares)
    first, *others = catalog.split("test")
    samples = (replace(first, labels=()), *others)
    notes = recognizer.annotate(
        replace(catalog, samples=samples), tmp_path / "out", split="test", labels="auto"
    ).notes
    images = len(others)
    assert f"labels: given for {images} images, predicted for 1 image" in notes


def test_labels_that_the_model_does_not_know(recognizer, squares, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(squares / "test" / "red", folder / "rouge")
    shutil.copytree(squares / "test" / "blue", folder / "bleu")
    notes = recognizer.annotate(folder, tmp_path / "a").notes
    assert any(note.startswith("labels: predicted for ") for note in notes)
    with pytest.raises(LookcloserError, match="the model does not know"):
        recognizer.annotate(folder, tmp_path / "b", labels="given")
    assert not (tmp_path / "b").exists(), "nothing is written before the data is sound"


def test_low_scores_are_left_out_of_the_files_only(recognizer, squares, tmp_path):
    everything = recognizer.annotate(squares, tmp_path, split="test", labels="predicted")
    scores = sorted(thing.score for record in everything.records for thing in record.things)
    middle = scores[len(scores) // 2]
    some = recognizer.annotate(
        squares, tmp_path, split="test", labels="predicted", min_score=middle
    )
    assert some.resumed == 18
    assert some.boxes == sum(score >= middle for score in scores)
    assert len(json.loads(some.files[0].read_text())["annotations"]) == some.boxes


def test_another_format_costs_no_second_look(recognizer, squares, tmp_path, monkeypatch):
    recognizer.annotate(squares, tmp_path, split="val")
    monkeypatch.setattr(recognizer.model, "forward", None)
    for form in FORMATS:
        found = recognizer.annotate(squares, tmp_path, split="val", form=form)
        assert found.resumed == 12
        assert found.boxes == 12
        assert all(path.exists() for path in found.files)


class KilledError(Exception):
    pass


def test_stopped_after_any_batch_it_ends_the_same_without_double_work(
    recognizer, squares, tmp_path
):
    whole = recognizer.annotate(squares, tmp_path / "whole", batch_size=7)
    seen = []

    def stop(done, total):
        seen.append(done)
        if len(seen) % 2 == 0:
            raise KilledError

    for _ in range(20):
        try:
            parts = recognizer.annotate(squares, tmp_path / "parts", batch_size=7, progress=stop)
            break
        except KilledError:
            assert not (tmp_path / "parts" / "annotations.json").exists()
    assert sorted(set(seen)) == seen, "no picture was counted twice"
    assert parts.records == whole.records
    lines = (tmp_path / "parts" / JOURNAL).read_text().splitlines()
    assert len(lines) == 1 + 78
    one, two = (tmp_path / name / "annotations.json" for name in ("whole", "parts"))
    assert one.read_bytes() == two.read_bytes()


def test_another_model_is_refused(recognizer, squares, tmp_path):
    recognizer.annotate(squares, tmp_path, split="val")
    other = lc.load(recognizer.folder)
    other.model.head.bias.data += 1
    with pytest.raises(LookcloserError, match="another model"):
        other.annotate(squares, tmp_path, split="val")


def test_errors_come_before_any_work(recognizer, squares, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(LookcloserError, match="unknown format"):
        recognizer.annotate(squares, out, form="cocoo")
    with pytest.raises(LookcloserError, match="no masks that voc can hold"):
        recognizer.annotate(squares, out, form="voc", masks="rle")
    with pytest.raises(LookcloserError, match="unknown kind of labels"):
        recognizer.annotate(squares, out, labels="all")
    with pytest.raises(LookcloserError, match="no such"):
        recognizer.annotate(tmp_path / "nowhere", out)
    with pytest.raises(LookcloserError, match="unknown split"):
        recognizer.annotate(squares, out, split="dev")
    assert not out.exists()


def test_a_class_with_many_boxes_gets_its_own_threshold_one_with_few_that_of_all():
    levels = len(THRESHOLDS)
    hit = {"low": np.zeros(levels), "high": np.zeros(levels)}
    hit["low"][10], hit["high"][60] = 0.9, 0.9
    many, few = 3 * TRUSTED, 2
    overlaps = np.array([hit["low"]] * many + [hit["high"]] * few)
    classes = np.array([0] * many + [1] * few)
    chosen = _choose(classes, overlaps, ["a", "b", "none"])
    assert chosen == dict.fromkeys(("a", "b", "none"), THRESHOLDS[10])
    overlaps = np.array([hit["low"]] * many + [hit["high"]] * many)
    chosen = _choose(np.array([0] * many + [1] * many), overlaps, ["a", "b"])
    assert (chosen["a"], chosen["b"]) == (THRESHOLDS[10], THRESHOLDS[60])


def test_of_equally_good_thresholds_the_one_of_tighter_boxes_wins():
    overlaps = np.zeros((4, len(THRESHOLDS)))
    overlaps[:, 20:40] = 0.55
    overlaps[:, 33] = 0.8
    assert _choose(np.zeros(4, int), overlaps, ["a"])["a"] == THRESHOLDS[33]


def test_the_command_line_killed_and_continued(recognizer, squares, warm_python, tmp_path):
    command = ["-m", "lookcloser", "annotate", recognizer.folder, squares, "--out",
               tmp_path / "out", "--batch-size", "1", "--format", "yolo", "--masks",
               "polygons"]  # fmt: skip
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    journal = tmp_path / "out" / JOURNAL
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > 5:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait(timeout=600)
    killed = process.returncode == -signal.SIGKILL
    done = subprocess.run(
        [warm_python, *command], capture_output=True, text=True, check=False,
        env={**os.environ, "NO_COLOR": "1"}, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "78 boxes on 78 images" in done.stderr
    assert ("done before" in done.stderr) or not killed
    lines = journal.read_text().splitlines()
    assert len(lines) == len({json.loads(line)["name"] for line in lines[1:]}) + 1 == 79
    labels = list((tmp_path / "out" / "labels").rglob("*.txt"))
    assert len(labels) == 78


def test_the_command_line_reports_skips(recognizer, squares, warm_python, tmp_path):
    folder = shutil.copytree(squares / "test" / "blue", tmp_path / "photos")
    (folder / "broken.png").write_bytes(b"no")
    done = subprocess.run(
        [warm_python, "-m", "lookcloser", "annotate", recognizer.folder, folder,
         "--out", tmp_path / "o"],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 3
    assert re.search(r"skipped: \S*broken.png: ", done.stderr)
    assert "Traceback" not in done.stderr
