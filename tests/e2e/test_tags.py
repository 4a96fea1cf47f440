"""The verbs on label sets, in one process."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from lookcloser.cli.app import app
from lookcloser.data import read_data
from lookcloser.data.scenes import write_scenes

TRAIN = [
    "--backbone", "test_resnet", "--weights", "none", "--stride", "8", "--size", "32",
    "--batch-size", "16", "--lr", "1e-2", "--workers", "0", "--augment", "none", "--epochs", "2",
]  # fmt: skip


def lookcloser(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tags") / "tags"
    return write_scenes(folder, "tags", train=48, val=8, test=8, size=48, clutter=(0, 0))


@pytest.fixture(scope="module")
def run(tags, tmp_path_factory):
    """Trained without naming a method."""
    folder = tmp_path_factory.mktemp("runs") / "tags"
    done = lookcloser("train", tags, *TRAIN, "--label-order", "rare", "--out", folder)
    assert "F1 of sets" in done.stderr
    assert "val_exact" in done.stderr
    return folder


def test_the_method_and_its_options_are_kept(run):
    text = (run / "config.yaml").read_text()
    assert "method: cnnrnn" in text
    assert "label_order: rare" in text


def test_predict_prints_labels_with_scores(run, tags):
    lines = lookcloser("predict", run, tags / "test").stdout.splitlines()
    assert len(lines) == 8
    for line in lines:
        said = line.split(": ", 1)[1]
        assert said == "no label" or all(part.endswith("%") for part in said.split(", "))
    rows = json.loads(lookcloser("predict", run, tags / "test", "--json").stdout)
    for row in rows:
        assert row["task"] == "multilabel"
        assert {region["label"] for region in row["regions"]} == {
            label["name"] for label in row["labels"]
        }


def test_evaluate_and_report(run, tags):
    scores = json.loads(lookcloser("evaluate", run, tags, "--json").stdout)
    assert {"exact", "c_f1", "o_f1", "c_f1_3", "map", "map_10", "max_box_acc_0_5"} <= set(scores)
    lookcloser("report", run, tags)
    assert "Labels nearby" in (run / "report.html").read_text(encoding="utf-8")


def test_a_yolo_set_has_the_same_scores(run, tags, tmp_path):
    catalog = read_data(tags)
    number = {name: i for i, name in enumerate(catalog.names)}
    for sample in (*catalog.split("val"), *catalog.split("test")):
        image = tmp_path / "images" / sample.split / f"{Path(sample.name).stem}.png"
        label = tmp_path / "labels" / sample.split / f"{image.stem}.txt"
        for file in (image, label):
            file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sample.source, image)
        rows = (
            (number[name], (x0 + x1) / 96, (y0 + y1) / 96, (x1 - x0) / 48, (y1 - y0) / 48)
            for name, (x0, y0, x1, y1) in sample.boxes
        )
        label.write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows))
    page = {"val": "images/val", "test": "images/test", "names": list(catalog.names)}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(page))
    same, scores = (
        json.loads(lookcloser("evaluate", run, data, "--split", "test", "--json").stdout)
        for data in (tags, tmp_path)
    )
    for name in ("exact", "o_f1", "max_box_acc_0_5", "max_box_acc_v2", "pointing"):
        assert scores[name] == pytest.approx(same[name])


def test_explain_takes_the_views_there_are(run, tags, tmp_path):
    picture, out = tags / "test" / "00000.png", tmp_path / "views.png"
    done = lookcloser("explain", run, picture, "--save", out, "--target", "5")
    assert done.stdout == f"{out}\n"
    assert done.stderr.startswith("5 ")
    assert "by gradcam, saliency\n" in done.stderr
    assert out.is_file()


def test_explain_draws_a_row_for_each_label_of_the_path(run, tags, tmp_path):
    rows = json.loads(lookcloser("predict", run, tags / "test", "--json").stdout)
    row = max(rows, key=lambda row: len(row["regions"]))
    out = tmp_path / "labels.png"
    views = ["--view", "gradcam,deconvnet", "--save", out]
    done = lookcloser("explain", run, row["path"], "--each-label", *views)
    assert done.stdout.strip() == str(out)
    said = done.stderr.splitlines()[0]
    assert [part.split()[0] for part in said.split(" by ")[0].split(", ")] == [
        region["label"] for region in row["regions"]
    ]
    with Image.open(out) as sheet:
        assert sheet.width > 3 * 320
        assert sheet.height > len(row["regions"]) * 320
    refused = CliRunner().invoke(
        app, ["explain", str(run), row["path"], "--each-label", "--target", "5"]
    )
    assert refused.exit_code == 2


def test_methods_lists_them():
    text = lookcloser("methods", "--json").stdout
    tasks = {method["name"]: method["tasks"] for method in json.loads(text)}
    assert tasks["sigmoid"] == tasks["cnnrnn"] == ["multilabel"]
