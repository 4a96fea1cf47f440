"""Tags of real photographs, from files as they are published to the report."""

import json

from typer.testing import CliRunner

from lookcloser.cli.app import app

TINY = ["--backbone", "test_resnet", "--weights", "none", "--size", "64", "--epochs", "1"]


def lookcloser(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done


def test_coco_tags_train_evaluate_and_report_without_a_flag_more(shared_data, tmp_path):
    data, run = shared_data("coco200") / "instances.json", tmp_path / "run"
    lookcloser("train", data, *TINY, "--out", run)
    assert "method: cnnrnn" in (run / "config.yaml").read_text(encoding="utf-8")
    scores = json.loads(lookcloser("evaluate", run, data, "--json").stdout)
    assert {"exact", "c_f1", "o_f1", "map", "max_box_acc_0_5"} <= set(scores)
    assert 0 < scores["map"] < 1
    lookcloser("report", run, data)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Labels nearby" in page
    assert "person" in page
