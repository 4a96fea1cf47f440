"""Checkpoints within an epoch: resumed from any of them, a run ends in the same bytes."""

import csv
import os
import signal
import sys

import pytest
import torch
from safetensors.torch import load_file

from lookcloser.data import read_data
from lookcloser.training.callbacks.checkpoints import AtomicCheckpointIO
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options
from lookcloser.training.parallel import processes, strategies

SMALL = {
    "backbone": "test_resnet", "weights": "none", "stride": 8, "size": 32, "epochs": 2,
    "batch_size": 8, "lr": 5e-3, "workers": 0, "augment": "shift",
}  # fmt: skip
SETTINGS = {
    "everything": {"ema": 0.9, "mixup": 0.2, "drop_rate": 0.2, "accumulate": 2, "clip": 1.0},
    "pairs": {"method": "osme", "part_width": 8, "batch_size": 4},
    "phases": {"method": "racnn", "scales": 2, "train_mode": "alternate"},
    "workers": {"workers": 1},
    "without validation": {"val_share": 0.0},
}


class Died(BaseException):
    pass


def run(data, folder, *, resume=False, **options):
    catalog = read_data(data)
    return fit(catalog, make_options(**SMALL | options), folder, quiet=True, resume=resume)


def history_of(folder):
    with (folder / "metrics.csv").open() as file:
        timing = {"seconds", "images_per_second", "data_wait"}
        return [
            {name: value for name, value in row.items() if name not in timing}
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_killed_in_an_epoch_it_ends_in_the_same_bytes(squares, tmp_path, monkeypatch, options):
    run(squares, tmp_path / "whole", **options)
    real, saved, seen = AtomicCheckpointIO.save_checkpoint, [], []

    def notes(self, checkpoint, path, storage_options=None):
        real(self, checkpoint, path, storage_options)
        saved.append(checkpoint["next"])

    def dies(self, trainer, _module, batch, index):
        seen.append((trainer.current_epoch, index, batch.indices.tolist()))
        if len(saved) == 4:  # of the second epoch, inside
            raise Died

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", notes)
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "on_train_batch_start", dies)
        with pytest.raises(Died):
            run(squares, tmp_path / "broken", save_every=1, **options)
    assert saved[-1][1] > 0, "the last checkpoint is of the middle of an epoch"
    before = len(history_of(tmp_path / "broken")) if saved[-1][0] else 0
    assert before == saved[-1][0]
    first = []
    with monkeypatch.context() as patch:
        patch.setattr(
            RunWriter,
            "on_train_batch_start",
            lambda _self, trainer, _module, _batch, index: first.append(
                [trainer.current_epoch, index]
            ),
        )
        run(squares, tmp_path / "broken", resume=True, **options)
    assert first[0] == saved[3], "no batch is repeated, none left out"
    whole, broken = (tmp_path / name for name in ("whole", "broken"))
    assert history_of(whole) == history_of(broken)
    name = "model.safetensors"
    assert (whole / name).read_bytes() == (broken / name).read_bytes()


def test_ctrl_c_loses_no_batch(squares, tmp_path, monkeypatch):
    run(squares, tmp_path / "whole")
    real, batches = RunWriter.on_train_batch_start, []

    def presses(self, trainer, *rest):
        batches.append(rest[-1])
        if len(batches) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self, trainer, *rest)

    monkeypatch.setattr(RunWriter, "on_train_batch_start", presses)
    assert run(squares, tmp_path / "broken").interrupted
    assert not run(squares, tmp_path / "broken", resume=True).interrupted
    assert batches == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]
    whole, broken = (
        load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


VIT = {
    "backbone": "test_vit",
    "stride": None,
    "batch_size": 12,
    "precision": "64-true",
    "devices": 2,
}


def test_two_processes_told_to_end_stop_together_within_an_epoch_and_go_on(
    squares, tmp_path, warm_python, monkeypatch
):
    monkeypatch.setattr(sys, "executable", warm_python)
    run(squares, tmp_path / "whole", **{**VIT, "devices": 1})
    real = RunWriter.on_train_batch_end

    def told(self, trainer, *rest):
        real(self, trainer, *rest)
        if trainer.global_step == 6:  # the second batch of the second epoch, in the first process
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "on_train_batch_end", told)
        with pytest.raises(SystemExit) as left:
            run(squares, tmp_path / "two", **VIT)
        assert left.value.code == 143
    assert len(history_of(tmp_path / "two")) == 1
    run(squares, tmp_path / "two", resume=True, **VIT)
    one, two = history_of(tmp_path / "whole"), history_of(tmp_path / "two")
    for alone, together in zip(one, two, strict=True):
        for name in ("train_loss", "val_loss"):
            assert float(together[name]) == pytest.approx(float(alone[name]), rel=1e-5), name


def test_weights_without_a_part_in_the_loss_do_not_stop_several_processes(monkeypatch):
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr(processes, "is_joined", lambda: True)
    found = strategies.trainer_arguments(make_options(**SMALL))
    assert found["strategy"]._ddp_kwargs["find_unused_parameters"]
