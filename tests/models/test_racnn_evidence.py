"""RA-CNN by evidence: what each scale sees, where the finer one looks, and what learns."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.layers import crop_and_zoom
from lookcloser.models import RACNN
from lookcloser.models.racnn.evidence import shaken
from lookcloser.training.callbacks.phases import let_learn

TARGETS = torch.tensor([0, 2, 1, 2])


def small(**arguments):
    torch.manual_seed(0)
    options = {"apn": "evidence", "stride": 8, "size": 32, **arguments}
    return RACNN(3, RACNN.Options("test_resnet", **options))


def images(count=4, side=64):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def as_center(corners):
    center = (corners[..., :2] + corners[..., 2:]) / 2
    return torch.cat((center, (corners[..., 2:3] - corners[..., :1]) / 2), dim=-1)


def test_the_first_scale_sees_all_pixels_and_the_second_its_box_of_them():
    model, seen = small(half_side=0.3).eval(), []
    nn.init.normal_(model.proposals[0].finder.weight)
    for trunk in model.trunks:
        trunk.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.no_grad():
        output = model(images())
    boxes = as_center(output.boxes[:, 0])
    assert torch.equal(seen[0], images())
    torch.testing.assert_close(seen[1], crop_and_zoom(images(), boxes, 32))
    assert boxes[:, :2].abs().max() <= 0.7 + 1e-6
    assert boxes[:, :2].std(dim=0).max() > 0.05, "not the same box for every image"


class Brightness(nn.Module):
    """Two channels: how bright each place is, and how dark."""

    def forward(self, pixels):
        mean = F.avg_pool2d(pixels, 8).mean(dim=1, keepdim=True)
        return torch.cat([mean.relu(), (1 - mean).relu()], dim=1)


@pytest.mark.parametrize("place", [(1, 2), (5, 6), (7, 0)])
def test_the_box_lies_where_a_class_is_likeliest_against_elsewhere(place):
    model = small(half_side=0.25).eval()
    model.trunks[0] = Brightness()
    model.heads[0] = nn.Linear(2, 3)
    finder = model.proposals[0].finder
    finder.weight = nn.Parameter(torch.tensor([[0.0, 0.0], [3.0, -3.0], [0.0, 0.0], [-3.0, 3.0]]))
    row, column = place
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 1.0
    with torch.no_grad():
        box = as_center(model(pixels).boxes[0, 0])
    expected = [min(max((2 * value + 1) / 8 - 1, -0.75), 0.75) for value in (column, row)]
    assert box.tolist() == pytest.approx([*expected, 0.25])


def test_the_answer_is_the_finer_scales_and_its_map_says_so():
    """Without a finder the box is in the corner, on the edges of the canvas' cells."""
    model = small(half_side=0.5).eval()
    for head in model.heads:
        nn.init.normal_(head.weight)
        nn.init.normal_(head.bias)
    nn.init.zeros_(model.proposals[0].finder.weight)
    with torch.no_grad():
        output = model(images())
    torch.testing.assert_close(as_center(output.boxes[:, 0]), torch.tensor([[-0.5, -0.5, 0.5]] * 4))
    assert torch.equal(output.logits, output.scale_logits[:, 1])
    found = output.maps.mean(dim=(2, 3)) + model.heads[1].bias.detach()
    torch.testing.assert_close(found, output.logits, rtol=1e-4, atol=1e-4)
    assert not output.maps[:, :, 8:, 8:].any(), "where it did not look"


def test_the_finer_scale_alone_learns():
    model = small().train()
    (phase,) = model.phases
    let_learn(model, phase)
    terms = model.losses(model(images()), TARGETS, F.cross_entropy)
    assert set(terms) == {"scale_2"}
    terms["scale_2"].backward()
    learning = {name for name, value in model.named_parameters() if value.grad is not None}
    own = {name for name, _ in model.named_parameters() if name.startswith(("trunks.1", "heads.1"))}
    assert learning == own
    assert not model.trunks[0].training


def test_what_a_scale_says_at_a_box_is_what_it_says_when_it_looks_there():
    model = small().eval()
    nn.init.normal_(model.proposals[0].finder.weight)
    with torch.no_grad():
        output = model(images())
        found = model.logits_at(images(), as_center(output.boxes))
    torch.testing.assert_close(found, output.scale_logits)


def test_boxes_are_shaken_in_training_alone_the_same_for_a_seed_and_stay_inside():
    boxes = torch.tensor([[0.7, -0.7, 0.3], [0.0, 0.1, 0.3], [-0.7, 0.2, 0.3]]).repeat(50, 1)
    torch.manual_seed(3)
    one = shaken(boxes)
    torch.manual_seed(3)
    assert torch.equal(one, shaken(boxes))
    assert (one[:, :2].abs() + one[:, 2:] <= 1 + 1e-6).all()
    assert (one != boxes).any(dim=1).all()
    assert (one[:, :2] - boxes[:, :2]).abs().max() < 0.3 * 0.4
    model = small()
    model.proposals.train()
    features = torch.rand(2, model.trunks[0].width, 8, 8)
    assert not torch.equal(model.proposals[0](features), model.proposals[0](features))
    model.eval()
    assert torch.equal(model.proposals[0](features), model.proposals[0](features))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": 3}, "scales 3: not with evidence"),
        ({"fusion": "descriptors"}, "fusion descriptors: not with evidence"),
        ({"train_mode": "alternate"}, "train_mode alternate: not with evidence"),
    ],
)
def test_what_does_not_go_with_it_is_named(arguments, message):
    with pytest.raises(LookcloserError, match=message):
        small(**arguments)
