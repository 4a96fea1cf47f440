"""train: what is refused, and what is left behind."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest

Program = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--size", 9], "--size"),
        (["--no-channels-last"], "--channels-last"),
        (["--model-kwargs", "a=1"], "--model-kwargs"),
        (["--out", "x", "--lr", "0.1"], "--out, --lr"),
        (["--config", "empty.yaml"], "--config"),
        (["--config", "c.yaml"], "--size, --config"),
        (["data"], "DATA"),
    ],
)
def test_what_is_given_beside_resume_is_refused_by_name(
    program: Program, run_folder: Path, tmp_path: Path, words: list[object], named: str
) -> None:
    (tmp_path / "c.yaml").write_text("size: 9")
    (tmp_path / "empty.yaml").write_text("")
    done = program("train", "--resume", run_folder, *words)
    assert done.code == 2
    assert "keeps its data, folder and options." in done.said
    assert f"Leave out {named}." in done.said


def test_after_resume_the_next_command_knows_the_data(
    program: Program, run_folder: Path, squares: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run_folder, tmp_path / "a copy")
    done = program("train", "--resume", copy)
    assert done.code == 0, done.err
    assert shlex.split(done.next) == ["lookcloser", "report", str(copy), str(squares)]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("epochs: many", 2, "c.yaml: epochs many: not possible. Allowed: a whole number."),
        ("options: {lr: [1]}", 2, "c.yaml: lr [1]: not possible. Allowed: a finite number."),
        ("epoch: 3", 2, "c.yaml: epoch: unknown option of train. Close: epochs."),
        ("augment: foo", 2, "c.yaml: foo: unknown augment."),
        ("1: 2", 2, "c.yaml: 1: unknown option of train"),
        ("- epochs", 2, "c.yaml: not lines of options. Allowed: lines like `epochs: 30`"),
        ("a: [", 1, "c.yaml: not a readable YAML file"),
    ],
)
def test_a_wrong_config_is_named_with_its_key(
    program: Program, squares: Path, tmp_path: Path, text: str, code: int, message: str
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    done = program("train", squares, "--config", "c.yaml")
    assert (done.code, "Traceback" in done.err) == (code, False)
    assert message in done.said


def test_a_missing_config_is_no_such_file(program: Program, tmp_path: Path) -> None:
    (tmp_path / "birds.yaml").write_text("epochs: 3")
    done = program("train", "data", "--config", "brids.yaml")
    assert done.code == 1
    assert "brids.yaml: no such file. Did you mean 'birds.yaml'?" in done.said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "--epochs 0: not possible. Allowed: a number above 0."),
        (["--clip", "nan"], "--clip nan: not possible. Allowed: a finite number."),
        (["--mixup", "-1"], "--mixup -1.0: not possible. Allowed: 0 or more."),
        (["--warmup", "-3"], "--warmup -3.0"),
        (["--patience", "-1"], "--patience -1"),
        (["--augment", "foo"], "foo: unknown --augment"),
        (["--model-kwargs", "foo"], "--model-kwargs foo: not a pair. Allowed: key=value."),
        (["--model-kwargs", "foo=1", "--weights", "none"], "not arguments of the backbone"),
        (["--method", "racnnn"], "racnnn: unknown method. Close: racnn"),
        (["--method", "lstm"], "lstm: not a method for classification. Allowed: cam, racnn, osme"),
        (["--method", "racnn", "--scales", "1"], "--scales 1"),
        (["--parts", "2"], "--parts 2: not an option of the method cam. It belongs to osme."),
        (["--beam", "2"], "It belongs to cnnrnn, rnn, lstm, gru."),
        (["--val-share", "2"], "--val-share 2.0"),
    ],
)
def test_wrong_usage_exits_with_two_and_leaves_no_folder(
    program: Program, squares: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    done = program("train", squares, *words)
    assert done.code == 2, done.err
    assert message in done.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epocs", "3"], "No such option: --epocs"),
        (["--augment", "foo"], "foo: unknown --augment. There are: crop, none, shift, trivial."),
        (["--method", "racnnn"], "racnnn: unknown method. Close: racnn"),
        (["--method", "racnn", "--scales", "1"], "--scales 1: not possible. Allowed: 2 or more."),
        (["--method", "racnn", "--parts", "2"], "--parts 2: not an option of the method racnn."),
        (["--method", "lstm", "--top-p", "0.9"], "--top-p 0.9: not without a temperature."),
        (["--rank-form", "logs"], "logs: unknown --rank-form. Close: log."),
        (["--batch-size", "9", "--devices", "2"], "--batch-size 9: not possible."),
    ],
)
def test_a_mistyped_option_is_named_before_torch_is_loaded(words: list[str], message: str) -> None:
    program = (
        "import sys\n"
        "from lookcloser.cli import main\n"
        f"sys.argv = ['lookcloser', 'train', 'data', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit as left: assert left.code == 2, left.code\n"
        "heavy = {'torch', 'numpy', 'timm', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["train", "--help"], ["methods"], ["methods", "--json"]])
def test_what_there_is_to_choose_is_shown_without_torch(words: list[str]) -> None:
    program = (
        "import sys\n"
        "from lookcloser.cli import main\n"
        f"sys.argv = ['lookcloser', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "heavy = {'torch', 'numpy', 'timm', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_help_groups_options_by_method(program: Program) -> None:
    shown = program("train", "--help").out
    general, *panels = shown.split("Only --method ")
    found = {text.split(" ─")[0]: text for text in panels}
    assert {"racnn", "osme", "sigmoid", "cnnrnn", "rnn, lstm, gru", "feedback"} <= found.keys()
    assert "--epochs" in general
    assert "--scales" not in general
    assert "--scales" in found["racnn"]
    assert "Default: 64 of cnnrnn; 256 of rnn, lstm, gru." in found["cnnrnn, rnn, lstm, gru"]


def test_methods_as_json_have_their_options(program: Program) -> None:
    methods = {method["name"]: method for method in json.loads(program("methods", "--json").out)}
    assert methods["cam"]["default_for"] == ["classification"]
    assert methods["cam"]["options"] == []
    (margin,) = (o for o in methods["racnn"]["options"] if o["name"] == "rank_margin")
    assert margin == {
        "name": "rank_margin",
        "default": 0.05,
        "allowed": "a finite number",
        "help": "How much surer each scale should be than the one before.",
    }


def test_no_data_is_wrong_usage(program: Program) -> None:
    done = program("train")
    assert (done.code, done.said) == (
        2,
        "Error: No data given. Name a folder or table of images.",
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "Error: Not enough memory. Try a smaller --batch-size or --size, or fewer"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "Error: Not"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
            "Error: A loading",
        ),
        (OSError(24, "Too many open files", "a.jpg"), "Error: a.jpg: Too many open files."),
        (OSError("a\nb"), "Error: a b."),
    ],
)
def test_what_the_system_refuses_is_one_line(
    program: Program,
    squares: Path,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    line: str,
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(pl.Trainer, "fit", fail)
    done = program("train", squares, *options)
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(line)
    assert list(tmp_path.iterdir()) == [], "what failed leaves nothing"


def test_the_traceback_is_shown_with_debug(
    squares: Path, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookcloser.cli import main

    def fail(*_arguments: object, **_named: object) -> None:
        raise MemoryError("all of it")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pl.Trainer, "fit", fail)
    monkeypatch.setattr("sys.argv", ["lookcloser", "--debug", "train", str(squares), *options])
    with pytest.raises(MemoryError, match="all of it"):
        main()


def test_the_help_of_three_numbers_fits_in_80_columns(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = program("train", "--help").out
    (line,) = (line for line in shown.splitlines() if "--mean" in line)
    assert "R G B" in line


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What `run_training` was asked for, and what it gives back; it takes no time here."""
    trained: dict[str, Any] = {
        "scores": {"val_acc": 0.75, "val_loss": -0.00001},
        "interrupted": False,
        "splits": ("train", "val", "test"),
        "skipped": {},
    }

    def run_training(data: Any, *, out: Any, resume: Any, **options: Any) -> Any:
        trained.update(data=data, out=out, resume=resume, options=options)
        header = SimpleNamespace(scores=trained["scores"])
        given = {name: trained[name] for name in ("interrupted", "splits", "skipped")}
        recognizer = SimpleNamespace(header=header)
        return SimpleNamespace(folder=Path("runs/my birds"), recognizer=recognizer, **given)

    monkeypatch.setattr("lookcloser.recognizer.run_training", run_training)
    return trained


