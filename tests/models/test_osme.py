import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.losses import mamc_terms
from lookcloser.models import OSMENet
from lookcloser.training.options import make_options
from lookcloser.training.tasks.module import parameter_groups

LABELS = torch.tensor([2, 0, 2, 1, 0, 1])


def build(**arguments):
    torch.manual_seed(0)
    values = {"backbone": "test_resnet", "size": 64, "part_width": 6}
    return OSMENet(4, OSMENet.Options(**(values | arguments))).eval().double()


def pictures(count=2, side=64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, side, side, generator=generator, dtype=torch.double)


def plain(logits, labels):
    return F.cross_entropy(logits, labels)


@pytest.mark.parametrize("head", ["pooled", "flattened"])
@pytest.mark.parametrize("merge", ["concat", "sum"])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_logits_split_into_the_maps_of_the_attentions(head, merge, parts):
    model = build(part_head=head, merge=merge, parts=parts)
    with torch.no_grad():
        output = model(pictures())
        biases = torch.stack([project.bias for project in model.osme.project])
        given = biases.flatten() if merge == "concat" else biases.sum(dim=0)
        torch.testing.assert_close(output.maps.mean(dim=(2, 3)) + model.head(given), output.logits)
        assert output.part_maps.shape == (2, parts, 2, 2)
        best = output.logits.argmax(dim=1)
        torch.testing.assert_close(output.part_maps.sum(dim=1), output.maps[[0, 1], best])


def test_part_maps_are_those_of_the_first_class_asked_for():
    model, images = build(), pictures()
    with torch.no_grad():
        asked = model(images, targets=torch.tensor([[3, 0], [1, 2]]))
        other = model(images, targets=torch.tensor([[3], [2]]))
    torch.testing.assert_close(asked.part_maps.sum(dim=1), asked.maps[:, 0])
    torch.testing.assert_close(asked.part_maps[0], other.part_maps[0])
    assert not torch.allclose(asked.part_maps[1], other.part_maps[1])


@pytest.mark.parametrize("reduction", ["mean", "paper"])
@pytest.mark.parametrize("form", ["npair", "hinge"])
def test_the_losses_are_cross_entropy_and_the_weighted_terms(reduction, form):
    model = build(mamc_weight=0.3, mamc_reduction=reduction, mamc_form=form)
    output = model(pictures(6))
    found = model.losses(output, LABELS, plain)
    terms = mamc_terms(output.features, LABELS, reduction, form=form)
    assert list(found) == ["ce", "sasc", "sadc", "dasc"]
    torch.testing.assert_close(found["ce"], plain(output.logits, LABELS))
    for name in ("sasc", "sadc", "dasc"):
        torch.testing.assert_close(found[name], 0.3 * getattr(terms, name))


def test_without_weight_cross_entropy_is_alone():
    model = build(mamc_weight=0.0)
    assert list(model.losses(model(pictures(6)), LABELS, plain)) == ["ce"]


def test_the_terms_are_computed_in_full_precision_under_autocast():
    model = build().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(pictures(6).float())
        terms = model.losses(output, LABELS, plain)
    assert output.features.dtype == torch.bfloat16
    assert terms["sadc"].dtype == torch.float32
    exact = mamc_terms(output.features.float(), LABELS, "mean")
    torch.testing.assert_close(terms["sadc"], model.mamc_weight * exact.sadc)
    torch.stack(list(terms.values())).sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_the_papers_sum_is_far_above_cross_entropy_at_the_start():
    """The trap: at N = 16 its terms are some hundred times the cross-entropy, the mean is not."""
    torch.manual_seed(0)
    features, labels = 0.01 * torch.randn(32, 2, 1024), torch.arange(32) // 2
    paper, mean = (sum(mamc_terms(features, labels, how)) for how in ("paper", "mean"))
    assert paper > 400
    assert mean < 12


def test_attentions_learn_at_the_backbones_rate():
    model = build().float()
    groups = parameter_groups(model, make_options(lr=0.01, backbone_lr=0.1))
    rates = {id(weight): group["lr"] for group in groups for weight in group["params"]}
    assert {rates[id(weight)] for weight in model.head.parameters()} == {0.01}
    slow = [*model.backbone.parameters(), *model.osme.parameters()]
    assert {rates[id(weight)] for weight in slow} == {0.001}
    assert len(rates) == len(list(model.parameters()))


def test_a_flattened_head_names_the_size_it_needs():
    model = build(part_head="flattened")
    assert model.osme.grid_size == (2, 2)
    assert not any(module.training for module in model.modules())
    with pytest.raises(LookcloserError, match=r"3×3 places .* made for 2×2.*size"):
        model(pictures(side=96))
    assert build()(pictures(side=96)).maps.shape == (2, 4, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": 0}, "parts 0: not possible. Allowed: 1 or more"),
        ({"mamc_weight": -1.0}, "mamc_weight -1.0"),
        ({"part_head": "flat"}, "flat: unknown part_head. Close: flattened"),
        ({"merge": "add"}, "add: unknown merge"),
        ({"mamc_reduction": "sum"}, "sum: unknown mamc_reduction"),
        ({"mamc_form": "triplet"}, "triplet: unknown mamc_form"),
    ],
)
def test_impossible_choices_are_named(arguments, message):
    with pytest.raises(LookcloserError, match=message):
        build(**arguments)


def test_the_loss_compares_the_images_of_all_processes_or_of_this_one(monkeypatch):
    """What `gather_across_ranks` gives is tested where it is; here, that it is asked or not."""
    images = pictures(6)
    whole = build(mamc_gather=True)(images)
    mine = whole._replace(logits=whole.logits[:4], features=whole.features[:4])

    def gather(features, labels):
        assert torch.equal(features, mine.features)
        assert torch.equal(labels, LABELS[:4])
        return whole.features, LABELS

    monkeypatch.setattr("lookcloser.models.osme.model.gather_across_ranks", gather)
    for gathers, features, labels in (
        (True, whole.features, LABELS),
        (False, mine.features, LABELS[:4]),
    ):
        terms = build(mamc_gather=gathers).losses(mine, LABELS[:4], plain)
        expected = mamc_terms(features, labels, "mean")
        for name, term in expected._asdict().items():
            torch.testing.assert_close(terms[name], 0.1 * term)
        torch.testing.assert_close(terms["ce"], plain(mine.logits, LABELS[:4]))
