import itertools

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.losses import mamc_loss, mamc_terms

FORMS = ("npair", "hinge")
REDUCTIONS = ("paper", "mean")
BATCHES = [  # images per class, attentions
    ([2, 2, 2], 2),
    ([1, 3, 2], 3),
    ([4, 1], 1),
    ([2, 1, 1, 2], 2),
    ([3], 2),
    ([1], 1),
]


def batch(counts: list[int], attentions: int, width: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(counts) * 10 + attentions)
    labels = torch.tensor([7 * c for c, count in enumerate(counts) for _ in range(count)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    shape = (len(labels), attentions, width)
    return torch.randn(shape, generator=generator, dtype=torch.double), labels


def literal(
    features: torch.Tensor, labels: torch.Tensor, form: str, reduction: str, margin: float = 1.0
) -> list[torch.Tensor]:
    """The three terms, loop by loop as the paper writes them."""
    every = list(itertools.product(range(features.shape[0]), range(features.shape[1])))
    terms = []
    for term in range(3):
        total, summands = features.sum() * 0, 0
        for i, p in every:
            rest = [(j, q) for j, q in every if (j, q) != (i, p)]
            sasc = [(j, q) for j, q in rest if q == p and labels[j] == labels[i]]
            sadc = [(j, q) for j, q in rest if q == p and labels[j] != labels[i]]
            dasc = [(j, q) for j, q in rest if q != p and labels[j] == labels[i]]
            dadc = [(j, q) for j, q in rest if q != p and labels[j] != labels[i]]
            positives = (sasc, sadc, dasc)[term]
            negatives = sadc + dasc + dadc if term == 0 else dadc
            anchor = features[i, p]
            for positive in positives:
                near = features[positive]
                if form == "npair":
                    inner = features.sum() * 0
                    for negative in negatives:
                        inner = inner + torch.exp(anchor @ features[negative] - anchor @ near)
                    total, summands = total + torch.log(1 + inner), summands + 1
                else:
                    for negative in negatives:
                        distance = (anchor - near).square().sum()
                        further = (anchor - features[negative]).square().sum()
                        total = total + (margin + distance - further).clamp(min=0)
                        summands += 1
        divisor = len(set(labels.tolist())) if reduction == "paper" else max(summands, 1)
        terms.append(total / divisor)
    return terms


def value_and_gradient(
    features: torch.Tensor, labels: torch.Tensor, *args: str, **kwargs: object
) -> tuple[torch.Tensor, torch.Tensor]:
    features = features.clone().requires_grad_()
    loss = mamc_loss(features, labels, *args, **kwargs)
    return loss.detach(), torch.autograd.grad(loss, features)[0]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("counts", "attentions"), BATCHES)
def test_equals_the_literal_loops(
    counts: list[int], attentions: int, form: str, reduction: str
) -> None:
    features, labels = batch(counts, attentions)
    reference = features.clone().requires_grad_()
    expected = literal(reference, labels, form, reduction)
    (slope,) = torch.autograd.grad(sum(expected), reference)
    value, gradient = value_and_gradient(features, labels, reduction, form=form)
    torch.testing.assert_close(value, sum(expected).detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient, slope, rtol=0, atol=1e-8)
    terms = mamc_terms(features, labels, reduction, form=form)
    for term, one in zip(terms, expected, strict=True):
        torch.testing.assert_close(term, one.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 4, 7, 100])
@pytest.mark.parametrize("form", FORMS)
def test_chunks_change_nothing(form: str, chunk_size: int) -> None:
    features, labels = batch([1, 3, 2], 3)
    value, gradient = value_and_gradient(features, labels, form=form)
    chunked, slope = value_and_gradient(features, labels, form=form, chunk_size=chunk_size)
    torch.testing.assert_close(chunked, value)
    torch.testing.assert_close(slope, gradient)


