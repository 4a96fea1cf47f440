"""benchmarks/gpu.py works before there is a GPU to run it on."""

import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lookcloser.data import read_data
from lookcloser.training.fit import prepare_model
from lookcloser.training.tasks.module import TrainingModule

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WEIGHTS = Path(__file__).parents[3] / "shared/data/weights/mobilenetv2_100.safetensors"


@pytest.fixture(scope="module")
def modules():
    """The script and what it is made of, by name; their folder is on the path only here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        names = ("_harness", "_within", "_gpu_work", "_gpu_parts", "gpu")
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in names}


@pytest.fixture
def gpu(modules):
    return modules["gpu"]


@pytest.fixture
def parts(modules):
    return modules["_gpu_parts"]


@pytest.fixture
def within(modules):
    return modules["_within"]


@pytest.fixture
def here(gpu):
    """Runs a part in this process, with all the time there is."""
    return lambda part, work, _seconds: gpu.PARTS[part](work, time.monotonic() + 3600)


def test_every_part_runs_on_the_cpu(gpu, parts, here, squares, tmp_path, capsys, monkeypatch):
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **how: real(model, backend="eager", **how))
    few = dict(list(parts.MODES.items())[-2:-1])
    monkeypatch.setattr(parts, "MODES", few)
    out = tmp_path / "gpu.json"
    gpu.main(["--quick", "--birds", str(squares), "--json", str(out)], here)
    found = json.loads(out.read_text())
    assert [row["evidence"] for row in found["evidence"]] == [
        "bare forward", "with maps", "whole answer",
    ]  # fmt: skip
    assert [row["training"] for row in found["training"]] == list(few)
    assert [row["compiled"] for row in found["compiled"]] == ["bare loop", "train"]
    assert found["compiled"][1]["networks compiled"] == 1
    assert found["osme"][0]["epochs"] == found["racnn"][0]["epochs"] == "1 of 1"
    assert [row["fsdp"] for row in found["fsdp"]] == ["plain", "plain again", "fsdp"]
    assert [row["weights from plain"] for row in found["fsdp"]] == [0.0, 0.0, 0.0]
    assert set(gpu.PARTS) == set(found) - {"machine"}
    for title in gpu.PARTS:
        for row in found[title]:
            numbers = [value for value in row.values() if isinstance(value, float)]
            assert numbers
            assert all(value >= 0 for value in numbers if title != "compiled"), (title, row)
    capsys.readouterr()


def test_a_part_runs_as_a_program_of_its_own(
    gpu, parts, warm_python, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(parts.sys, "executable", warm_python)
    out = tmp_path / "gpu.json"
    gpu.main(["--quick", "--parts", "decoding", "--json", str(out)])
    [row] = json.loads(out.read_text())["decoding"]
    assert row["decoding"] == "one core"
    assert row["images/s"] > 0
    capsys.readouterr()


def test_what_has_no_end_says_so_and_keeps_no_other_from_running(gpu, tmp_path, capsys):
    asked, written = [], []
    out = tmp_path / "gpu.json"
    out.write_text(json.dumps({"fsdp": [{"fsdp": "plain"}], "machine": {"gpu": "H200"}}))

    def run(part, _work, seconds):
        asked.append((part, seconds))
        if part == "evidence":
            raise RuntimeError("out of memory")
        yield {part: "first"}
        yield {part: "first", "images/s": 2.0}
        if part == "compiled":
            yield {part: "second"}
        if part != "batch":
            raise TimeoutError("cut off after 9 s")
        written.append(json.loads(out.read_text()))

    names = ["evidence", "training", "compiled", "batch"]
    with pytest.raises(SystemExit) as end:
        gpu.main(["--quick", "--parts", *names, "--json", str(out)], run)
    assert str(end.value) == (
        "evidence: out of memory; training: cut off after 9 s; compiled: cut off after 9 s"
    )
    found = json.loads(out.read_text())
    measured = {"images/s": 2.0}
    assert found["evidence"] == [{"evidence": "all", "not finished": "out of memory"}]
    assert found["training"] == [
        {"training": "first", **measured},
        {"training": "the rest", "not finished": "cut off after 9 s"},
    ]
    assert found["compiled"] == [
        {"compiled": "first", **measured},
        {"compiled": "second", "not finished": "cut off after 9 s"},
    ]
    assert found["batch"] == [{"batch": "first", **measured}]
    assert written == [found]  # while the part still ran
    assert found["fsdp"] == [{"fsdp": "plain"}]
    assert found["machines"]["fsdp"] == {"gpu": "H200"}
    assert [part for part, _ in asked] == names
    # These parts take no time here: each has its share of all of it, the last one the whole.
    shares = [gpu.SHARES[name] for name in names]
    whole = asked[-1][1]
    expected = [whole * share / sum(shares[number:]) for number, share in enumerate(shares)]
    assert [seconds for _, seconds in asked] == pytest.approx(expected, rel=0.05)
    assert "out of memory" in capsys.readouterr().err


def test_every_part_has_a_share_of_ten_minutes(gpu):
    assert set(gpu.SHARES) == set(gpu.PARTS)
    assert sum(gpu.SHARES.values()) <= 600


HANGS = """
import json, os, signal, sys
pipe = open(sys.argv[2], "w")
if os.fork() == 0:
    signal.pause()
