"""The verbs after training: results on stdout, hints on stderr, and what comes next."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Program = Callable[..., Any]


def words(done: Any) -> list[str]:
    assert done.code in {0, 3}, done.err
    return shlex.split(done.next)


@pytest.fixture
def image(squares: Path, tmp_path: Path) -> Path:
    """A picture whose name needs quotes in a shell."""
    (tmp_path / "im ages").mkdir()
    return shutil.copy(squares / "test" / "red" / "0.png", tmp_path / "im ages" / "it's.png")


def test_predict_proposes_images_then_a_closer_look(
    program: Program, run_folder: Path, image: Path
) -> None:
    first = program("predict", run_folder, image)
    assert words(first)[1:] == ["predict", str(run_folder), str(image), "--save", "evidence/"]
    second = program(*words(first)[1:])
    assert words(second) == ["lookcloser", "explain", str(run_folder), str(image)]
    assert "1 image in evidence" in second.err


def test_skips_do_not_hide_what_comes_next(
    program: Program, run_folder: Path, image: Path, tmp_path: Path
) -> None:
    (tmp_path / "im ages" / "bad.png").write_bytes(b"no image")
    done = program("predict", run_folder, tmp_path / "im ages", "--save", "e")
    assert done.code == 3
    assert words(done)[:2] == ["lookcloser", "explain"]


@pytest.mark.parametrize("more", [[], ["--json"], ["--save", "e"]])
def test_nothing_answered_is_a_failure(
    program: Program, run_folder: Path, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    done = program("predict", run_folder, "notes.txt", *more)
    assert done.code == 1
    assert "1 of 1 image could not be read" in done.err
    assert "Next" not in done.err


def test_explain_writes_its_file_to_stdout(program: Program, run_folder: Path, image: Path) -> None:
    done = program("explain", run_folder, image, "--view", "cam", "--save", "v.png")
    assert done.out == "v.png\n"
    assert words(done)[1:3] == ["predict", str(run_folder)]
    assert Path("v.png").is_file()


@pytest.mark.parametrize("view", [",", "", " , "])
def test_no_view_at_all_names_the_views(
    program: Program, run_folder: Path, image: Path, view: str
) -> None:
    done = program("explain", run_folder, image, "--view", view)
    assert done.code == 2
    assert "There are: cam, gradcam" in done.said


def test_an_unknown_view_is_wrong_usage(program: Program, run_folder: Path, image: Path) -> None:
    done = program("explain", run_folder, image, "--view", "camm")
    assert done.code == 2
    assert "camm: unknown view. Close: cam" in done.said


def test_a_view_that_the_network_lacks_says_which_have_it(
    program: Program, run_folder: Path, image: Path
) -> None:
    done = program("explain", run_folder, image, "--view", "attention_rollout")
    assert done.code == 1
    assert "attention_rollout: CAM has no attention" in done.said
    assert "vision transformers have it" in done.said


def test_a_foreign_network_without_weights_knows_nothing(program: Program, image: Path) -> None:
    done = program(
        "explain", "--model", "timm:test_resnet", "--image", image, "--weights", "none",
        "--view", "gradcam",
    )  # fmt: skip
    assert done.out == "explanation.png\n"
    assert "the network knows nothing" in done.err
    assert words(done) == ["lookcloser", "train", "DATA", "--backbone", "test_resnet"]


def test_without_a_network_explain_does_not_speak_of_training(
    program: Program, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookcloser.models.weights._cached", lambda _repository: False)
    done = program("explain", "--model", "timm:resnet18", "--image", image)
    assert done.code == 1
    assert "the hub cannot be reached" in done.said
    assert "--weights FILE.safetensors" in done.said
    assert "Train" not in done.said


def test_arguments_that_timm_does_not_take(program: Program, image: Path) -> None:
    done = program(
        "explain", "--model", "timm:resnet18", "--image", image, "--weights", "none",
        "--model-kwargs", "foo=1",
    )  # fmt: skip
    assert done.code == 2
    assert "Fix --model-kwargs" in done.said


def test_evaluate_report_and_audit_lead_to_each_other(
    program: Program, run_folder: Path, squares: Path, tmp_path: Path
) -> None:
    evaluated = program("evaluate", run_folder, squares, "--split", "train")
    assert words(evaluated)[1] == "report"
    reported = program(*words(evaluated)[1:], "--out", "r.html")
    assert reported.out == "r.html\n"
    assert words(reported)[1] == "audit"
    more = ["--out", "a.html", "--per-class", "8"]
    audited = program("audit", run_folder, squares, "--split", "train", *more)
    assert "a.html" in audited.out.splitlines()
    assert words(audited)[1:] == ["report", str(run_folder), str(squares), "--split", "train"]
    as_json = program("audit", run_folder, squares, "--split", "train", *more, "--json")
    assert json.loads(as_json.out)["classes"]


def test_a_split_too_small_for_an_audit_leads_to_boxes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lookcloser.cli.report import _say_next

    for counts, verb in (([8, 8, 1], "audit"), ([8, 7, 7], "annotate")):
        per_class = {str(index): {"count": count} for index, count in enumerate(counts)}
        found: Any = SimpleNamespace(task="classification", split="test", per_class=per_class)
        _say_next(found, "run", "data", [])
        assert f"lookcloser {verb} run data --split test" in capsys.readouterr().err


def test_evaluate_rates_views(program: Program, run_folder: Path, squares: Path) -> None:
    asked = ["evaluate", run_folder, squares, "--views", "gradcam", "--view-images", "3"]
    done = program(*asked)
    assert words(done)[1] == "report"
    table = done.out[done.out.index("Views of the answers to 3 images") :]
    rows = [[cell.strip() for cell in x.split("│")[1:-1]] for x in table.splitlines() if "│" in x]
    assert [row[0] for row in rows] == ["gradcam", "random map 4 × 4"]
    found = json.loads(program(*asked, "--json").out)
    assert 0 <= found["top1"] <= 1
    assert list(found["views"]) == [row[0] for row in rows]
    for row in rows:
        scores = found["views"][row[0]]
        names = ["deletion", "insertion", "road"]
        assert row[1:4] == [f"{scores[name]:.4f}" for name in names]
        assert scores["images"] == 3
    assert rows[1][4] == ""
    assert found["views"]["random map 4 × 4"]["left"] is None
    assert "views" not in json.loads(program(*asked[:3], "--json").out)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--views", "cam,gradcan"], "gradcan: unknown view. Close: gradcam"),
        (["--views", ","], "--views names no view. There are: cam, gradcam"),
        (["--views", "cam", "--view-images", "0"], "--view-images"),
    ],
)
def test_wrong_views_of_evaluate_are_wrong_usage(
    program: Program, run_folder: Path, squares: Path, more: list[str], said: str
) -> None:
    done = program("evaluate", run_folder, squares, *more)
    assert done.code == 2
    assert said in done.said


@pytest.mark.parametrize("form", ["coco", "voc", "yolo", "csv"])
def test_annotate_proposes_a_closer_look_at_a_box(
    program: Program, run_folder: Path, squares: Path, form: str
) -> None:
    done = program("annotate", run_folder, squares, "--format", form, "--split", "test")
    assert done.code == 0, done.err
    assert all(Path(line).exists() for line in done.out.splitlines())
    assert "\n\n" not in done.err, "no empty line of a bar that is not shown"
    assert words(done)[1:3] == ["explain", str(run_folder)]
    assert program(*words(done)[1:]).code == 0


def test_wrong_choices_of_annotate_are_wrong_usage(
    program: Program, run_folder: Path, squares: Path
) -> None:
    for more in (["--format", "cocoa"], ["--masks", "rl"], ["--split", "tset"]):
        assert program("annotate", run_folder, squares, *more).code == 2


def test_data_check_counts_one_as_one_and_draws_no_bar(
    program: Program, squares: Path, tmp_path: Path
) -> None:
    shutil.copytree(squares / "train" / "red", tmp_path / "one" / "red")
    done = program("data", "check", "one")
    assert "1 class\n" in done.out
    assert done.err == ""


def test_methods_are_in_order_of_tasks_with_their_defaults_first(program: Program) -> None:
    found = json.loads(program("methods", "--json").out)
    tasks = [entry["tasks"][0] for entry in found]
    order = ["classification", "multilabel", "captioning"]
    assert tasks == sorted(tasks, key=order.index)
    firsts = [found[tasks.index(task)]["name"] for task in order]
    assert firsts == ["cam", "cnnrnn", "lstm"]
    rows = [line for line in program("methods").out.splitlines() if line.startswith("│")]
    starts = {len(row.split("│")[3]) - len(row.split("│")[3].lstrip()) for row in rows}
    assert starts == {1}, "descriptions begin at the left"


def test_the_box_rule_holds_for_one_command(
    program: Program, run_folder: Path, image: Path
) -> None:
    boxes = {
        rule: json.loads(program("predict", run_folder, image, "--json", *more).out)[0]["regions"]
        for rule, more in (
            ("model", []),
            ("range", ["--box-rule", "range"]),
            ("max", ["--box-rule", "max"]),
        )
    }
    assert boxes["model"] == boxes["range"]
    assert boxes["model"] != boxes["max"]
    wrong = program("predict", run_folder, image, "--box-rule", "half")
    assert wrong.code == 2
    assert "half: unknown box rule" in wrong.err