@pytest.mark.parametrize("form", FORMS)
def test_order_of_images_attentions_and_class_names_does_not_matter(form: str) -> None:
    features, labels = batch([3, 1, 2], 3)
    images, attentions = torch.tensor([4, 2, 0, 5, 1, 3]), torch.tensor([2, 0, 1])
    value, gradient = value_and_gradient(features, labels, form=form)
    moved, slope = value_and_gradient(
        features[images][:, attentions], 100 - labels[images], form=form
    )
    torch.testing.assert_close(moved, value)
    torch.testing.assert_close(slope, gradient[images][:, attentions])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk_size", [None, 5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(
    dtype: torch.dtype, chunk_size: int | None, form: str
) -> None:
    """At norm 64 the products reach 4096: the exponential overflows float16 at 12."""
    features, labels = batch([2, 2, 3], 2, width=32)
    features = (64 * torch.nn.functional.normalize(features, dim=-1)).to(dtype)
    expected, slope = value_and_gradient(features.float(), labels, form=form)
    features.requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        value = mamc_loss(features, labels, form=form, chunk_size=chunk_size)
    (gradient,) = torch.autograd.grad(value, features)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.detach(), expected, rtol=1e-5, atol=0)
    assert gradient.isfinite().all()
    torch.testing.assert_close(gradient, slope.to(dtype), rtol=0.01, atol=0.01)


def test_share_of_the_terms_at_the_start() -> None:
    """32 classes × 2 images, P = 2, all features alike: SADC is 257 of 270 per anchor."""
    labels = torch.arange(32).repeat_interleave(2)
    terms = mamc_terms(torch.zeros(64, 2, 8), labels)
    per_anchor = [term.item() * 32 / 128 for term in terms]
    assert sum(per_anchor) == pytest.approx(270, abs=0.5)
    assert per_anchor[1] == pytest.approx(257, abs=0.5)
    # The mean over the positives leaves log(1 + negatives).
    evened = torch.stack(list(mamc_terms(torch.zeros(64, 2, 8), labels, "mean")))
    torch.testing.assert_close(evened, torch.tensor([126.0, 62.0, 62.0]).log1p())


def test_the_anchor_is_not_its_own_positive() -> None:
    """One image per class and one attention: there are no positives of the same class at all."""
    features, labels = batch([1, 1, 1], 1)
    assert mamc_terms(features, labels).sasc.item() == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("counts", "attentions"), [([1], 1), ([3], 1), ([3], 2), ([1, 1], 1)])
def test_empty_sets_give_finite_losses_and_gradients(
    counts: list[int], attentions: int, form: str
) -> None:
    features, labels = batch(counts, attentions)
    value, gradient = value_and_gradient(features.float(), labels, "mean", form=form)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_descent_separates_the_classes_and_the_attentions(form: str) -> None:
    generator = torch.Generator().manual_seed(0)
    features = (0.1 * torch.randn(8, 2, 6, generator=generator)).requires_grad_()
    labels = torch.arange(4).repeat_interleave(2)
    optimizer = torch.optim.SGD([features], lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        mamc_loss(features, labels, "mean", form=form).backward()
        optimizer.step()
    found = features.detach()
    distance = torch.cdist(found.flatten(0, 1), found.flatten(0, 1)).fill_diagonal_(torch.inf)
    nearest = distance.argmin(1)
    # The nearest feature of each is the same attention of the other image of its class.
    assert torch.equal(nearest, torch.arange(16).reshape(4, 2, 2).flip(1).flatten())


@pytest.mark.parametrize(
    ("shape", "labels"), [((4, 8), 4), ((4, 2, 8), 3), ((0, 2, 8), 0), ((2, 2, 8, 1), 2)]
)
def test_wrong_shapes_are_named(shape: tuple[int, ...], labels: int) -> None:
    with pytest.raises(LookcloserError, match=r"Features of shape .*\(B, P, D\)"):
        mamc_loss(torch.zeros(shape), torch.zeros(labels, dtype=torch.long))


def test_unknown_names() -> None:
    features, labels = batch([2, 2], 2)
    with pytest.raises(LookcloserError, match="sum: unknown reduction"):
        mamc_loss(features, labels, "sum")
    with pytest.raises(LookcloserError, match="n-pair: unknown form.*Close: npair"):
        mamc_loss(features, labels, form="n-pair")
