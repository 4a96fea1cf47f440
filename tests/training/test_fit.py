"""Runs: the same for a seed, resumable to the same result from any moment of death."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data import read_data
from lookcloser.models import read_header
from lookcloser.training.callbacks import checkpoints
from lookcloser.training.callbacks.checkpoints import AtomicCheckpointIO
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit, prepare_model
from lookcloser.training.options import make_options


def run(squares, options, folder, **arguments):
    return fit(read_data(squares), make_options(**options), folder, quiet=True, **arguments)


def history_of(folder):
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_weights(first, second):
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(squares, tmp_path_factory):
    """A run with everything random switched on, as the standard to compare with."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    run(squares, EVERYTHING, folder)
    return folder


EVERYTHING = {
    "backbone": "test_resnet", "weights": "none", "stride": 8, "size": 32, "epochs": 3,
    "batch_size": 16, "lr": 5e-3, "workers": 0, "augment": "shift", "erase": 0.2, "mixup": 0.2,
    "cutmix": 0.5, "ema": 0.9, "drop_rate": 0.2, "accumulate": 2, "clip": 1.0,
}  # fmt: skip


def test_it_learns(squares, quick, tmp_path):
    run(squares, {**quick, "epochs": 8}, tmp_path / "run")
    history = history_of(tmp_path / "run")
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert max(row["val_acc"] for row in history) >= 0.75  # three colors: chance is a third


def test_a_run_holds_what_design_says(undisturbed):
    names = sorted(path.name for path in undisturbed.iterdir())
    assert names == ["last.ckpt", "metrics.csv", "model.safetensors", "tensorboard"]
    history = history_of(undisturbed)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert {"train_loss", "val_loss", "val_acc", "lr", "data_wait"} <= history[0].keys()
    assert all(0 <= row["data_wait"] <= 1 for row in history)
    assert list((undisturbed / "tensorboard").glob("events.*"))


def test_the_best_epoch_is_kept_with_its_scores(undisturbed):
    best = max(history_of(undisturbed), key=lambda row: (row["val_acc"], -row["val_loss"]))
    scores = read_header(undisturbed / "model.safetensors").scores
    assert scores["val_acc"] == pytest.approx(best["val_acc"])
    assert scores["val_loss"] == pytest.approx(best["val_loss"])


