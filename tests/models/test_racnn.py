"""RA-CNN: where its boxes lie, what they are cut from, and which gradient moves them."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.core.types import Output
from lookcloser.layers import compose_boxes, crop_and_zoom
from lookcloser.layers.boxcar import STEP
from lookcloser.layers.canvas import on_one_canvas
from lookcloser.models import RACNN
from lookcloser.training.callbacks.phases import let_learn

TARGETS = torch.tensor([0, 2, 1, 2])


def small(backbone="test_resnet", **arguments):
    torch.manual_seed(0)
    # The mode that has every phase.
    options = {"stride": 8, "size": 32, "scales": 3, "train_mode": "alternate", **arguments}
    return RACNN(3, RACNN.Options(backbone, **options))


def pictures(count=4, side=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, side, side, generator=generator)


def seen_by(model, images):
    """What each trunk was given, and the output."""
    inputs = []
    handles = [
        trunk.register_forward_pre_hook(lambda _module, args: inputs.append(args[0].detach()))
        for trunk in model.trunks
    ]
    output = model(images)
    for handle in handles:
        handle.remove()
    return inputs, output


def phase_of(model, name):
    return next(phase for phase in model.phases if phase.name == name)


def as_center(corners):
    """(..., 4) corners -> (..., 3) center and half-side."""
    center = (corners[..., :2] + corners[..., 2:]) / 2
    return torch.cat((center, (corners[..., 2:3] - corners[..., :1]) / 2), dim=-1)


# Where it looks


@pytest.mark.parametrize("scales", [2, 3, 4])
def test_every_finer_box_lies_in_the_one_before_and_in_the_image(scales):
    model = small(scales=scales).eval()
    generator = torch.Generator().manual_seed(1)
    for proposal in model.proposals:
        nn.init.normal_(proposal.head.locate.weight, std=20.0, generator=generator)
        nn.init.normal_(proposal.head.locate.bias, std=20.0, generator=generator)
    with torch.no_grad():
        boxes = model(pictures(16)).boxes
    assert boxes.shape == (16, scales - 1, 4)
    outer = torch.tensor([-1.0, -1, 1, 1]).expand(16, 1, 4)
    outer = torch.cat((outer, boxes[:, :-1]), dim=1)
    assert (boxes[..., :2] >= outer[..., :2] - 1e-6).all()
    assert (boxes[..., 2:] <= outer[..., 2:] + 1e-6).all()
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert boxes[:, 0].std(dim=0).max() > 0.05, "not the same box for every image"


def test_every_scale_is_cut_from_the_original_not_from_the_crop_before():
    model, images = small().eval(), pictures(side=256)
    inputs, output = seen_by(model, images)
    boxes = as_center(output.boxes.detach())
    whole = torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3)
    torch.testing.assert_close(inputs[0], crop_and_zoom(images, whole, 32))
    for scale in (1, 2):
        expected = crop_and_zoom(images, boxes[:, scale - 1], 32)
        torch.testing.assert_close(inputs[scale], expected, rtol=1e-3, atol=1e-3)
    # A crop of the crop has lost the detail of the source.
    inner = output.features[:, 1, 0].detach()
    resampled = crop_and_zoom(inputs[1], inner, 32)
    assert inputs[2].std() > 1.4 * resampled.std()


def test_boxes_are_composed_from_the_proposals():
    output = small().eval()(pictures())
    proposed = output.features[:, :, 0]
    expected = torch.stack((proposed[:, 0], compose_boxes(proposed[:, 0], proposed[:, 1])), dim=1)
    torch.testing.assert_close(as_center(output.boxes), expected)


def test_proposals_start_at_the_half_side_and_stay_near_it():
    model = small(half_side=0.4)
    for proposal in model.proposals:
        assert (proposal.min_half_side, proposal.max_half_side) == pytest.approx((0.2, 0.6))
        nn.init.zeros_(proposal.head.locate.weight)
        nn.init.zeros_(proposal.head.locate.bias)
    boxes = as_center(model.eval()(pictures()).boxes)
    step = {"atol": STEP, "rtol": 0.0}
    torch.testing.assert_close(boxes[:, 0], torch.tensor([[0.0, 0.0, 0.4]]).expand(4, 3), **step)
    torch.testing.assert_close(boxes[:, 1, 2], torch.full((4,), 0.16), **step)


def test_an_answer_looks_at_whole_steps_of_the_view_and_a_training_where_the_head_says():
    torch.manual_seed(0)
    model = small()
    for proposal in model.proposals:
        nn.init.normal_(proposal.head.locate.weight, std=0.5)
    inputs, output = seen_by(model.eval(), pictures())
    proposed = output.features[:, 0, 0]
    assert (proposed / STEP == (proposed / STEP).round()).all()
    learned = model.proposals[0](model.trunks[0](inputs[0])).detach()
    torch.testing.assert_close(proposed, learned, atol=STEP, rtol=0.0)
    steps = model.train()(pictures()).features[:, :, 0] / STEP
    assert (steps != steps.round()).all(dim=0).any()


def test_noise_of_float32_in_the_features_changes_no_crop():
    """By a millionth features differ from one library to the next."""
    model = small().eval()
    wanted, _ = seen_by(model, pictures())

    def shaken(_module, _given, features):
        generator = torch.Generator().manual_seed(1)
        return features * (1 + 1e-6 * torch.randn(features.shape, generator=generator))

    handles = [trunk.register_forward_hook(shaken) for trunk in model.trunks]
    found, _ = seen_by(model, pictures())
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))
    for handle in handles:
        handle.remove()


def test_source_and_input_size_are_independent_and_without_one_the_images_decide():
    inputs, _ = seen_by(small().eval(), pictures(side=100))
    assert [tuple(view.shape[-2:]) for view in inputs] == [(32, 32)] * 3
    inputs, _ = seen_by(small(size=None).eval(), F.interpolate(pictures(), (40, 56)))
    assert [tuple(view.shape[-2:]) for view in inputs] == [(40, 56)] * 3


# What it answers


def test_the_answer_is_the_mean_of_the_scales():
    model = small().eval()
    for head in model.heads:
        nn.init.normal_(head.weight)
    output = model(pictures())
    torch.testing.assert_close(output.logits, output.scale_logits.mean(dim=1))
    assert model.fusion is None
    terms = model.train().losses(model(pictures()), TARGETS, F.cross_entropy)
    assert "fused" not in terms


def test_the_papers_answer_is_a_line_on_the_normalized_descriptors():
    model, images = small(fusion="descriptors").eval(), pictures()
    inputs, output = seen_by(model, images)
    with torch.no_grad():
        pooled = [
            trunk(view).mean(dim=(2, 3)) for trunk, view in zip(model.trunks, inputs, strict=True)
        ]
    for scale, (head, vector) in enumerate(zip(model.heads, pooled, strict=True)):
        torch.testing.assert_close(output.scale_logits[:, scale], head(vector))
    unit = torch.cat(
        [vector / vector.square().mean(1, keepdim=True).sqrt() for vector in pooled], 1
    )
    torch.testing.assert_close(output.logits, unit @ model.fusion.weight.T + model.fusion.bias)


def test_the_fused_answer_starts_as_that_of_the_scales_together():
    model, images = small(fusion="descriptors").eval(), pictures()
    nn.init.normal_(model.heads[0].weight)
    model.begin(phase_of(model, "pointing"))
    inputs, output = seen_by(model, images)
    with torch.no_grad():
        pooled = [
            trunk(view).mean(dim=(2, 3)) for trunk, view in zip(model.trunks, inputs, strict=True)
        ]
    each = [
        F.linear(vector / vector.square().mean(1, keepdim=True).sqrt(), model.heads[0].weight)
        for vector in pooled
    ]
    expected = torch.stack(each).mean(dim=0) + model.heads[0].bias
    torch.testing.assert_close(output.logits, expected)


@pytest.mark.parametrize("backbone", ["test_vit", "test_convnext"])
def test_behind_a_layer_norm_a_scale_points_where_its_class_is(backbone):
    model = small(backbone=backbone, stride=None, size=64, scales=2).eval()
    assert model.backbones[0].ends_in_norm
    nn.init.normal_(model.heads[0].weight)
    images = pictures(8, side=64)
    with torch.no_grad():
        features = model.trunks[0](images)
        maps = torch.einsum("bdhw,cd->bchw", features, model.heads[0].weight)
        best = model.heads[0](features.mean(dim=(2, 3))).argmax(dim=1)
        pointed = model.train()(images).features[:, 0, 1]
    own = maps[torch.arange(8), best].flatten(1)
    width, half = features.shape[-1], model.half_side
    x = (2 * (own.argmax(dim=1) % width) + 1) / width - 1
    torch.testing.assert_close(pointed[:, 0], x.clamp(half - 1, 1 - half))
    assert own.std() > 0.1, "a response and no rounding"
    assert features.mean(dim=1).std() < 1e-3, "which the mean over the channels is here"


def test_scales_do_not_share_weights():
    model = small()
    ids = [{id(parameter) for parameter in trunk.parameters()} for trunk in model.trunks]
    assert not ids[0] & ids[1]
    assert not ids[1] & ids[2]
    assert len(model.backbones) == 3


def test_proposals_learn_at_the_rate_of_the_backbones():
    model = small(fusion="descriptors")
    slow = {id(parameter) for part in model.slow_parts for parameter in part.parameters()}
    parts = {"trunks": True, "proposals": True, "heads": False, "fusion": False}
    for name, is_slow in parts.items():
        for parameter in model.get_submodule(name).parameters():
            assert (id(parameter) in slow) == is_slow, name


@pytest.mark.parametrize("fusion", ["mean", "descriptors"])
def test_the_mean_of_a_map_is_the_answer_less_its_bias(fusion):
    """Boxes on the edges of the canvas' cells: there nothing is lost by interpolation."""
    model = small(half_side=0.5, scales=2, fusion=fusion).eval()
    for proposal in model.proposals:
        nn.init.zeros_(proposal.head.locate.weight)
        nn.init.zeros_(proposal.head.locate.bias)
    answering = list(model.heads) if fusion == "mean" else [model.fusion]
    for head in answering:
        nn.init.normal_(head.weight)
        nn.init.normal_(head.bias)
    output = model(pictures())
    assert output.maps.shape == (4, 3, 8, 8), "twice as fine as the features, once per finer scale"
    expected = output.logits - torch.stack([head.bias for head in answering]).mean(dim=0)
    torch.testing.assert_close(output.maps.mean(dim=(2, 3)), expected, rtol=1e-4, atol=1e-5)


