"""Training on two processes: the images, the weights and the files of one."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed import TCPStore

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options
from lookcloser.training.parallel import launch, processes

# Without batch norm, whose statistics are those of each process, two processes are one. In double
# precision: Adam makes steps of what rounding leaves of a gradient that is 0.
OPTIONS = {
    "backbone": "test_vit", "weights": "none", "size": 32, "epochs": 3, "batch_size": 12,
    "lr": 5e-3, "workers": 0, "augment": "shift", "erase": 0.2, "precision": "64-true",
}  # fmt: skip


@pytest.fixture
def warm(monkeypatch, warm_python):
    """The other processes start without seconds of imports."""
    monkeypatch.setattr(sys, "executable", warm_python)


def run(data, folder, *, resume=False, **options):
    options = make_options(**{**OPTIONS, **options})
    return fit(read_data(data), options, folder, quiet=True, resume=resume)


def history_of(folder):
    with (folder / "metrics.csv").open() as file:
        rows = csv.DictReader(file)
        return [{name: float(text) for name, text in row.items() if text} for row in rows]


def test_stopped_and_resumed_on_two_it_ends_as_on_one(squares, tmp_path, warm, monkeypatch):
    data = tmp_path / "odd"
    shutil.copytree(squares, data)
    (data / "boxes.csv").unlink()
    (data / "val/red/0.png").unlink()  # so that one process validates on more images
    run(data, tmp_path / "one")
    real = RunWriter.on_train_batch_end

    def stops(self, trainer, *rest):
        real(self, trainer, *rest)
        if trainer.global_step == 6:  # within the second epoch, and in the first process alone
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "on_train_batch_end", stops)
        assert run(data, tmp_path / "two", devices=2).interrupted
    assert [row["epoch"] for row in history_of(tmp_path / "two")] == [1]
    assert not processes.is_joined(), "the group ends with the training"
    assert not run(data, tmp_path / "two", devices=2, resume=True).interrupted

    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-7)
    rows = zip(history_of(tmp_path / "one"), history_of(tmp_path / "two"), strict=True)
    for alone, together in rows:
        for name in ("epoch", "train_loss", "val_loss", "val_acc", "lr"):
            assert together[name] == pytest.approx(alone[name], rel=1e-5), name


def test_phases_and_a_step_without_images(squares, tmp_path, warm):
    """What is trained changes, and one process has nothing to train on where an image is broken."""
    data = tmp_path / "data"
    for split, count in (("train", 4), ("val", 2)):
        for name in ("red", "blue"):
            (data / split / name).mkdir(parents=True)
            for number in range(count):
                place = f"{split}/{name}/{number}.png"
                shutil.copy(squares / place, data / place)
    (data / "train" / "red" / "1.png").write_bytes(b"not an image")
    options = {"method": "racnn", "train_mode": "joint", "scales": 2, "epochs": 4}
    result = run(data, tmp_path / "run", **options, batch_size=2, devices=2)
    assert [name.rsplit("/", 1)[-1] for name in result.skipped] == ["1.png"]
    history = history_of(tmp_path / "run")
    assert len(history) == 4
    assert "train_scale_2" not in history[0]
    assert {"train_scale_2", "train_ranking"} <= history[-1].keys(), "joint by now"


# What torchrun does for each process, and a look at what each of them trains on and writes.
PROCESS = """
import json, os, sys
from lookcloser.training import fit
from lookcloser.training.callbacks.run_files import RunWriter
import lookcloser

data, options, note = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
seen, saved = [], []
start, save = RunWriter.on_train_batch_start, fit.save_model_file

def note_batch(self, trainer, module, batch, index):
    seen.append((trainer.current_epoch, batch.indices.tolist(), batch.targets.tolist()))
    return start(self, trainer, module, batch, index)

def note_file(path, *rest):
    saved.append(str(path))
    return save(path, *rest)

RunWriter.on_train_batch_start, fit.save_model_file = note_batch, note_file
recognizer = lookcloser.train(data, quiet=True, **options)
with open(note, "w") as file:
    json.dump({"seen": seen, "saved": saved, "folder": str(recognizer.folder)}, file)