def test_same_seed_same_file(squares, undisturbed, tmp_path):
    run(squares, EVERYTHING, tmp_path / "again")
    first, second = (f / "model.safetensors" for f in (undisturbed, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()


def test_another_seed_another_result(squares, undisturbed, tmp_path):
    run(squares, {**EVERYTHING, "seed": 1}, tmp_path / "other")
    assert not same_weights(undisturbed, tmp_path / "other")


def test_workers_do_not_change_the_result(squares, quick, tmp_path):
    options = {**quick, "batch_size": 8, "epochs": 1}  # enough batches that workers are used
    run(squares, options, tmp_path / "alone")
    run(squares, {**options, "workers": 2}, tmp_path / "helped")
    assert same_weights(tmp_path / "alone", tmp_path / "helped")


class Died(BaseException):
    pass


MOMENTS = {
    "in the middle of an epoch": ("on_train_batch_start", 2),
    "before anything of the epoch is written": ("on_train_epoch_end", 1),
}


@pytest.mark.parametrize(("hook", "count"), MOMENTS.values(), ids=MOMENTS)
def test_resuming_gives_the_undisturbed_result(
    squares, undisturbed, tmp_path, monkeypatch, hook, count
):
    real, seen = getattr(RunWriter, hook), []

    def dies(self, trainer, *rest):
        if trainer.current_epoch == 1:
            seen.append(1)
            if len(seen) == count:
                raise Died
        return real(self, trainer, *rest)

    monkeypatch.setattr(RunWriter, hook, dies)
    with pytest.raises(Died):
        run(squares, EVERYTHING, tmp_path / "run")
    monkeypatch.undo()
    run(squares, EVERYTHING, tmp_path / "run", resume=True)
    assert same_weights(undisturbed, tmp_path / "run")
    columns = ["epoch", "train_loss", "val_loss", "val_acc", "lr"]
    first, second = (
        [[row[name] for name in columns] for row in history_of(folder)]
        for folder in (undisturbed, tmp_path / "run")
    )
    assert first == second


@pytest.mark.parametrize("file", ["metrics.csv", "model.safetensors", "last.ckpt"])
def test_dying_while_a_file_is_saved_loses_nothing(
    squares, undisturbed, tmp_path, monkeypatch, file
):
    folder = tmp_path / "run"
    real, seen = Path.replace, []

    def dies(written, target):
        if Path(target) == folder / file:
            seen.append(1)
            if len(seen) == 2:  # the first epoch is safe, the second is being written
                raise Died
        return real(written, target)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(Died):
        run(squares, EVERYTHING, folder)
    monkeypatch.undo()
    run(squares, EVERYTHING, folder, resume=True)
    assert same_weights(undisturbed, folder)


KILLED = """
    import os, signal
    from pathlib import Path
    from lookcloser.data import read_data
    from lookcloser.training.callbacks.run_files import RunWriter
    from lookcloser.training.fit import fit
    from lookcloser.training.options import make_options

    real, moment = RunWriter.{hook}, {moment}

    def slow(self, trainer, *rest):
        if trainer.current_epoch == 1:
            moment(trainer)
        return real(self, trainer, *rest)

    RunWriter.{hook} = slow
    fit(read_data({data!r}), make_options(**{options!r}), Path({folder!r}), quiet=True)
"""
KILL = "lambda trainer: os.kill(os.getpid(), signal.SIGKILL)"
KILL_IN_SAVE = (
    "lambda trainer: setattr(os, 'fsync', lambda handle: os.kill(os.getpid(), signal.SIGKILL))"
)


@pytest.mark.parametrize(
    ("hook", "moment"),
    [("on_train_batch_end", KILL), ("on_train_epoch_end", KILL_IN_SAVE)],
    ids=["in an epoch", "in a save"],
)
def test_kill_9_and_resume_give_the_undisturbed_result(
    squares, undisturbed, tmp_path, warm_python, hook, moment
):
    folder = tmp_path / "run"
    program = textwrap.dedent(KILLED).format(
        hook=hook, moment=moment, data=str(squares), options=EVERYTHING, folder=str(folder)
    )
    died = subprocess.run([warm_python, "-c", program], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    run(squares, EVERYTHING, folder, resume=True)
    assert same_weights(undisturbed, folder)


def test_killed_in_the_first_epoch_starts_again(squares, undisturbed, tmp_path):
    run(squares, EVERYTHING, tmp_path / "run", resume=True)  # nothing there yet to continue from
    assert same_weights(undisturbed, tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(squares, quick, tmp_path):
    run(squares, quick, tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    run(squares, quick, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert len(history_of(tmp_path / "run")) == 3


PRESSES = {
    "while Lightning sets up": ("on_fit_start", 1),
    "as training starts": ("on_train_start", 1),
    "in the first epoch": ("on_train_batch_start", 2),
    "as an epoch ends": ("on_train_epoch_end", 1),
    "after the last batch": ("on_train_end", 1),
    "as all ends": ("on_fit_end", 1),
}


def press_in(monkeypatch, hook, count, presses=1):
    """Press Ctrl-C when `RunWriter` is called at ``hook`` for the ``count``-th time."""
    real, seen = getattr(RunWriter, hook), []

    def pressed(self, *rest):
        seen.append(1)
        if len(seen) == count:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)
        return real(self, *rest)

    monkeypatch.setattr(RunWriter, hook, pressed)


@pytest.mark.parametrize(("hook", "count"), PRESSES.values(), ids=PRESSES)
def test_ctrl_c_leaves_a_usable_run_that_resumes(
    squares, undisturbed, tmp_path, monkeypatch, hook, count
):
    handler = signal.getsignal(signal.SIGINT)
    press_in(monkeypatch, hook, count)
    result = run(squares, EVERYTHING, tmp_path / "run")
    monkeypatch.undo()
    assert result.interrupted
    assert signal.getsignal(signal.SIGINT) is handler
    assert read_header(tmp_path / "run" / "model.safetensors").names == ("blue", "green", "red")
    assert not run(squares, EVERYTHING, tmp_path / "run", resume=True).interrupted
    assert same_weights(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_batch_start"])
def test_ctrl_c_twice_is_a_keyboard_interrupt(squares, quick, tmp_path, monkeypatch, hook):
    """Lightning would leave the program as after a failure, and Ctrl-C switched off."""
    handler = signal.getsignal(signal.SIGINT)
    press_in(monkeypatch, hook, 1, presses=2)
    with pytest.raises(KeyboardInterrupt):
        run(squares, quick, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("lost", [None, io.StringIO()], ids=["none", "without a descriptor"])
def test_ctrl_c_needs_no_stderr(squares, quick, tmp_path, monkeypatch, lost):
    press_in(monkeypatch, "on_train_batch_start", 1)
    monkeypatch.setattr(sys, "stderr", lost)
    assert run(squares, quick, tmp_path / "run").interrupted


def test_being_told_to_end_is_not_a_success(squares, quick, tmp_path, monkeypatch):
    real = RunWriter.on_train_batch_start

    def told(self, *rest):
        signal.raise_signal(signal.SIGTERM)
        return real(self, *rest)

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(RunWriter, "on_train_batch_start", told)
    with pytest.raises(SystemExit) as left:
        run(squares, quick, tmp_path / "run")
    assert left.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_full_disk_while_saving_keeps_the_run(squares, undisturbed, tmp_path, monkeypatch):
    real, seen = torch.save, []

    def full(checkpoint, path):
        seen.append(1)
        if len(seen) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return real(checkpoint, path)

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(LookcloserError, match=r"last\.ckpt.*No space left.*kept"):
        run(squares, EVERYTHING, tmp_path / "run")
    monkeypatch.undo()
    assert weights(tmp_path / "run")
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.endswith(".tmp")]
    run(squares, EVERYTHING, tmp_path / "run", resume=True)
    assert same_weights(undisturbed, tmp_path / "run")


def test_a_broken_image_is_skipped_and_listed(squares, quick, tmp_path):
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "train" / "red" / "3.png").write_bytes(b"not an image")
    result = run(data, quick, tmp_path / "run")
    assert list(result.skipped) == ["train/red/3.png"]
    assert "3.png" in result.skipped["train/red/3.png"]


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, ("touch " + str(tmp_path / "owned"),)

    torch.save({"state_dict": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(LookcloserError, match="not a readable checkpoint") as caught:
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    assert "Weights only load failed" in str(caught.value.__cause__)
    assert not (tmp_path / "owned").exists()


def truncated(path):
    path.write_bytes(path.read_bytes()[:5000])


def foreign(path):
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, path)


def newer(path):
    torch.save({**torch.load(path, weights_only=True), "lookcloser_format": 99}, path)


def of_another_network(path):
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["model.head.weight"] = torch.zeros(2, 2)
    torch.save(checkpoint, path)


def of_text(path):
    path.write_text("hello")


def with_other_bytes(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF  # within a tensor, where torch would not notice
    path.write_bytes(data)


def without(key, path):
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint[key]
    torch.save(checkpoint, path)


def of_another_kind(path):
    torch.save({**torch.load(path, weights_only=True), "loops": "x", "epoch": None}, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (of_text, r"last\.ckpt: not a readable checkpoint"),
        (with_other_bytes, r"last\.ckpt: a damaged checkpoint: its check sums"),
        (partial(without, "state_dict"), r"a damaged checkpoint: without state_dict"),
        (partial(without, "optimizer_states"), "a damaged checkpoint: without optimizer_states"),
        (of_another_kind, "a damaged checkpoint: without loops, epoch, or with another kind"),
        (truncated, r"last\.ckpt: not a readable checkpoint.*model\.safetensors"),
        (foreign, r"last\.ckpt: a checkpoint that lookcloser did not write"),
        (newer, r"last\.ckpt: written by a newer lookcloser, in format 99.*up to 1.*Upgrade"),
        (of_another_network, "checkpoint is of another network than cam on test_resnet"),
    ],
)
def test_a_checkpoint_that_is_of_no_use_is_named(squares, undisturbed, tmp_path, spoil, message):
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    spoil(folder / "last.ckpt")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(LookcloserError, match=message):
        run(squares, {**EVERYTHING, "epochs": 4}, folder, resume=True)
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("balance", ["weights", "sampling"])
@pytest.mark.parametrize("extra", [{}, {"optimizer": "sgd", "freeze_norm": True}])
def test_options_run(squares, quick, tmp_path, balance, extra):
    run(squares, {**quick, **extra, "epochs": 1, "balance": balance}, tmp_path / "run")
    assert weights(tmp_path / "run")


STALLED = {"lr": 1e-12, "epochs": 30, "patience": 2}  # stops after the third epoch


def test_early_stopping_outlives_a_resume(squares, quick, tmp_path, monkeypatch):
    options, folder = {**quick, **STALLED}, tmp_path / "run"
    run(squares, options, folder)
    assert len(history_of(folder)) == 3
    run(squares, options, folder, resume=True)
    assert len(history_of(folder)) == 3, "a run that had stopped stays stopped"

    real = RunWriter.on_train_batch_start

    def dies(self, trainer, *rest):
        if trainer.current_epoch == 1:
            raise Died
        return real(self, trainer, *rest)

    monkeypatch.setattr(RunWriter, "on_train_batch_start", dies)
    with pytest.raises(Died):
        run(squares, options, tmp_path / "killed")
    monkeypatch.undo()
    run(squares, options, tmp_path / "killed", resume=True)
    assert len(history_of(tmp_path / "killed")) == 3, "the count goes on where it was"


FULL_DISK = """
    import resource, signal
    from pathlib import Path
    from lookcloser.core import LookcloserError
    from lookcloser.data import read_data
    from lookcloser.training.fit import fit
    from lookcloser.training.options import make_options

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    data, folder = read_data({data!r}), Path({folder!r})
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    try:
        fit(data, make_options(**{options!r}), folder, resume=True, quiet=True)
    except LookcloserError as error:
        print(error)
"""


@pytest.mark.parametrize("file", ["last.ckpt", "model.safetensors"])
def test_the_system_refusing_to_write_keeps_the_run(squares, warm_python, tmp_path, quick, file):
    folder = tmp_path / "run"
    run(squares, {**quick, "epochs": 1}, folder)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    before = {name: (folder / name).read_bytes() for name in sizes}
    options = {**quick, "epochs": 3, "lr": 5e-3}
    program = textwrap.dedent(FULL_DISK).format(
        data=str(squares), folder=str(folder), options=options, limit=sizes[file] - 1
    )
    done = subprocess.run([warm_python, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "could not be written" in done.stdout
    assert "what was there before is kept" in done.stdout
    assert (folder / file).read_bytes() == before[file]
    assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]
    run(squares, options, folder, resume=True)
    assert len(history_of(folder)) == 3


def test_compiled_training_gives_the_same_weights(squares, quick, tmp_path, monkeypatch):
    real, graphs = torch.compile, []

    def noted(graph, _inputs):  # Without a code generator: everything around the network bears it.
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda model, **how: real(model, backend=noted, **how))
    options = {**quick, "batch_size": 20, "epochs": 2, "ema": 0.9}  # the last one has 8 images
    run(squares, options, tmp_path / "plain")
    run(squares, {**options, "compile": True}, tmp_path / "compiled")
    first, second = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-5)
    # Neither the last batch of an epoch nor validation compiles it again.
    assert len(graphs) == 1


def test_accumulated_gradients_are_those_of_the_large_batch(squares, quick, tmp_path):
    common = {**quick, "epochs": 1, "augment": "none", "freeze_norm": True, "flip": False}
    run(squares, {**common, "batch_size": 16}, tmp_path / "large")
    run(squares, {**common, "batch_size": 8, "accumulate": 2}, tmp_path / "small")
    for name, value in weights(tmp_path / "large").items():
        torch.testing.assert_close(
            weights(tmp_path / "small")[name], value, rtol=1e-3, atol=1e-5, msg=name
        )


def test_without_validation_the_last_weights_are_kept(squares, quick, tmp_path):
    catalog = read_data(squares)
    from dataclasses import replace

    only = replace(catalog, samples=tuple(s for s in catalog.samples if s.split != "val"))
    fit(only, make_options(**quick), tmp_path / "run", quiet=True)
    history = history_of(tmp_path / "run")
    assert "val_acc" not in history[0]
    header = read_header(tmp_path / "run" / "model.safetensors")
    assert header.scores["train_loss"] == pytest.approx(history[-1]["train_loss"])


def test_nothing_is_written_when_the_model_cannot_be_made(squares, quick, tmp_path):
    with pytest.raises(LookcloserError, match="unknown backbone"):
        run(squares, {**quick, "backbone": "resnt18"}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "mixer_s16_224", "size": 32}, "takes no images of 32×32 .*--size 224"),
        ({"size": 16, "batch_size": 1}, "batches of one image of 16×16: .*--freeze-norm"),
        ({"model_kwargs": {"in_chans": 1}}, "in_chans=1: images are given in three channels"),
    ],
)
def test_what_a_network_does_not_take_is_said_before_the_training(squares, quick, options, message):
    with pytest.raises(UsageError, match=message):
        prepare_model(make_options(**{**quick, "stride": None, **options}), read_data(squares))


def test_who_looks_closer_is_given_more_pixels(squares, quick):
    def source_side(**options):
        size = prepare_model(make_options(**{**quick, **options}), read_data(squares))[
            1
        ].preprocessing.size
        assert size[0] == size[1]
        return size[0]

    assert source_side() == quick["size"]
    assert source_side(method="racnn") == 2 * quick["size"]
    assert source_side(method="racnn", source_size=48) == 48