def test_a_map_counts_in_its_box_alone_and_with_its_own_mass():
    maps = [torch.zeros(1, 2, 4, 4), torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)]
    boxes = [torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, -0.5, 0.5]])]
    canvas = on_one_canvas(maps, boxes, (8, 8))
    expected = torch.zeros(1, 2, 8, 8)
    expected[0, :, :4, 4:] = torch.tensor([4.0, 12.0]).view(2, 1, 1)  # upper right, a quarter
    torch.testing.assert_close(canvas, expected)
    torch.testing.assert_close(canvas.mean(dim=(2, 3)), torch.tensor([[1.0, 3.0]]))
    whole = on_one_canvas([maps[1]], [boxes[0]], (8, 8))
    torch.testing.assert_close(whole, maps[1][:, :, :1, :1].expand(1, 2, 8, 8))


# Which gradient moves the boxes


def proposal_gradients(model, images, sign=1.0, phase="proposals"):
    let_learn(model, phase_of(model, phase))
    model.zero_grad(set_to_none=True)
    loss = torch.stack(list(model.losses(model(images), TARGETS, F.cross_entropy).values())).sum()
    (sign * loss).backward()
    return [parameter.grad.clone() for parameter in model.proposals.parameters()]


@pytest.mark.parametrize("mode", ["grid", "mask"])
def test_the_true_gradient_reaches_every_proposal_and_flips_with_the_loss(mode):
    model = small(crop_mode=mode, rank_margin=5.0)  # no pair of scales is content
    gradients = proposal_gradients(model, pictures())
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    flipped = proposal_gradients(model, pictures(), sign=-1.0)
    for one, other in zip(gradients, flipped, strict=True):
        torch.testing.assert_close(one, -other)