"""


def as_torchrun(data, folder, **options):
    """Notes of two processes that train in ``folder``."""
    # As torchrun does it, the starter holds the store: no port is given away to be taken later.
    store = TCPStore(launch.HOST, 0, 2, is_master=True, wait_for_workers=False)
    started = []
    for rank in range(2):
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        own |= {"MASTER_ADDR": launch.HOST, "MASTER_PORT": store.port}
        own |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
        given = [str(data), json.dumps({**OPTIONS, **options}), f"{rank}.json"]
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PROCESS, *given],
                env=os.environ | {name: str(value) for name, value in own.items()},
                cwd=folder,
            )
        )
    try:
        assert [process.wait(timeout=900) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 20},  # 48 images: the last batch is smaller
        {"method": "osme", "part_width": 8, "images_per_class": 3, "batch_size": 12},
    ],
    ids=["single images", "threes"],
)
def test_under_torchrun_all_images_are_seen_once_and_one_process_writes(
    squares, tmp_path, warm, options
):
    notes = as_torchrun(squares, tmp_path, epochs=2, **options)
    for epoch in range(2):
        rows = [[row for row in note["seen"] if row[0] == epoch] for note in notes]
        assert len(rows[0]) == len(rows[1]), "equally many steps"
        assert sorted(i for own in rows for _, indices, _ in own for i in indices) == list(
            range(48)
        )
        for _, indices, targets in rows[0] + rows[1]:
            assert 0 < len(indices) <= options["batch_size"] // 2
            if "method" in options:
                assert set(Counter(targets).values()) <= {2, 3}  # 16 images: 4 × 3 and 2 × 2
    assert set(notes[0]["saved"]) == {
        "runs/squares-" + options.get("method", "cam") + "/model.safetensors"
    }
    assert notes[1]["saved"] == []
    assert notes[0]["folder"] == notes[1]["folder"], "one run"
    assert len(history_of(tmp_path / notes[0]["folder"])) == 2


def test_a_process_that_breaks_off_is_named(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(LookcloserError, match="[Pp]rocess 1 of 2 ended early .exit code 1."):
        run(squares, tmp_path / "run", devices=2)
    assert not (tmp_path / "run").exists()


def test_so_is_one_that_is_killed_in_training_and_nothing_hangs(
    squares, tmp_path, warm, monkeypatch
):
    started, real_start, real_end = [], launch._start, RunWriter.on_train_batch_end

    def start(job):
        started.append(real_start(job))
        return started[-1]

    def kills(self, trainer, *rest):
        real_end(self, trainer, *rest)
        started[0].kill()

    monkeypatch.setattr(launch, "_start", start)
    monkeypatch.setattr(RunWriter, "on_train_batch_end", kills)
    with pytest.raises(LookcloserError, match="[Pp]rocess 1 of 2 ended early .exit code -9."):
        run(squares, tmp_path / "run", devices=2)
    assert not processes.is_joined()


def test_a_process_ends_when_the_first_is_gone(squares, tmp_path):
    options = make_options(**OPTIONS, devices=2)
    store = TCPStore(launch.HOST, 0, 2, is_master=True, wait_for_workers=False)
    job = launch.Job(read_data(squares), options, tmp_path / "run", False, 1, store.port)
    process = launch._start(job)
    try:
        store.wait(
            [launch._ready(1)], timedelta(minutes=10)
        )  # it waits for a first process that never comes
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=300) == 1
    finally:
        process.kill()


def test_nothing_of_the_current_folder_is_imported(squares, tmp_path, monkeypatch):
    """It may be one of data, with a file in it that has the name of a library."""
    (tmp_path / "safetensors.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    job = launch.Job(read_data(squares), make_options(**OPTIONS, devices=2), tmp_path, False, 1, 1)
    real, calls = subprocess.Popen, []

    def note(arguments, **named):
        calls.append((arguments, named["env"]))
        look = "import safetensors; print(safetensors.__file__)"
        return real([*arguments[:-2], "-c", look], **{**named, "stdout": subprocess.PIPE})

    monkeypatch.setattr(launch.subprocess, "Popen", note)
    with launch._start(job) as process:
        found = process.stdout.read().decode()
        process.stdin.close()
    assert "safetensors" in found
    assert str(tmp_path) not in found
    assert "" not in calls[0][1]["PYTHONPATH"].split(os.pathsep)


def test_a_step_must_be_shared_evenly():
    with pytest.raises(LookcloserError, match="batch_size 32.*multiple of the 3"):
        make_options(devices=3)
    with pytest.raises(LookcloserError, match="devices 0"):
        make_options(devices=0)


def test_what_torchrun_says_counts_only_where_it_started_several(monkeypatch):
    for name, value in {"RANK": 3, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert (processes.rank(), processes.local_rank(), processes.local_world_size()) == (0, 0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (processes.rank(), processes.local_rank(), processes.local_world_size()) == (3, 1, 2)


def test_one_process_answers_for_itself():
    def fails():
        raise LookcloserError("no")

    assert processes.any_of(True)
    assert not processes.any_of(False)
    assert processes.mean_of(3.0) == 3.0
    assert processes.all_of("a") == ["a"]
    assert processes.first_decides(lambda: 5) == 5
    with pytest.raises(LookcloserError, match="No"):
        processes.first_decides(fails)
