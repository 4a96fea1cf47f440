import math

import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.losses import asymmetric_loss


def slow(logits, targets, focus_present, focus_absent, margin):
    """The paper's formulas, one label at a time, in Python floats."""
    total = 0.0
    for row, truth in zip(logits.tolist(), targets.tolist(), strict=True):
        for logit, target in zip(row, truth, strict=True):
            p = 1 / (1 + math.exp(-logit))
            q = max(p - margin, 0)
            total -= target * (1 - p) ** focus_present * math.log(p)
            total -= (1 - target) * q**focus_absent * math.log(1 - q)
    return total / len(logits)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 5, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 2, (6, 5), generator=generator).double()


@pytest.mark.parametrize("focus", [(0.0, 4.0), (1.0, 4.0), (0.0, 0.0), (2.0, 0.5)])
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_the_papers_formulas(batch, focus, margin):
    found = asymmetric_loss(*batch, focus_present=focus[0], focus_absent=focus[1], margin=margin)
    assert found.item() == pytest.approx(slow(*batch, *focus, margin), rel=1e-9)


def test_without_exponents_and_margin_it_is_binary_cross_entropy(batch):
    found = asymmetric_loss(*batch, focus_present=0, focus_absent=0, margin=0)
    expected = F.binary_cross_entropy_with_logits(*batch, reduction="none").sum(1).mean()
    torch.testing.assert_close(found, expected)


def test_absent_labels_below_the_margin_cost_nothing():
    logits = torch.tensor([[math.log(0.04 / 0.96), -9.0, 0.3]], requires_grad=True)
    asymmetric_loss(logits, torch.zeros(1, 3), margin=0.05).backward()
    assert logits.grad[0, :2].tolist() == [0.0, 0.0]
    assert logits.grad[0, 2] > 0


def test_targets_in_between_mix_both_costs(batch):
    logits, _ = batch
    ones, zeros = torch.ones_like(logits), torch.zeros_like(logits)
    mixed = asymmetric_loss(logits, 0.3 * ones)
    expected = 0.3 * asymmetric_loss(logits, ones) + 0.7 * asymmetric_loss(logits, zeros)
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize("value", [-200.0, -40.0, 40.0, 200.0])
@pytest.mark.parametrize("focus", [0.0, 0.5, 4.0])
def test_extreme_scores_stay_finite(value, focus):
    logits = torch.full((2, 2), value, requires_grad=True)
    loss = asymmetric_loss(logits, torch.eye(2), focus_present=focus, focus_absent=focus)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_the_gradient_is_that_of_differences(batch):
    logits, targets = batch
    assert torch.autograd.gradcheck(
        lambda x: asymmetric_loss(x, targets, focus_present=1.0), logits.requires_grad_()
    )


def test_half_precision_is_computed_in_float32(batch):
    logits, targets = batch[0].bfloat16(), batch[1].float()
    found = asymmetric_loss(logits, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, asymmetric_loss(logits.float(), targets))


@pytest.mark.parametrize(
    "options", [{"focus_present": -1.0}, {"focus_absent": -0.1}, {"margin": 1.0}, {"margin": -0.1}]
)
def test_numbers_out_of_range(batch, options):
    with pytest.raises(LookcloserError, match="a margin from 0 to below 1"):
        asymmetric_loss(*batch, **options)