def test_the_released_rule_does_not_follow_the_loss():
    model = small(crop_mode="saliency", rank_margin=5.0, scales=2)
    gradients = proposal_gradients(model, pictures())
    flipped = proposal_gradients(model, pictures(), sign=-1.0)
    for one, other in zip(gradients, flipped, strict=True):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other)


def test_the_gradient_is_that_of_finite_differences():
    # Two scales: of three, the second is also a coarse side, which is held still.
    model, images = small(rank_margin=5.0, scales=2).double(), pictures().double()
    gradients = proposal_gradients(model, images)
    bias = model.proposals[0].head.locate.bias
    names = [name for name, _ in model.proposals.named_parameters()]
    found = gradients[names.index("0.head.locate.bias")]
    eps = 1e-7  # wider steps meet the kinks of a ReLU
    for index in range(3):
        values = []
        for step in (eps, -eps):
            with torch.no_grad():
                bias[index] += step
                terms = model.losses(model(images), TARGETS, F.cross_entropy)
                values.append(sum(terms.values()).item())
                bias[index] -= step
        slope = (values[0] - values[1]) / (2 * eps)
        assert found[index].item() == pytest.approx(slope, rel=0.02, abs=1e-6)


def test_while_proposals_learn_the_coarse_branch_has_no_graph_and_the_fine_one_has():
    model = small()
    let_learn(model, phase_of(model, "proposals"))
    graphs = []
    for trunk in model.trunks:
        trunk.register_forward_hook(lambda _m, _a, features: graphs.append(features.requires_grad))
    output = model(pictures())
    assert graphs == [False, True, True]
    assert not output.scale_logits[:, 0].detach().requires_grad
    model.losses(output, TARGETS, F.cross_entropy)["ranking"].backward()
    assert all(parameter.grad is None for parameter in model.trunks.parameters())


