import math

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.losses import area_prior, pairwise_ranking_loss


def logits(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(count, 5, generator=generator, dtype=torch.double)


def with_probability(p: float, requires_grad: bool = False) -> torch.Tensor:
    """Logits of two classes, the first with probability p."""
    row = torch.tensor([[math.log(p), math.log1p(-p)]], dtype=torch.double)
    return row.requires_grad_(requires_grad)


def probability(row: list[float], target: int) -> float:
    return math.exp(row[target]) / sum(math.exp(value) for value in row)


@pytest.mark.parametrize("form", ["probability", "log"])
@pytest.mark.parametrize("margin", [0.05, 0.4])
def test_is_the_mean_of_the_formula(form: str, margin: float) -> None:
    coarse, fine = logits(16, seed=1), logits(16, seed=2)
    targets = torch.arange(16) % 5
    expected = 0.0
    for a, b, target in zip(coarse.tolist(), fine.tolist(), targets.tolist(), strict=True):
        before, after = probability(a, target), probability(b, target)
        if form == "log":
            before, after = math.log(before), math.log(after)
        expected += max(0.0, before - after + margin) / 16
    loss = pairwise_ranking_loss(coarse, fine, targets, margin, form)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_default_is_the_probability_form_with_margin_005() -> None:
    loss = pairwise_ranking_loss(with_probability(0.5), with_probability(0.48), torch.tensor([0]))
    assert loss.item() == pytest.approx(0.07)
    loss = pairwise_ranking_loss(with_probability(0.5), with_probability(0.56), torch.tensor([0]))
    assert loss.item() == 0


@pytest.mark.parametrize("form", ["probability", "log"])
def test_only_the_fine_side_gets_a_gradient(form: str) -> None:
    """Public code detaches both, so that nothing learns, or neither, so that the coarse worsens."""
    coarse, fine = logits(8, seed=1).requires_grad_(), logits(8, seed=2).requires_grad_()
    targets = torch.arange(8) % 5
    pairwise_ranking_loss(coarse, fine, targets, margin=10.0, form=form).backward()
    assert coarse.grad is None
    assert fine.grad is not None
    assert (fine.grad.gather(1, targets[:, None]) < 0).all()  # a step raises the true class


@pytest.mark.parametrize(
    ("form", "p", "expected"),
    [
        ("probability", 0.85, 0.1275),
        ("probability", 0.99999, 1e-5),
        ("probability", 0.01, 0.0099),
        ("log", 0.85, 0.15),
        ("log", 0.99999, 1e-5),
        ("log", 0.01, 0.99),
    ],
)
def test_factor_of_the_gradient(form: str, p: float, expected: float) -> None:
    fine = with_probability(p, requires_grad=True)
    pairwise_ranking_loss(with_probability(p), fine, torch.tensor([0]), form=form).backward()
    assert -fine.grad[0, 0].item() == pytest.approx(expected, rel=1e-3)


def test_half_precision_logits_are_compared_in_float32() -> None:
    coarse, fine = logits(8, seed=1).bfloat16(), logits(8, seed=2).bfloat16()
    targets = torch.arange(8) % 5
    loss = pairwise_ranking_loss(coarse, fine, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, pairwise_ranking_loss(coarse.float(), fine.float(), targets))


def test_unknown_form() -> None:
    with pytest.raises(LookcloserError, match="logit: unknown form of the ranking loss"):
        pairwise_ranking_loss(logits(1, 0), logits(1, 1), torch.tensor([0]), form="logit")


def test_area_prior_is_the_share_of_the_image() -> None:
    boxes = torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.2, 0.5]], requires_grad=True)
    prior = area_prior(boxes)
    assert prior.item() == pytest.approx((1 + 0.25) / 2)
    prior.backward()
    assert boxes.grad.tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 0.5]]
