"""Trainings that go wrong end with a sentence, and what was good stays."""

import shutil

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.models import load_model_file
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options
from lookcloser.training.reading import check_readable
from lookcloser.training.tasks import module as steps


def run(data, options, folder, **arguments):
    return fit(read_data(data), make_options(**options), folder, quiet=True, **arguments)


@pytest.fixture
def data(squares, tmp_path):
    """A copy of the squares that may be harmed."""
    copy = shutil.copytree(squares, tmp_path / "data")
    (copy / "boxes.csv").unlink()
    return copy


@pytest.mark.parametrize("method", ["cam", "racnn"])
def test_a_training_that_diverges_says_so_and_saves_nothing(squares, quick, tmp_path, method):
    options = {**quick, "method": method, "optimizer": "sgd", "lr": 1e12, "warmup": 0.0}
    with pytest.raises(LookcloserError, match=r"diverged.*lower --lr than 1e\+12 or with --clip"):
        run(squares, options, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_what_was_good_before_it_stays(squares, quick, tmp_path, monkeypatch):
    real = steps.TrainingModule.training_step

    def breaks(self, batch, index):
        if self.current_epoch == 1:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        return real(self, batch, index)

    monkeypatch.setattr(steps.TrainingModule, "training_step", breaks)
    with pytest.raises(LookcloserError, match="the loss in epoch 2 is not a finite number"):
        run(squares, quick, tmp_path / "run")
    assert load_model_file(tmp_path / "run" / "model.safetensors")[1].scores
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2


def test_weights_that_are_no_numbers_at_the_end_of_an_epoch_are_not_saved(
    squares, quick, tmp_path, monkeypatch
):
    real = RunWriter.network_state

    def broken(self, module):
        return {
            name: torch.full_like(v.float(), float("nan")) for name, v in real(self, module).items()
        }

    monkeypatch.setattr(RunWriter, "network_state", broken)
    with pytest.raises(LookcloserError, match="a weight after epoch 1 is not a finite number"):
        run(squares, quick, tmp_path / "run")
    assert not (tmp_path / "run" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([(0.5, 1.0), (0.5, float("nan")), (0.5, 0.9)], [True, False, True]),
        ([(float("nan"), 1.0), (0.1, 2.0), (0.2, float("inf"))], [False, True, False]),
    ],
)
def test_no_epoch_is_the_best_by_a_score_that_is_no_number(tmp_path, rows, best):
    writer = RunWriter(tmp_path, lambda *_: None, None, "val_acc")
    found = [writer._is_best({"val_acc": score, "val_loss": loss}) for score, loss in rows]
    assert found == best


def test_data_that_goes_away_ends_the_training_which_resumes(data, quick, tmp_path, monkeypatch):
    options = {**quick, "batch_size": 8}
    run(data, options, tmp_path / "whole")
    real = RunWriter.on_train_batch_start

    def leaves(self, trainer, *rest):
        if (trainer.current_epoch, rest[-1]) == (1, 1) and data.exists():
            data.rename(tmp_path / "away")
        return real(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "on_train_batch_start", leaves)
        with pytest.raises(LookcloserError, match=r"data went away: \d+ of \d+ .*--resume"):
            run(data, {**options, "save_every": 1}, tmp_path / "run")
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2
    (tmp_path / "away").rename(data)
    run(data, options, tmp_path / "run", resume=True)
    first, second = (tmp_path / name / "model.safetensors" for name in ("whole", "run"))
    assert first.read_bytes() == second.read_bytes()


def test_validation_images_that_go_away_end_it_too(data, quick, tmp_path, monkeypatch):
    real = RunWriter.on_train_batch_start

    def leaves(self, trainer, *rest):
        if trainer.current_epoch == 1 and (data / "val").exists():
            (data / "val").rename(tmp_path / "away")
        return real(self, trainer, *rest)

    monkeypatch.setattr(RunWriter, "on_train_batch_start", leaves)
    with pytest.raises(LookcloserError, match="all validation images of this epoch"):
        run(data, quick, tmp_path / "run")
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2


def test_single_images_that_go_away_are_skipped(data, quick, tmp_path, monkeypatch):
    real = RunWriter.on_train_batch_start

    def leaves(self, trainer, *rest):
        (data / "train" / "red" / "3.png").unlink(missing_ok=True)
        return real(self, trainer, *rest)

    monkeypatch.setattr(RunWriter, "on_train_batch_start", leaves)
    result = run(data, quick, tmp_path / "run")
    assert (result.epochs, list(result.skipped)) == (3, ["train/red/3.png"])


def test_validation_images_that_cannot_be_read_are_listed(data, quick, tmp_path):
    for number in range(3):
        (data / "val" / "red" / f"{number}.png").write_bytes(b"x")
    result = run(data, quick, tmp_path / "run")
    assert sorted(result.skipped) == [f"val/red/{number}.png" for number in range(3)]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_a_readable_image_is_refused_before_the_work(data, split):
    check_readable(read_data(data))
    images = list((data / split).rglob("*.png"))
    for image in images[1:]:
        image.write_bytes(b"x")
    check_readable(read_data(data))
    images[0].write_bytes(b"x")
    with pytest.raises(LookcloserError, match=f"one of the {len(images)} images of the {split}"):
        check_readable(read_data(data))
