"""The real program on tiny real files, as a user types it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

TRAIN = [
    "--backbone", "test_resnet", "--weights", "none", "--stride", "8", "--size", "32",
    "--batch-size", "16", "--lr", "5e-3", "--workers", "0", "--augment", "shift",
]  # fmt: skip


PROGRAM = Path(sys.executable).with_name("lookcloser")


def installed(*arguments, cwd, env=None, program=(PROGRAM,)):
    """Run the installed program; returns the finished process with text output."""
    return subprocess.run(
        [*program, *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(env or {})},
    )  # fmt: skip


@pytest.fixture(scope="module")
def lookcloser(warm_python):
    """As `installed`, without its imports."""
    return partial(installed, program=(warm_python, "-m", "lookcloser"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def trained(squares, place):
    """A run made by the real command line, with what it printed."""
    done = installed("train", squares, *TRAIN, "--epochs", "8", "--out", "runs/squares", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "runs" / "squares", done


def test_train_says_what_it_does_and_what_comes_next(trained, squares):
    run, done = trained
    assert "epoch 8/8" in done.stderr
    assert "waiting for data" in done.stderr
    assert f"Next: lookcloser report runs/squares {squares}" in done.stderr
    assert done.stdout == ""
    assert {"model.safetensors", "config.yaml", "metrics.csv", "last.ckpt"} <= set(os.listdir(run))
    assert (run.parent / "latest").resolve() == run.resolve()
    assert "Traceback" not in done.stderr
    assert "lightning.ai" not in done.stderr.lower(), "no advertisements"


def test_the_command_is_kept_for_reproduction(trained):
    text = (trained[0] / "config.yaml").read_text()
    assert "command: lookcloser train" in text
    assert "--epochs 8" in text


def test_predict_prints_an_answer_for_each_image(lookcloser, trained, squares, place):
    done = lookcloser("predict", trained[0], squares / "test" / "red", "--top", "2", cwd=place)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all("%" in line and line.startswith(str(squares / "test" / "red")) for line in lines)
    assert sum("red" in line.split(":", 1)[1].split(",")[0] for line in lines) >= 4


def test_predict_json_and_images(lookcloser, trained, squares, place):
    done = lookcloser(
        "predict", trained[0], *(squares / "test" / name / "0.png" for name in ("red", "blue")),
        "--json", "--save", "evidence", cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [Path(row["path"]).parent.name for row in rows] == ["red", "blue"]
    assert rows[0]["size"] == [32, 32]
    assert [len(row["labels"]) for row in rows] == [3, 3]
    assert rows[0]["regions"][0]["label"] == rows[0]["labels"][0]["name"]
    pictures = sorted((place / "evidence").iterdir())
    assert [path.name for path in pictures] == ["0.png", "0_2.png"], "equal names are kept apart"
    with Image.open(pictures[0]) as picture:
        assert picture.width > 64


def test_a_broken_image_among_good_ones_is_reported_and_the_rest_answered(
    lookcloser, trained, squares, place, tmp_path
):
    shutil.copy(squares / "test" / "red" / "0.png", tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"not an image")
    done = lookcloser("predict", trained[0], tmp_path, cwd=place)
    assert done.returncode == 3
    assert "bad.png" in done.stderr
    assert "1 of 2 images could not be read" in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_evaluate_prints_scores_as_json(lookcloser, trained, squares, place):
    done = lookcloser("evaluate", trained[0], squares, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert scores["top1"] >= 0.7
    assert {"macro_f1", "ece", "max_box_acc_0_5", "max_box_acc_v2", "top1_loc"} <= scores.keys()
    assert "supervision of the thresholds: boxes of 12 images of a separate split" in done.stderr


def test_evaluate_with_as_few_boxes_as_one_wants(lookcloser, trained, squares, place):
    done = lookcloser("evaluate", trained[0], squares, "--threshold-from", "few:3", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "boxes of 3 images, drawn from 12 (seed 0), of a separate split" in done.stderr
    header = next(line for line in done.stdout.splitlines() if "score" in line)
    assert "center box" in header
    assert "random map" in header


def test_explain_writes_a_sheet_of_views(lookcloser, trained, squares, place):
    done = lookcloser(
        "explain", trained[0], squares / "test" / "red" / "1.png", "--view", "cam,gradcam",
        "--target", "red", "--save", "views.png", cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Image.open(place / "views.png") as sheet:
        assert sheet.width > 3 * 320


def test_report_is_one_page_without_links_to_outside(lookcloser, trained, squares, place):
    done = lookcloser("report", trained[0], squares, cwd=place)
    assert done.returncode == 0, done.stderr
    page = (trained[0] / "report.html").read_text(encoding="utf-8")
    assert "lookcloser train" in page, "the command to reproduce"
    assert "MaxBoxAcc" in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_data_check(lookcloser, squares, place):
    done = lookcloser("data", "check", squares, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["images"] == {"train": 48, "val": 12, "test": 18}
    assert found["broken"] == []
    shown = lookcloser("data", "check", squares, cwd=place)
    assert "3 classes" in shown.stdout


def test_methods(place):
    done = installed("methods", "--json", cwd=place)
    assert json.loads(done.stdout)[0]["name"] == "cam"
    assert "cam" in installed("methods", cwd=place).stdout


def test_a_yaml_file_gives_defaults_and_flags_win(lookcloser, squares, place, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "backbone: test_resnet\nweights: none\nsize: 32\nworkers: 0\nepochs: 9\n"
        "mean: [0.5, 0.5, 0.5]\nmodel_kwargs: {drop_path_rate: 0.1}\n"
    )
    done = lookcloser(
        "train", squares, "--config", tmp_path / "c.yaml", "--epochs", "1", "--out", tmp_path / "r",
        cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = (tmp_path / "r" / "config.yaml").read_text()
    assert "epochs: 1" in config
    assert "backbone: test_resnet" in config
    assert "drop_path_rate: 0.1" in config


def test_ctrl_c_and_resume(lookcloser, squares, place, tmp_path):
    arguments = ["train", str(squares), *TRAIN, "--epochs", "500", "--out", str(tmp_path / "r")]
    process = subprocess.Popen([PROGRAM, *arguments], cwd=place, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "r" / "metrics.csv"
    deadline = time.monotonic() + 600
    while not history.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert history.exists(), errors
    assert process.returncode == 130, errors
    assert f"Next: lookcloser train --resume {tmp_path / 'r'}" in errors
    assert "Traceback" not in errors
    assert (
        lookcloser("predict", tmp_path / "r", squares / "test" / "red", cwd=place).returncode == 0
    )


WRONG = {
    "missing folder": (["train", "squars"], 1, "no such file or folder. Did you mean 'squares'?"),
    "unknown flag": (["train", "squares", "--epoch", "3"], 2, "--epochs"),
    "no network": (
        ["train", "squares", "--backbone", "resnet18"], 1, "--weights none",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_the_next_step(squares, tmp_path, arguments, code, message):
    """Of the program itself; tests/cli has more, without starting it anew for each."""
    (tmp_path / "squares").symlink_to(squares)
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = installed(*arguments, cwd=tmp_path, env=env)
    said = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == code, said
    assert message in said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists(), "a failed run leaves no folder"