def test_while_classifiers_learn_nothing_reaches_the_proposals():
    model = small()
    let_learn(model, phase_of(model, "classifiers"))
    output = model(pictures())
    assert not output.boxes.requires_grad
    sum(model.losses(output, TARGETS, F.cross_entropy).values()).backward()
    assert all(parameter.grad is None for parameter in model.proposals.parameters())
    assert all(parameter.grad is not None for parameter in model.trunks.parameters())


def test_together_a_finer_loss_trains_the_proposal_and_leaves_the_coarser_trunk_alone():
    model = small(scales=2, train_mode="joint")
    let_learn(model, phase_of(model, "joint"))
    F.cross_entropy(model(pictures()).scale_logits[:, 1], TARGETS).backward()
    slopes = [parameter.grad for parameter in model.proposals.parameters()]
    assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes)
    moved = [any(p.grad.any() for p in trunk.parameters()) for trunk in model.trunks]
    assert moved == [False, True]


# Losses


def probability(row, target):
    return math.exp(row[target]) / sum(math.exp(value) for value in row)


@pytest.mark.parametrize("form", ["probability", "log"])
def test_ranking_is_the_mean_of_the_formula_on_softmax_probabilities(form):
    model = small(rank_form=form, rank_margin=0.1, area_prior=0.5)
    output = model(pictures())
    terms = model.losses(output, TARGETS, F.cross_entropy)
    expected = 0.0
    for image, target in enumerate(TARGETS.tolist()):
        p = [probability(row, target) for row in output.scale_logits[image].tolist()]
        p = [math.log(value) for value in p] if form == "log" else p
        expected += sum(max(0.0, p[s] - p[s + 1] + 0.1) for s in range(2)) / 4
    assert terms["ranking"].item() == pytest.approx(expected, rel=1e-5)
    sides = output.features[:, :, 0, 2]
    assert terms["area"].item() == pytest.approx(0.5 * sides.square().mean().item())


