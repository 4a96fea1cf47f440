from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.core.types import Output
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.data.dataset import Batch
from lookcloser.data.scenes import write_scenes
from lookcloser.losses import ordered_paths
from lookcloser.models import CNNRNN, Sigmoid, load_model_file
from lookcloser.recognizer import read_config, run_training
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options
from lookcloser.training.tasks.multilabel import MultilabelModule

NAMES = ("a", "b", "c", "d")


def module(kind=Sigmoid, **options):
    torch.manual_seed(0)
    samples = (Sample("0", Path("0"), ("a", "c"), split="train"),)
    catalog = Catalog(Path(), "", "multilabel", NAMES, samples)
    made = MultilabelModule(
        kind(4, kind.Options("test_resnet", stride=8)), make_options(**options), catalog,
        total_steps=20, warmup_steps=2,
    )  # fmt: skip
    made.log_dict = lambda *_args, **_kwargs: None
    return made


def batch(count=6):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 32, 32, generator=generator)
    targets = (torch.rand(count, 4, generator=generator) < 0.5).float()
    return Batch(images, targets, torch.arange(count), [(32, 32)] * count, [])


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tags") / "tags"
    return write_scenes(folder, "tags", train=24, val=8, test=8, size=48, clutter=(0, 1))


def test_the_loss_is_the_likelihood_of_whole_sets_without_smoothing():
    trained = module(label_smoothing=0.1).eval()
    given = batch()
    p = trained.model(given.images).logits.detach().double().sigmoid()
    of_truth = torch.where(given.targets > 0, p, 1 - p)
    expected = -of_truth.prod(dim=1).log().mean()
    assert trained.training_step(given, 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_scores_of_validation_are_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    answered = (torch.rand(40, 4, generator=generator) < 0.4).float()
    targets = (torch.rand(40, 4, generator=generator) < 0.4).float()
    answered[0] = targets[0] = 0  # nothing said, nothing true: all right
    logits = torch.randn(40, 4, generator=generator)
    tokens = ordered_paths(answered, torch.zeros(4))
    found = module().judge(Output(logits, tokens=tokens), targets)
    truth, said = targets.numpy(), answered.numpy()
    samples = f1_score(truth, said, average="samples", zero_division=1.0)
    assert found["val_f1"].item() == pytest.approx(samples)
    assert found["val_exact"].item() == pytest.approx(accuracy_score(truth, said))
    cost = F.binary_cross_entropy_with_logits(logits, targets) * 4
    assert found["val_loss"].item() == pytest.approx(cost.item(), rel=1e-5)


@pytest.mark.parametrize("kind", [Sigmoid, CNNRNN])
def test_validation_judges_the_models_own_answers(kind):
    trained, logged = module(kind).eval(), {}
    trained.log_dict = lambda scores, **_: logged.update(scores)
    given = batch()
    with torch.no_grad():
        trained.validation_step(given, 0)
        trained.on_validation_epoch_end()
        answer = trained.model.answer(given.images, 1)
    expected = trained.judge(answer, given.targets)
    assert logged == {name: value.item() for name, value in expected.items()}
    assert trained.score in logged


def test_mixed_targets():
    images, targets = module(mixup=1.0).mix(batch().images, batch().targets)
    assert images.shape == batch().images.shape
    assert targets.shape == (6, 4)
    assert set(np.unique(targets.numpy())) != {0.0, 1.0}
    with pytest.raises(LookcloserError, match="not with --method cnnrnn, whose loss needs whole"):
        module(CNNRNN, mixup=1.0)


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_balance_is_of_classes(balance):
    with pytest.raises(LookcloserError, match=f"--balance {balance}: not for tags"):
        module(balance=balance)


def test_the_seed_of_the_step_decides_the_shuffled_order():
    def loss(seed):
        torch.manual_seed(1)
        made = CNNRNN(4, CNNRNN.Options("test_resnet", stride=8, label_order="shuffled")).train()
        output = made(batch().images)
        torch.manual_seed(seed)
        return made.losses(output, batch().targets, criterion=None)["loss"].item()

    assert loss(0) == loss(0)
    assert loss(0) != loss(1)


def test_the_method_follows_from_the_data(tags, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_training(tags, quiet=True, **{**quick, "epochs": 1})
    assert done.folder == Path("runs") / "tags-cnnrnn"
    assert done.recognizer.header.method == "cnnrnn"
    assert read_config(done.folder)[1].method == "cnnrnn"
    assert done.recognizer.header.arguments["label_counts"]
    assert sum(done.recognizer.header.arguments["label_counts"]) > 24


def test_options_reach_the_method(tags, quick, tmp_path):
    catalog = read_data(tags)
    options = {**quick, "epochs": 1, "method": "cnnrnn", "label_order": "rare", "beam": 2}
    fit(catalog, make_options(**options, decoder="exact"), tmp_path, quiet=True)
    model, _ = load_model_file(tmp_path / "model.safetensors")
    assert (model.label_order, model.beam, model.decoder) == ("rare", 2, "exact")


def test_options_of_another_method_are_refused(quick):
    with pytest.raises(LookcloserError, match="label_order rare: not an option of the method sig"):
        make_options(**quick, method="sigmoid", label_order="rare")


def test_options_that_do_not_fit_leave_no_folder(tags, quick, tmp_path):
    options = make_options(**quick, method="sigmoid", balance="weights")
    with pytest.raises(LookcloserError, match="--balance weights"):
        fit(read_data(tags), options, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_method_of_another_task_is_refused(tags, quick, tmp_path):
    with pytest.raises(LookcloserError, match="cam: not a method for multilabel"):
        fit(read_data(tags), make_options(**quick, method="cam"), tmp_path / "run", quiet=True)
