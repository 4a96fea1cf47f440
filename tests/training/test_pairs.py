"""Training on pairs of images: the same batches for a seed, also after a crash."""

import csv
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options

OPTIONS = {
    "method": "osme", "part_width": 16, "backbone": "test_resnet", "weights": "none", "stride": 8,
    "size": 32, "epochs": 3, "batch_size": 6, "lr": 5e-3, "workers": 0, "augment": "shift",
    "erase": 0.2, "ema": 0.9, "drop_rate": 0.2, "accumulate": 2, "clip": 1.0,
}  # fmt: skip


def run(squares, folder, options=OPTIONS, **arguments):
    return fit(read_data(squares), make_options(**options), folder, quiet=True, **arguments)


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_weights(first, second):
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Died(BaseException):
    pass


@pytest.fixture
def batches(monkeypatch):
    """(epoch, indices, targets) of every batch that is trained on."""
    seen, real = [], RunWriter.on_train_batch_start

    def note(self, trainer, module, batch, index):
        seen.append((trainer.current_epoch, batch.indices.tolist(), batch.targets.tolist()))
        return real(self, trainer, module, batch, index)

    monkeypatch.setattr(RunWriter, "on_train_batch_start", note)
    return seen


def test_every_batch_has_pairs_and_every_epoch_all_images_in_new_batches(
    squares, tmp_path, batches
):
    run(squares, tmp_path / "run")
    epochs = [[row[1:] for row in batches if row[0] == epoch] for epoch in range(3)]
    for found in epochs:
        assert sorted(index for indices, _ in found for index in indices) == list(range(48))
        for _, targets in found:
            assert all(count % 2 == 0 for count in Counter(targets).values())
            assert len(set(targets)) >= 2
    assert epochs[0] != epochs[1] != epochs[2]
    assert {frozenset(indices) for indices, _ in epochs[0]} != {
        frozenset(indices) for indices, _ in epochs[1]
    }, "other pairs, not only another order"


@pytest.mark.parametrize("each", [1, 4])
def test_any_number_of_images_of_a_class(squares, tmp_path, batches, each):
    options = {**OPTIONS, "images_per_class": each, "batch_size": 12, "epochs": 1}
    run(squares, tmp_path / "run", options)
    assert sorted(index for _, indices, _ in batches for index in indices) == list(range(48))
    for _, _, targets in batches:
        assert set(Counter(targets).values()) == {each} if each > 1 else len(set(targets)) > 1
        assert len(set(targets)) >= 2, "of one class there is nothing to tell apart"
    assert {len(targets) for _, _, targets in batches} <= ({3} if each == 1 else {8, 12})


PLAIN = {name: value for name, value in OPTIONS.items() if name != "part_width"} | {"method": "cam"}


@pytest.mark.parametrize("options", [OPTIONS, PLAIN], ids=["pairs", "single images"])
@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_resumed_gives_the_undisturbed_batches_and_weights(
    squares, tmp_path, batches, monkeypatch, workers, options
):
    """A resumed loop starts its workers before it tells the sampler the epoch."""
    options = {**options, "workers": workers}
    run(squares, tmp_path / "undisturbed", options)
    undisturbed = list(batches)
    batches.clear()
    real = RunWriter.on_train_batch_end

    def dies(self, trainer, *rest):
        if trainer.current_epoch == 1 and trainer.global_step >= 6:
            raise Died
        return real(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "on_train_batch_end", dies)
        with pytest.raises(Died):
            run(squares, tmp_path / "run", options)
    batches.clear()
    run(squares, tmp_path / "run", options, resume=True)
    assert batches == [row for row in undisturbed if row[0] >= 1], "the broken epoch is repeated"
    assert same_weights(tmp_path / "undisturbed", tmp_path / "run")


def test_another_seed_has_other_batches(squares, tmp_path, batches):
    options = {**OPTIONS, "epochs": 1}
    for seed in (0, 1):
        run(squares, tmp_path / str(seed), {**options, "seed": seed})
    half = len(batches) // 2
    assert batches[:half] != batches[half:]


def test_it_learns_in_bfloat16_and_logs_the_terms(squares, tmp_path):
    options = {**OPTIONS, "precision": "bf16-mixed", "epochs": 8, "batch_size": 16, "erase": 0.0}
    options |= {"accumulate": 1, "ema": 0.0}
    run(squares, tmp_path / "run", options)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    terms = ("train_ce", "train_sasc", "train_sadc", "train_dasc")
    for row in rows:
        assert row["train_loss"] == pytest.approx(sum(row[name] for name in terms), rel=1e-3)
    assert rows[-1]["train_ce"] < rows[0]["train_ce"]
    assert max(row["val_acc"] for row in rows) >= 0.75  # three colors: chance is a third


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_mixed_targets_are_refused(squares, tmp_path, mixing):
    with pytest.raises(LookcloserError, match="--mixup and --cutmix: not with --method osme"):
        run(squares, tmp_path / "run", {**OPTIONS, mixing: 0.2})


def test_numbers_of_images_that_are_none_are_refused():
    with pytest.raises(LookcloserError, match="images_per_class 0: not possible"):
        make_options(method="osme", images_per_class=0)


def test_an_option_of_another_method_is_refused(squares, tmp_path):
    with pytest.raises(LookcloserError, match="parts 3: not an option of the method cam"):
        run(squares, tmp_path / "run", {"method": "cam", "backbone": "test_resnet", "parts": 3})