def test_the_end_names_the_run_its_scores_and_the_report(
    program: Program, squares: Path, trained: dict[str, Any]
) -> None:
    done = program("train", squares)
    assert (done.code, done.out) == (0, "")
    assert "runs/my birds: best model (val_acc 0.7500, val_loss 0.0000)\n" in done.err
    assert done.next == f"lookcloser report 'runs/my birds' {squares}"
    trained["scores"] = {}
    assert "runs/my birds: model as trained last\n" in program("train", squares).err


@pytest.mark.parametrize(
    ("splits", "more"),
    [
        (("train", "val", "test"), ""),
        (("train", "val"), " --split val"),
        (("train",), " --split train"),
        (("test", "train"), ""),
    ],
)
def test_the_report_is_of_what_was_not_trained_on(
    program: Program, squares: Path, trained: dict[str, Any], splits: tuple[str, ...], more: str
) -> None:
    trained["splits"] = splits
    assert program("train", squares).next.endswith(f"{squares}{more}")


def test_skipped_images_are_named_and_end_with_three(
    program: Program, squares: Path, trained: dict[str, Any]
) -> None:
    trained["skipped"] = {"red/a\x1b[1m.png": "no image"}
    done = program("train", squares)
    assert done.code == 3
    assert "skipped: red/a\\x1b[1m.png: no image\n" in done.err
    assert done.next.startswith("lookcloser report ")


