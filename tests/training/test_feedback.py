"""Training the feedback network: it learns, and what is random in it survives a crash."""

import csv

import pytest
import torch
from safetensors.torch import load_file

from lookcloser.data import read_data
from lookcloser.models import load_model_file
from lookcloser.recognizer import load
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options


def run(squares, quick, folder, *, resume=False, **options):
    chosen = make_options(**{**quick, "method": "feedback", **options})
    fit(read_data(squares), chosen, folder, quiet=True, resume=resume)


def best_of(folder):
    with (folder / "metrics.csv").open() as file:
        return max(float(row["val_acc"]) for row in csv.DictReader(file))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_learns(squares, quick, tmp_path, precision):
    run(squares, quick, tmp_path / "run", epochs=8, precision=precision)
    assert best_of(tmp_path / "run") >= 0.75  # three colors: chance is a third


def test_the_small_network_learns_and_answers_with_what_it_fed_back(squares, quick, tmp_path):
    small = {"backbone": "two-block", "stride": None, "size": 28, "epochs": 8, "lr": 0.02}
    run(squares, quick, tmp_path / "run", **small)
    assert best_of(tmp_path / "run") >= 0.75
    model, header = load_model_file(tmp_path / "run" / "model.safetensors")
    assert header.arguments["backbone"] == "two-block"
    assert not model.training
    answer = load(tmp_path / "run").predict(squares / "test" / "red" / "0.png")[0]
    (part,) = [region for region in answer.regions if region.kind == "part"]
    assert part.heatmap.shape == (13, 13)
    assert part.heatmap.max() == 1


class Died(BaseException):
    pass


def test_noise_and_shuffling_survive_a_crash(squares, quick, tmp_path, monkeypatch):
    options = {"noise": 0.3, "feedback_control": "shuffled", "drop_rate": 0.2}
    run(squares, quick, tmp_path / "undisturbed", **options)
    real = RunWriter.on_train_batch_end

    def dies(self, trainer, *rest):
        if trainer.current_epoch == 1:
            raise Died
        return real(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "on_train_batch_end", dies)
        with pytest.raises(Died):
            run(squares, quick, tmp_path / "run", **options)
    run(squares, quick, tmp_path / "run", resume=True, **options)
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("undisturbed", "run")
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
