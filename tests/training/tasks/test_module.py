import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lookcloser.core.errors import LookcloserError, NotFiniteError
from lookcloser.data import Catalog, Sample
from lookcloser.data.dataset import Batch
from lookcloser.models import CAM
from lookcloser.training.options import make_options
from lookcloser.training.tasks.classification import ClassificationModule
from lookcloser.training.tasks.module import parameter_groups


def data(counts=(1, 1, 1)):
    names = ("a", "b", "c")
    samples = tuple(
        Sample(f"{name}{number}", Path(name), (name,), split="train")
        for name, count in zip(names, counts, strict=True)
        for number in range(count)
    )
    return Catalog(Path(), "", "classification", names, samples)


def module(total_steps=20, warmup_steps=4, counts=(1, 1, 1), **options):
    torch.manual_seed(0)
    return ClassificationModule(
        CAM(3, CAM.Options("test_resnet", stride=8)), make_options(**options), data(counts),
        total_steps=total_steps, warmup_steps=warmup_steps,
    )  # fmt: skip


def batch(count=6):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 32, 32, generator=generator)
    return Batch(images, torch.arange(count) % 3, torch.arange(count), [(32, 32)] * count, [])


def test_the_rate_rises_linearly_and_falls_as_a_cosine_to_zero():
    configured = module().configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    peak = 3e-3
    expected = [peak * (step + 1) / 5 for step in range(4)]
    expected += [peak * 0.5 * (1 + math.cos(math.pi * step / 16)) for step in range(16)]
    assert rates == pytest.approx(expected)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "share"),
    [({}, 0.1), ({"weights": "none"}, 1.0), ({"backbone_lr": 0.2}, 0.2)],
)
def test_backbone_and_head_have_their_own_rates(options, share):
    model = CAM(3, CAM.Options("test_resnet"))
    groups = parameter_groups(model, make_options(lr=0.01, weight_decay=0.2, **options))
    ids = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(ids) == len(list(model.parameters())), "each parameter once"
    assert ids[id(model.head.weight)] == (0.01, 0.2)
    assert ids[id(model.head.bias)] == (0.01, 0.0)
    convolution = next(p for p in model.backbone.parameters() if p.ndim == 4)
    norm = next(p for p in model.backbone.parameters() if p.ndim == 1)
    assert ids[id(convolution)] == (pytest.approx(0.01 * share), 0.2)
    assert ids[id(norm)] == (pytest.approx(0.01 * share), 0.0)


def test_the_loss_is_smoothed_and_weighted_cross_entropy():
    weights = torch.tensor([7 / 3 / 2, 7 / 3 / 1, 7 / 3 / 4])  # inverse frequencies
    trained = module(label_smoothing=0.1, balance="weights", counts=(2, 1, 4)).eval()
    trained.log_dict = lambda *_args, **_kwargs: None
    given = batch()
    log_p = trained.model(given.images).logits.log_softmax(dim=1)
    smooth = 0.9 * F.one_hot(given.targets, 3) + 0.1 / 3
    per_image = -(smooth * weights * log_p).sum(dim=1)
    expected = per_image.sum() / weights[given.targets].sum()
    torch.testing.assert_close(trained.training_step(given, 0), expected)


def test_a_batch_of_unreadable_images_is_no_step():
    empty = Batch(
        torch.empty(0), torch.empty(0, dtype=torch.long), torch.empty(0), [], [("a", "b")]
    )
    assert module().training_step(empty, 0) is None


@pytest.mark.parametrize(
    ("options", "frozen"),
    [
        ({}, True),
        ({"freeze_norm": False}, False),
        ({"weights": "none"}, False),
        ({"weights": "none", "freeze_norm": True}, True),
    ],
)
def test_frozen_norms_keep_their_statistics(options, frozen):
    trained = module(**options).train()
    trained.trainer = type("Trainer", (), {"current_epoch": 0})()
    trained.log_dict = lambda *_args, **_kwargs: None
    trained.on_train_epoch_start()
    before = {k: v.clone() for k, v in trained.state_dict().items() if "running" in k}
    trained.training_step(batch(), 0)
    assert before
    kept = [torch.equal(trained.state_dict()[k], v) for k, v in before.items()]
    assert all(kept) if frozen else not all(kept)


@pytest.fixture
def begun():
    begun = module()
    begun.trainer = type("Trainer", (), {"current_epoch": 0})()
    return begun


def test_answers_that_are_no_numbers_end_the_training(begun, monkeypatch):
    def judge(*_):
        raise NotFiniteError("the answer of the model is not finite")

    monkeypatch.setattr(begun, "judge", judge)
    with pytest.raises(LookcloserError, match="diverged: an answer after epoch 1 .*lower --lr"):
        begun.validation_step(batch(), 0)


def test_weights_that_are_no_numbers_are_noticed_before_they_answer(begun):
    begun.on_validation_epoch_start()
    with torch.no_grad():
        next(begun.model.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(LookcloserError, match="diverged: a weight after epoch 1 .*lower --lr"):
        begun.on_validation_epoch_start()