def test_interrupted_it_ends_with_130_and_the_way_to_go_on(
    program: Program, squares: Path, trained: dict[str, Any]
) -> None:
    trained |= {"interrupted": True, "skipped": {"a.png": "no image"}}
    done = program("train", squares)
    assert done.code == 130
    assert done.next == "lookcloser train --resume 'runs/my birds'"


def test_of_several_processes_one_speaks(
    program: Program, squares: Path, trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookcloser.training.parallel.processes.rank", lambda: 1)
    trained |= {"interrupted": True, "skipped": {"a.png": "no image"}}
    assert program("train", squares) == type(program("--version"))(0, "", "")


def test_what_is_typed_wins_over_the_config_and_that_over_the_defaults(
    program: Program, squares: Path, trained: dict[str, Any], tmp_path: Path
) -> None:
    lines = ["epochs: 9", "lr: 1e-3", "flip: false", "mean: [0.1, 0.2, 0.3]", "columns: image=a"]
    lines += ["model_kwargs: {drop: 1.0e-5, act: null, tag: '007', size: [7, 7], pad: same}"]
    (tmp_path / "c.yaml").write_text("\n".join(lines))
    done = program("train", squares, "--config", "c.yaml", "--epochs", "2", "--out", "o")
    assert done.code == 0, done.err
    options = trained["options"]
    assert (options["epochs"], options["lr"], options["flip"]) == (2, 0.001, False)
    assert options["mean"] == (0.1, 0.2, 0.3)
    assert options["model_kwargs"] == {
        **{"drop": 1e-5, "act": None, "tag": "007", "size": [7, 7], "pad": "same"}
    }
    assert (trained["data"], trained["out"]) == (str(squares), Path("o"))
    assert options["seed"] == 0
    typed = program("train", squares, "--config", "c.yaml", "--model-kwargs", "pad=valid")
    assert typed.code == 0
    assert trained["options"]["model_kwargs"] == {"pad": "valid"}


def test_a_run_is_a_config_too(
    program: Program, squares: Path, trained: dict[str, Any], run_folder: Path
) -> None:
    done = program("train", squares, "--config", run_folder / "config.yaml")
    assert done.code == 0, done.err
    wanted = {"backbone": "test_resnet", "stride": 8, "epochs": 2, "lr": 5e-3, "augment": "shift"}
    assert {name: trained["options"][name] for name in wanted} == wanted


def test_resuming_asks_for_nothing_but_what_was_typed(
    program: Program, trained: dict[str, Any], run_folder: Path, squares: Path
) -> None:
    done = program("train", "--resume", run_folder, "--epochs", "5")
    assert done.code == 0, done.err
    assert (trained["data"], trained["out"]) == (None, None)
    assert (trained["resume"], trained["options"]) == (run_folder, {"epochs": 5})
    program("train", "--resume", run_folder)
    assert trained["options"] == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model-kwargs", "a=["], "--model-kwargs a=[: the value cannot be read."),
        (["--mean", "1", "2"], "--mean"),
        (["--mean", "1", "2", "x"], "'--mean': 'x'"),
        (["--flip", "--no-flipp"], "--no-flip"),
        (["--workers", "-1"], "--workers -1: not possible. Allowed: 0 or more."),
        (["--config"], "--config"),
        (["--seed", "-1"], "--seed -1: not possible."),
        (["more", "data"], "more"),
    ],
)
def test_words_that_cannot_be_read_start_no_training(
    program: Program, squares: Path, trained: dict[str, Any], words: list[str], said: str
) -> None:
    done = program("train", squares, *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.said
    assert "options" not in trained


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"epochs: [", b"a: b: c"])
def test_a_config_that_is_no_yaml_is_an_error_of_the_file(
    program: Program, squares: Path, tmp_path: Path, raw: bytes
) -> None:
    (tmp_path / "c.yaml").write_bytes(raw)
    done = program("train", squares, "--config", "c.yaml")
    assert done.code == 1
    assert "c.yaml: not a readable YAML file (" in done.said
    assert "c.yaml: not a readable" not in program("train", squares, "--config", ".").said
