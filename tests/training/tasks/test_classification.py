"""Weights of classes, mixing, and the scores of validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torchvision.transforms import v2

from lookcloser.core.errors import UsageError
from lookcloser.core.types import Output
from lookcloser.data import Catalog, Sample
from lookcloser.models import CAM, build_model
from lookcloser.training.options import make_options
from lookcloser.training.tasks.classification import ClassificationModule
from lookcloser.training.tasks.mixing import mixing

PIXELS = np.zeros((1, 1, 3), np.uint8)


def module(counts: tuple[int, ...] = (1, 1, 1), val: int = 0, **options: Any) -> Any:
    names = tuple("abc")
    samples = [
        Sample(f"{name}{number}", PIXELS, (name,), split="train")
        for name, count in zip(names, counts, strict=True)
        for number in range(count)
    ]
    samples += [Sample(f"v{number}", PIXELS, ("a",), split="val") for number in range(val)]
    catalog = Catalog(Path(), "", "classification", names, tuple(samples))
    model = CAM(3, CAM.Options("test_resnet", stride=8))
    return ClassificationModule(
        model, make_options(**options), catalog, total_steps=4, warmup_steps=0
    )


def test_weights_of_classes_are_inverse_to_their_training_images() -> None:
    weights = module((6, 3, 1), val=5, balance="weights").class_weights
    per_image = weights.repeat_interleave(torch.tensor([6, 3, 1]))
    assert per_image.mean().item() == pytest.approx(1), "the loss keeps its size"
    assert (weights * torch.tensor([6, 3, 1])).tolist() == pytest.approx([10 / 3] * 3)
    assert module((6, 3, 1)).class_weights is None
    assert module((6, 3, 1), balance="sampling").class_weights is None


def test_a_class_without_a_training_image_weighs_as_one_of_one() -> None:
    assert module((6, 2, 0), balance="weights").class_weights.tolist() == pytest.approx(
        [8 / 18, 8 / 6, 8 / 3]
    )


def test_weights_are_no_part_of_a_checkpoint() -> None:
    """They follow from the data, and a run may be resumed without them."""
    assert "class_weights" not in module(balance="weights").state_dict()


def test_scores_of_validation_are_scikit_learns_without_smoothing_and_weights() -> None:
    logits = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).double()
    targets = torch.arange(40) % 3
    judge = module((6, 3, 1), balance="weights", label_smoothing=0.3).judge
    found = judge(Output(logits), targets)
    assert found["val_acc"].item() == pytest.approx(
        accuracy_score(targets, logits.argmax(dim=1)), rel=1e-6
    )
    wanted = log_loss(targets, logits.softmax(dim=1), labels=[0, 1, 2])
    assert found["val_loss"].item() == pytest.approx(wanted)


def images() -> torch.Tensor:
    return torch.arange(8.0)[:, None, None, None].expand(8, 3, 16, 16).clone()


TARGETS = torch.arange(8) % 3


def test_without_options_nothing_is_mixed() -> None:
    given = images()
    found, targets = module().mix(given, TARGETS)
    assert found is given
    assert targets is TARGETS


def test_mixup_fades_two_images_and_their_classes_alike() -> None:
    torch.manual_seed(0)
    found, targets = module(mixup=1.0).mix(images(), TARGETS)
    assert targets.sum(dim=1).tolist() == pytest.approx([1.0] * 8)
    partners = torch.roll(torch.arange(8.0), 1)
    share = (found[3, 0, 0, 0] - partners[3]) / (3 - partners[3])
    assert 0 < share < 1
    assert targets[3, TARGETS[3]].item() == pytest.approx(share.item(), rel=1e-5)
    assert (found == found[:, :1, :1, :1]).all(), "the whole image alike"


def test_cutmix_pastes_a_rectangle_whose_area_is_the_share_of_the_class() -> None:
    torch.manual_seed(1)
    found, targets = module(cutmix=1.0).mix(images(), TARGETS)
    kept = (found[3, 0] == 3).float().mean().item()
    assert 0 < kept < 1
    assert set(found[3].unique().tolist()) == {2.0, 3.0}
    assert targets[3, TARGETS[3]].item() == pytest.approx(kept, rel=1e-5)


def test_with_both_each_batch_draws_one() -> None:
    both, kinds = module(mixup=1.0, cutmix=1.0), set()
    for seed in range(12):
        torch.manual_seed(seed)
        found, _ = both.mix(images(), TARGETS)
        kinds.add(bool((found == found[:, :1, :1, :1]).all()))
    assert kinds == {True, False}


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, None), ({"mixup": 0.2}, v2.RandomChoice), ({"cutmix": 0.2}, v2.RandomChoice),
        ({"mixup": 0.2, "cutmix": 0.2}, v2.RandomChoice),
    ],
)  # fmt: skip
def test_mixing_needs_a_loss_that_takes_shares(options: dict[str, float], kind: Any) -> None:
    cam = CAM(3, CAM.Options("test_resnet", stride=8))
    arguments = {"num_classes": 3, "backbone": "test_resnet", "stride": 8, "part_width": 4}
    pairs = build_model("osme", arguments)
    assert type(mixing(cam, make_options(**options), 3)) is (kind or type(None))
    if kind is None:
        assert mixing(pairs, make_options(**options), 3) is None
        return
    with pytest.raises(UsageError, match="--mixup and --cutmix: not with --method osme"):
        mixing(pairs, make_options(**options), 3)