with open(sys.argv[1], "a") as rows:
    print(json.dumps({"part": "one"}), file=rows)
    rows.write('{"part": "tw')
signal.pause()
"""


def test_what_hangs_is_ended_with_what_it_has_started(within, tmp_path, monkeypatch):
    pipe, file = tmp_path / "pipe", tmp_path / "rows"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    rows = within.rows_within([sys.executable, "-c", HANGS, str(file), str(pipe)], file, 1000)
    assert next(rows) == {"part": "one"}
    later = SimpleNamespace(monotonic=lambda: float("inf"))
    monkeypatch.setattr(within, "time", later)
    with pytest.raises(TimeoutError, match=r"^cut off after 1000 s$"):
        list(rows)
    assert select.select([end], [], [], 30)[0]
    assert os.read(end, 1) == b""  # nobody holds the other end any more
    os.close(end)


def test_a_program_that_fails_says_why(within, tmp_path):
    said, code = tmp_path / "said", tmp_path / "code"
    said.write_text('{"part": "one"}\n{"failed": "OSError: no room"}\n')
    rows = within.rows_within([sys.executable, "-c", ""], said, 100)
    assert next(rows) == {"part": "one"}
    with pytest.raises(RuntimeError, match=r"^OSError: no room$"):
        next(rows)
    with pytest.raises(RuntimeError, match=r"^ended with exit code 3$"):
        list(within.rows_within([sys.executable, "-c", "raise SystemExit(3)"], code, 100))


def test_rows_are_written_as_they_come_and_so_is_a_failure(within, tmp_path):
    file = tmp_path / "rows"

    def rows():
        yield {"part": "one"}
        assert file.read_text() == '{"part": "one"}\n'
        raise OSError("no room\nand more")

    with pytest.raises(OSError, match="no room"):
        within.write_rows(rows(), file)
    assert file.read_text().splitlines()[1:] == ['{"failed": "OSError: no room"}']


def test_a_method_that_has_no_time_left_is_scored_as_it_is(
    gpu, parts, squares, tmp_path, monkeypatch
):
    begun = []

    def over(module):
        begun.append(module.epoch)
        if len(begun) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TrainingModule, "begin_epoch", over)
    work = replace(gpu.QUICK, folder=str(tmp_path), birds=str(squares), epochs=50)
    rows = list(parts.looking("osme")(work, time.monotonic() + 3600))
    assert rows[0] == {"osme": "test_resnet"}
    assert rows[1]["epochs"] == "2 of 50"
    assert 0 <= rows[1]["top1"] <= 1


def test_a_training_without_time_does_not_begin(parts):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TimeoutError, match="while nothing was trained"), parts.ended_at(0.0):
        threading.Event().wait(30)
    with pytest.raises(SystemExit, match="1"), parts.ended_at(time.monotonic() + 3600):
        raise SystemExit(1)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"no {WEIGHTS.name} beside the checkout")
@pytest.mark.parametrize("method", ["osme", "racnn"])
def test_at_full_size_the_methods_have_the_backbone_their_weights_are_of(gpu, squares, method):
    options = replace(gpu.FULL, weights=str(WEIGHTS)).looking_options(method)
    assert (options.backbone, options.size, options.batch_size) == ("mobilenetv2_100", 224, 32)
    _, header = prepare_model(options, read_data(squares))
    assert header.provenance["weights"].endswith(WEIGHTS.name)


def test_without_a_gpu_or_the_birds_it_says_so(gpu, monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here; --quick"):
        gpu.main([])
    with pytest.raises(SystemExit, match="osme and racnn need --birds"):
        gpu.main(["--quick", "--parts", "racnn"])
