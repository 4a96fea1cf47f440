"""The rows of metrics.csv, the best epoch, and where a resumed run goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog
from lookcloser.data.dataset import Batch, Batches, EpochSampler
from lookcloser.models import CAM
from lookcloser.training.callbacks import run_files
from lookcloser.training.callbacks.run_files import ResumedOrder, RunWriter, write_history
from lookcloser.training.options import make_options
from lookcloser.training.parallel import processes
from lookcloser.training.tasks.classification import ClassificationModule

NOBODY: Any = None


def test_columns_are_those_of_all_rows_in_the_order_they_came(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_box": 0.1, "train_loss": 0.25}]
    write_history(tmp_path / "m.csv", rows)
    text = (tmp_path / "m.csv").read_text(encoding="utf-8")
    assert text.splitlines() == ["epoch,train_loss,train_box", "1,0.5,", "2,0.25,0.1"]
    write_history(tmp_path / "m.csv", rows[:1])
    assert (tmp_path / "m.csv").read_text().splitlines() == ["epoch,train_loss", "1,0.5"]


def writer_in(folder: Path, saved: list[Any] | None = None, score: str = "val_acc") -> RunWriter:
    def save(state: Mapping[str, Tensor], scores: Mapping[str, float]) -> None:
        if saved is not None:
            saved.append(dict(scores))

    return RunWriter(folder, save, None, score)


class Clock:
    """Of a loop whose seconds are told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Loop:
    """A training of one network, as far as a `RunWriter` sees it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.saved: list[Any] = []
        self.writer, self.clock = writer_in(folder, self.saved), Clock()
        monkeypatch.setattr(run_files.time, "perf_counter", self.clock)
        catalog = Catalog(Path(), "", "classification", ("a", "b"), ())
        self.module = ClassificationModule(
            CAM(2, CAM.Options("test_resnet", stride=8)), make_options(weights="none"), catalog,
            total_steps=4, warmup_steps=0,
        )  # fmt: skip
        optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}, {"lr": 0.3}, {"lr": 0.2}])
        self.kept: list[Path] = []
        self.trainer: Any = SimpleNamespace(
            sanity_checking=False, num_training_batches=2, current_epoch=0, optimizers=[optimizer],
            callback_metrics={}, logger=None, global_step=2, save_checkpoint=self.kept.append,
        )  # fmt: skip

    def epoch(self, loss: float = 0.5, **scores: float) -> dict[str, float]:
        """Two batches of three images: read in 1 s each, trained on in 2; validated in 10."""
        self.writer.on_train_epoch_start(self.trainer, self.module)
        for index in range(2):
            self.clock.now += 1
            batch = Batch(torch.empty(0), torch.zeros(3), torch.zeros(3), [], [])
            self.writer.on_train_batch_start(self.trainer, self.module, batch, index)
            self.clock.now += 2
            self.module.means.add({"loss": torch.tensor(loss)}, 3)
            self.writer.on_train_batch_end(self.trainer, self.module, None, batch, index)
        if scores:
            self.writer.on_validation_start(self.trainer, self.module)
            self.clock.now += 10
        self.trainer.callback_metrics = {
            "train_x": torch.tensor(9.0), **{name: torch.tensor(v) for name, v in scores.items()}
        }  # fmt: skip
        self.writer.on_train_epoch_end(self.trainer, self.module)
        self.module.means.clear()
        self.trainer.current_epoch += 1
        return self.writer.history[-1]


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(tmp_path, monkeypatch)


def test_a_row_has_means_scores_and_the_speed_of_training_alone(loop: Loop, tmp_path: Path) -> None:
    row = loop.epoch(val_acc=0.5, val_loss=0.25)
    assert row == {
        "epoch": 1, "train_loss": 0.5, "val_acc": 0.5, "val_loss": 0.25, "lr": 0.3,
        "seconds": 16, "images_per_second": 1.0, "data_wait": round(1 / 3, 4),
    }  # fmt: skip
    loop.epoch(val_acc=0.25, val_loss=0.25)
    with (tmp_path / "metrics.csv").open() as file:
        assert [float(line["val_acc"]) for line in csv.DictReader(file)] == [0.5, 0.25]
    assert loop.kept == [tmp_path / "last.ckpt"] * 2


def test_only_a_better_epoch_is_saved_and_without_val_every_one(loop: Loop) -> None:
    for accuracy, loss in ((0.5, 1.0), (0.5, 1.0), (0.5, 0.5), (0.25, 0.1)):
        loop.epoch(val_acc=accuracy, val_loss=loss)
    assert [scores["val_loss"] for scores in loop.saved] == [1.0, 0.5]
    loop.epoch()
    loop.epoch()
    assert [list(scores) for scores in loop.saved[2:]] == [["train_loss"]] * 2


def test_the_files_come_in_the_order_that_a_crash_allows(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(run_files, "write_history", lambda *_: order.append("metrics.csv"))
    loop.writer.save = lambda *_: order.append("model.safetensors")
    loop.trainer.save_checkpoint = lambda path: order.append(path.name)
    loop.epoch()
    assert order == ["metrics.csv", "model.safetensors", "last.ckpt"]


def test_another_process_writes_no_file_but_its_part_of_the_checkpoint(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "rank", lambda: 1)
    loop.epoch(val_acc=0.5, val_loss=1.0)
    assert list(tmp_path.iterdir()) == []
    assert loop.saved == []
    assert loop.kept == [tmp_path / "last.ckpt"]
    assert loop.writer.best == (0.5, -1.0), "as in the first, or they would not agree"


def test_weights_that_are_no_numbers_leave_everything_as_it_was(loop: Loop, tmp_path: Path) -> None:
    loop.epoch()
    before = (tmp_path / "metrics.csv").read_bytes()
    with torch.no_grad():
        next(loop.module.model.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(LookcloserError, match="a weight after epoch 2 is not a finite number"):
        loop.epoch()
    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert (len(loop.writer.history), len(loop.saved), len(loop.kept)) == (1, 1, 1)


def test_a_resumed_writer_knows_the_best_so_far(tmp_path: Path) -> None:
    first, second = writer_in(tmp_path), writer_in(tmp_path)
    assert first.state_dict() == {"history": [], "best": None}
    second.load_state_dict(first.state_dict())
    assert second.best is None
    first._is_best({"val_acc": 0.5, "val_loss": 1.0})
    state = {**first.state_dict(), "best": list(first.best or ())}  # as some formats have it
    second.load_state_dict(state)
    assert not second._is_best({"val_acc": 0.5, "val_loss": 1.0})
    assert second._is_best({"val_acc": 0.5, "val_loss": 0.9})


class TestResumedOrder:
    def order(self) -> ResumedOrder:
        return ResumedOrder(DataLoader([0] * 9, batch_sampler=self.batches()))  # type: ignore[arg-type]  # keys

    def batches(self) -> Batches:
        from torch.utils.data import BatchSampler

        sampler: Any = EpochSampler(9, seed=3)
        return Batches(BatchSampler(sampler, 3, drop_last=False))

    @pytest.mark.parametrize(
        ("checkpoint", "place"),
        [
            ({"epoch": 1, "next": [1, 2]}, (1, 2)),
            ({"epoch": 0, "next": [1, 0]}, (1, 0)),
            ({"epoch": 1}, (2, 0)),  # of an older version, always after an epoch
        ],
    )
    def test_the_loader_goes_on_there(self, checkpoint: Any, place: tuple[int, int]) -> None:
        order, undisturbed = self.order(), self.batches()
        order.on_load_checkpoint(NOBODY, NOBODY, checkpoint)
        assert order.next == place
        undisturbed.begin_at(place[0], 0)
        sampler: Any = order.loader.batch_sampler
        assert list(sampler) == list(undisturbed)[place[1] :]
        sampler.sampler.set_epoch(place[0] + 1)
        assert len(list(sampler)) == 3, "the epoch after it is a whole one"

    def test_a_checkpoint_remembers_the_place_that_comes_next(self) -> None:
        order, found = self.order(), []
        for epoch in range(2):
            trainer: Any = SimpleNamespace(current_epoch=epoch)
            for index in range(2):
                order.on_train_batch_end(trainer, NOBODY, NOBODY, NOBODY, index)
                found.append(self.saved(order))
            order.on_train_epoch_end(trainer, NOBODY)
            found.append(self.saved(order))
        assert found == [[0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0]]

    def saved(self, order: ResumedOrder) -> list[int]:
        checkpoint: dict[str, Any] = {}
        order.on_save_checkpoint(NOBODY, NOBODY, checkpoint)
        place: list[int] = checkpoint["next"]
        return place