def test_the_default_margin_is_the_papers():
    """Scales that are equally sure lose exactly the margin, 0.05 a pair."""
    model = small()
    output = model(pictures())
    same = output._replace(scale_logits=torch.zeros_like(output.scale_logits))
    ranking = model.losses(same, TARGETS, F.cross_entropy)["ranking"]
    assert ranking.item() == pytest.approx(2 * 0.05)


def test_ranking_holds_the_coarse_side_still():
    model = small(rank_margin=5.0)
    model.losses(model(pictures()), TARGETS, F.cross_entropy)["ranking"].backward()
    grad = [head.weight.grad for head in model.heads]
    assert grad[0] is None or not grad[0].any(), "a step must not make the first scale worse"
    assert grad[1].any()
    assert grad[2].any()


def test_cross_entropies_of_every_scale_and_of_a_head_on_the_descriptors():
    model = small(fusion="descriptors")
    output = model(pictures())
    terms = model.losses(output, TARGETS, F.cross_entropy)
    assert set(terms) == {"scale_1", "scale_2", "scale_3", "fused", "ranking"}
    torch.testing.assert_close(terms["fused"], F.cross_entropy(output.logits, TARGETS))
    expected = F.cross_entropy(output.scale_logits[:, 1], TARGETS)
    torch.testing.assert_close(terms["scale_2"], expected)


def test_pointing_pulls_proposals_to_the_strongest_response_of_their_view():
    model = small(half_side=0.3)
    let_learn(model, phase_of(model, "pointing"))
    features = []
    for trunk in model.trunks[:2]:
        trunk.register_forward_hook(lambda _module, _args, out: features.append(out))
    output = model(pictures())
    terms = model.losses(output, TARGETS, F.cross_entropy)
    assert set(terms) == {"pointing"}
    total = 0.0
    for scale in range(2):
        for image in range(4):
            mean = features[scale][image].mean(dim=0)
            row, column = divmod(int(mean.argmax()), mean.shape[1])
            goal = [2 * (place + 0.5) / mean.shape[0] - 1 for place in (column, row)]
            goal = [*(min(max(place, -0.7), 0.7) for place in goal), 0.3]
            for found, wanted in zip(output.features[image, scale, 0].tolist(), goal, strict=True):
                gap = abs(found - wanted)
                total += 0.5 * gap**2 if gap < 1 else gap - 0.5
    assert terms["pointing"].item() == pytest.approx(total / (4 * 2 * 3), rel=1e-4)


def test_the_warm_up_runs_the_first_scale_alone():
    model = small()
    let_learn(model, model.phases[0])
    inputs, output = seen_by(model, pictures())
    assert len(inputs) == 1
    terms = model.losses(output, TARGETS, F.cross_entropy)
    assert set(terms) == {"scale_1"}
    assert torch.equal(output.logits, output.scale_logits[:, 0])
    assert len(seen_by(model.eval(), pictures())[0]) == 3, "in validation all scales look"


# A planted problem


class Brightness(nn.Module):
    """Features that say how bright each place is: nothing to learn for the classifiers."""

    def forward(self, images):
        return F.avg_pool2d(images, 4)


def spots(count, seed, side=96):
    """Dim noise with one bright spot, and the spots' centers in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.1 * torch.rand(count, 3, side, side, generator=generator)
    centers = torch.rand(count, 2, generator=generator) * 1.6 - 0.8
    line = (2 * torch.arange(side) + 1) / side - 1
    squared = [(line - centers[:, axis, None]) ** 2 for axis in (0, 1)]
    distance = squared[1][:, :, None] + squared[0][:, None, :]
    return images + torch.exp(-distance / (2 * 0.15**2))[:, None], centers


@pytest.mark.parametrize(("mode", "form"), [("grid", "probability"), ("mask", "log")])
def test_the_ranking_loss_moves_the_boxes_of_unseen_images_onto_the_planted_target(mode, form):
    margin = 0.3 if form == "probability" else 1.0
    model = small(scales=2, crop_mode=mode, rank_form=form, rank_margin=margin, half_side=0.4)
    for scale in range(2):
        model.trunks[scale] = Brightness()
        model.heads[scale] = nn.Linear(3, 3)
        nn.init.zeros_(model.heads[scale].weight)
        nn.init.zeros_(model.heads[scale].bias)
        nn.init.constant_(model.heads[scale].weight[0], 2.0)  # the brighter the surer of class 0
    torch.manual_seed(0)
    head = type(model.proposals[0].head)(3)
    model.proposals[0].head = head
    let_learn(model, phase_of(model, "proposals"))
    optimizer = torch.optim.Adam(model.proposals.parameters(), lr=0.01)
    for step in range(150):
        images, _ = spots(32, seed=step)
        terms = model.losses(model(images), torch.zeros(32, dtype=torch.long), F.cross_entropy)
        optimizer.zero_grad()
        terms["ranking"].backward()
        optimizer.step()
    images, centers = spots(200, seed=10_000)
    with torch.no_grad():
        corners = model.eval()(images).boxes[:, 0]
    inside = ((centers >= corners[:, :2]) & (centers <= corners[:, 2:])).all(dim=1)
    assert inside.float().mean() >= 0.95


# Choices


def test_the_papers_proposal_is_an_option():
    model = small(apn="paper", size=32, scales=2)
    assert type(model.proposals[0].head).__name__ == "FullyConnectedHead"
    assert model.training
    assert model.eval()(pictures()).boxes.shape == (4, 1, 4)
    with pytest.raises(LookcloserError, match="apn paper: not without a size"):
        small(apn="paper", size=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": 1}, "scales 1: not possible. Allowed: 2 or more"),
        ({"half_side": 0.8}, "half_side 0.8"),
        ({"crop_mode": "gird"}, "gird: unknown crop_mode. Close: grid"),
        ({"apn": "heavy"}, "heavy: unknown apn"),
        ({"train_mode": "alternating"}, "unknown train_mode. Close: alternate"),
        ({"rank_form": "logit"}, "logit: unknown rank_form"),
        ({"fusion": "max"}, "max: unknown fusion"),
    ],
)
def test_wrong_values_are_named(arguments, message):
    with pytest.raises(LookcloserError, match=message):
        small(**arguments)


# Defaults that are the paper's


def sure(*chances):
    """Logits (1, S, 3) with which each scale gives class 0 a probability of ``chances``."""
    chances = torch.tensor(chances, dtype=torch.float64)
    others = torch.stack([chances, (1 - chances) / 2, (1 - chances) / 2], dim=-1)
    return others.log()[None]


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ((0.5, 0.5, 0.5), 0.05 + 0.05),
        ((0.5, 0.54, 0.54), 0.01 + 0.05),
        ((0.5, 0.56, 0.62), 0.0),
        ((0.7, 0.5, 0.56), 0.25),
    ],
)
def test_the_default_margin_is_that_of_the_paper(chances, expected):
    """Each scale is to be surer of the true class than the one before by 0.05, as in the paper."""
    logits = sure(*chances)
    output = Output(logits[:, 0], scale_logits=logits, features=torch.zeros(1, 2, 2, 3).double())
    model = small()
    model.phase = "proposals"
    terms = model.losses(output, torch.tensor([0]), F.cross_entropy)
    assert set(terms) == {"ranking"}
    assert terms["ranking"].item() == pytest.approx(expected, abs=1e-12)


def test_by_default_it_is_given_more_pixels_than_it_sees_at_once():
    assert RACNN.source_factor == 2
