import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.layers.class_head import ClassHead
from lookcloser.models import Backbone, FeedbackNet
from lookcloser.models.feedback.attention import (
    control_attention,
    feedback_attention,
    selected_map,
)
from lookcloser.models.feedback.stages import BackboneStages
from lookcloser.models.feedback.two_block import TwoBlock

KINDS = ["resnet18", "mobilenetv2_100", "convnext_atto", "vit_tiny_patch16_224"]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(backbone="test_resnet", **arguments):
    """With a head that is strong enough for a clear attention."""
    torch.manual_seed(0)
    model = FeedbackNet(4, FeedbackNet.Options(backbone, **arguments)).eval()
    nn.init.normal_(model.head.weight, std=2.0)
    return model


# ---- the cut


OTHERS = ["densenet121", "swin_tiny_patch4_window7_224", "eva02_tiny_patch14_224"]


@pytest.mark.parametrize("name", [*KINDS, *OTHERS])
def test_early_and_late_are_the_backbone(name):
    """Tokens, channels last, rotary positions, nested stages."""
    torch.manual_seed(0)
    backbone = Backbone(name).eval()
    keys, stages = list(backbone.state_dict()), BackboneStages(backbone)
    images = random(2, 3, 224, 224) if "swin" in name else random(2, 3, 64, 96)
    with torch.no_grad():
        parts = stages.late(stages.early(images), images.shape[-2:])
        torch.testing.assert_close(parts, backbone(images))
    assert list(backbone.state_dict()) == keys


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_each_stage_can_be_cut_behind(stage):
    torch.manual_seed(0)
    backbone = Backbone("resnet18").eval()
    stages, images = BackboneStages(backbone, stage), random(1, 3, 64, 64)
    with torch.no_grad():
        raw = stages.early(images)
        known = backbone.net.forward_intermediates(images, indices=[stage])[1][0]
        torch.testing.assert_close(raw, known)
        torch.testing.assert_close(stages.late(raw, images.shape[-2:]), backbone(images))


def test_a_backbone_that_is_cut_by_its_stride_has_fewer_stages():
    backbone = Backbone("resnet18", stride=8).eval()
    stages, images = BackboneStages(backbone), random(1, 3, 64, 64)
    with torch.no_grad():
        assert stages.early(images).shape == (1, 64, 16, 16)  # the middle one of three
        parts = stages.late(stages.early(images), images.shape[-2:])
        torch.testing.assert_close(parts, backbone(images))
    with pytest.raises(LookcloserError, match="stage 2: resnet18 .* behind it. Allowed: 0 to 1"):
        BackboneStages(backbone, 2)


def test_each_part_costs_its_share_only():
    model = build("resnet18")
    calls = dict.fromkeys(("conv1", "layer2", "layer3", "layer4"), 0)

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    for name in calls:
        model.backbone.net.get_submodule(name).register_forward_hook(count(name))
    model(random(1, 3, 64, 64))
    assert calls == {"conv1": 1, "layer2": 1, "layer3": 2, "layer4": 2}


def test_a_copy_looks_through_its_own_weights():
    model, images = build(), random(2, 3, 64, 64)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        before = model(images).logits
        for weight in twin.parameters():
            weight.mul_(0.5)
        assert torch.equal(model(images).logits, before)
        assert not torch.allclose(twin(images).logits, before)


def test_weights_are_there_once():
    names = [name for name, _ in build().named_parameters()]
    assert {name.split(".")[0] for name in names} == {"backbone", "head"}
    assert all(name.startswith("backbone.net.") for name in names if "head" not in name)


def test_construction_leaves_modes_and_generator_alone():
    torch.manual_seed(3)
    backbone = Backbone("test_resnet").train()
    state, statistics = torch.get_rng_state(), copy.deepcopy(backbone.state_dict())
    BackboneStages(backbone)
    assert all(module.training for module in backbone.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, statistics[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize(
    ("name", "stage", "message"),
    [
        ("resnet18", 4, "stage 4: resnet18 has no such stage .* 0 to 3"),
        ("vit_tiny_patch16_224", 11, "stage 11: .* 0 to 10"),
        ("test_resnet", -1, "stage -1"),
        # Its blocks take the grid's size, which the cut does not hand over.
        ("xcit_nano_12_p16_224", None, "cannot be cut behind its stage 5 .*feedback_stage"),
        # Its tokens lie window by window, where an attention in reading order would be misplaced.
        ("hiera_tiny_224", None, "hiera_tiny_224: cannot be cut behind its stage 1"),
        # Its stages have names of modules that are not there.
        ("twins_svt_small", None, "twins_svt_small: cannot be cut behind"),
    ],
)
def test_what_cannot_be_cut_is_named(name, stage, message):
    with pytest.raises(LookcloserError, match=message):
        BackboneStages(Backbone(name), stage)


# ---- both passes


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("select", ["soft", "predicted"])
def test_the_answer_is_that_of_the_formula(name, select):
    """By hooks that replace the stage's output, and loops over images and classes."""
    model, images = build(name, feedback_select=select), random(2, 3, 64, 96)
    net = model.backbone.net
    info = net.feature_info
    stage = net.get_submodule(info[(len(info) - 1) // 2]["module"])
    weight, bias = model.head.weight, model.head.bias

    def attended(image):
        first = model.backbone(image)[0]
        logits = weight @ first.mean(dim=(1, 2)) + bias
        chosen = logits.softmax(0) if select == "soft" else F.one_hot(logits.argmax(), 4)
        evidence = sum(
            share * (row[:, None, None] * first).sum(0)
            for share, row in zip(chosen, weight, strict=True)
        )
        positive = (1 + evidence.exp()).log()

        def multiply(_module, _inputs, output):
            tokens = output.ndim == 3
            grid = (4, 6) if tokens else output.shape[2:]
            a = F.interpolate(positive[None, None], grid, mode="bilinear")
            a = a / a.mean()
            if tokens:
                return torch.cat([output[:, :1], output[:, 1:] * a.reshape(1, -1, 1)], dim=1)
            return output * a

        handle = stage.register_forward_hook(multiply)
        second = model.backbone(image)[0]
        handle.remove()
        return weight @ second.mean(dim=(1, 2)) + bias

    with torch.no_grad():
        expected = torch.stack([attended(image[None]) for image in images])
        first = model.head(model.backbone(images).mean(dim=(2, 3)))
        found = model(images)
    torch.testing.assert_close(found.logits, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found.logits, first, rtol=1e-2, atol=1e-2), "the second pass differs"


@pytest.mark.parametrize("backbone", ["test_resnet", "two-block"])
def test_logits_split_into_the_maps_of_the_second_pass(backbone):
    model = build(backbone).double()
    output = model(random(2, 3, 64, 64).double())
    torch.testing.assert_close(output.maps.mean(dim=(2, 3)) + model.head.bias, output.logits)


@pytest.mark.parametrize("backbone", ["test_resnet", "two-block"])
def test_training_begins_with_two_equal_passes(backbone):
    """Small weights of a new head give an even attention, so pretrained features are kept."""
    torch.manual_seed(0)
    model = FeedbackNet(4, FeedbackNet.Options(backbone)).eval()
    with torch.no_grad():
        output = model(random(2, 3, 64, 64))
        model.control = "ones"
        torch.testing.assert_close(
            output.logits, model(random(2, 3, 64, 64)).logits, atol=2e-2, rtol=0
        )
    assert (output.part_maps - 1).abs().max() < 0.2


def test_gradients_flow_through_the_attention():
    """The head is reached also through what it feeds back, not only through its last use."""
    model, images = build().double(), random(2, 3, 64, 64).double()
    model(images).logits[:, 0].sum().backward()
    other = model.head.weight.grad[1:].abs().sum()
    assert other > 1e-6, "classes that are not asked for act on the attention only"


def test_bfloat16_autocast_keeps_the_attention_in_float32():
    model, images = build(), random(2, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images)
    assert output.part_maps.dtype == torch.float32
    with torch.no_grad():
        exact = model(images)
    torch.testing.assert_close(output.part_maps, exact.part_maps, rtol=0.2, atol=0.05)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_feeds_back_too():
    model, images = build(), random(2, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(model, backend="eager")(images)
        torch.testing.assert_close(compiled.logits, model(images).logits)


@pytest.mark.parametrize("name", ["test_resnet", "two-block"])
def test_an_exported_network_feeds_back_too(name):
    model, images = build(name), random(2, 3, 64, 64)
    with torch.no_grad():
        exported = torch.export.export(model, (images,)).module()
        torch.testing.assert_close(exported(images).logits, model(images).logits)


# ---- the attention


def test_the_literal_form_is_constant_whatever_the_maps():
    """The trap: a softmax over C classes has the mean 1/C at every place."""
    for seed in range(5):
        maps = 30 * random(2, 10, 7, 5, seed=seed)
        attention = control_attention(
            maps, maps.mean(dim=(2, 3)), (14, 10), "soft", "literal", fresh=False
        )
        torch.testing.assert_close(attention, torch.full((2, 1, 14, 10), 1 / 7))


def test_the_literal_network_does_not_see_its_map():
    model = build("two-block", feedback_control="literal")
    output = model(random(3, 3, 28, 28))
    torch.testing.assert_close(output.part_maps, torch.full((3, 1, 13, 13), 1 / 15))


@pytest.mark.parametrize("select", ["soft", "predicted"])
def test_the_working_form_is_not_constant_and_has_mean_one(select):
    maps = 3 * random(2, 10, 7, 5)
    attention = feedback_attention(maps, maps.mean(dim=(2, 3)), (14, 10), select)
    torch.testing.assert_close(attention.mean(dim=(2, 3)), torch.ones(2, 1))
    assert attention.min() >= 0
    assert (attention.std(dim=(2, 3)) > 0.2).all()


def test_selection_is_on_the_maps_before_the_softmax():
    maps = random(2, 3, 2, 2)
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    p = logits.softmax(dim=1)
    for image in range(2):
        soft = sum(p[image, c] * maps[image, c] for c in range(3))
        torch.testing.assert_close(selected_map(maps, logits)[image, 0], soft)
    hard = selected_map(maps, logits, "predicted")
    assert torch.equal(hard[:, 0], torch.stack([maps[0, 1], maps[1, 0]]))


@pytest.mark.parametrize("backbone", ["two-block", "test_resnet"])
def test_the_attention_moves_with_the_object(backbone):
    model = build(backbone)
    gray = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        still = model(gray).part_maps
        centers = []
        for x, y in ((8, 8), (40, 8), (8, 40), (40, 40)):
            image = gray.clone()
            image[:, :, y : y + 16, x : x + 16] = 3.0
            change = (model(image).part_maps - still).abs()[0, 0]
            change = change * (change > 0.5 * change.max())
            side = change.shape[0]
            at = (torch.arange(side) + 0.5) * 64 / side
            total = change.sum()
            centers.append(
                ((change.sum(0) @ at / total).item(), (change.sum(1) @ at / total).item())
            )
    left_top, right_top, left_bottom, right_bottom = centers
    assert right_top[0] - left_top[0] > 10
    assert left_bottom[1] - left_top[1] > 10
    assert right_bottom[0] - left_bottom[0] > 10
    assert right_bottom[1] - right_top[1] > 10


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_no_evidence_at_all_is_an_even_attention(dtype):
    maps = torch.full((1, 3, 4, 4), -200.0, dtype=dtype)
    attention = feedback_attention(maps, maps.mean(dim=(2, 3)), (8, 8))
    assert torch.isfinite(attention).all()


# ---- controls


def test_ones_give_the_first_pass():
    model, images = build(feedback_control="ones"), random(2, 3, 64, 64)
    with torch.no_grad():
        output = model(images)
        expected = model.head(model.backbone(images).mean(dim=(2, 3)))
    assert torch.equal(output.part_maps, torch.ones_like(output.part_maps))
    torch.testing.assert_close(output.logits, expected)


def test_shuffled_has_the_same_values_elsewhere():
    maps = 3 * random(4, 5, 6, 6)
    logits = maps.mean(dim=(2, 3))
    true = feedback_attention(maps, logits, (6, 6)).flatten(1)

    def shuffled(fresh):
        found = control_attention(maps, logits, (6, 6), "soft", "shuffled", fresh=fresh)
        return found.flatten(1)

    torch.testing.assert_close(shuffled(False).sort().values, true.sort().values)
    assert not torch.allclose(shuffled(False), true, atol=0.1)
    assert torch.equal(shuffled(False), shuffled(False))
    # In training an order that stays could be learned: it is new for each image and each time.
    torch.manual_seed(0)
    first, second = shuffled(True), shuffled(True)
    orders = [row.argsort().tolist() for row in (*first, *second)]
    assert len({tuple(order) for order in orders}) == 8
    torch.testing.assert_close(first.sort().values, true.sort().values)
    torch.manual_seed(0)
    assert torch.equal(shuffled(True), first), "the same for a seed"


@pytest.mark.parametrize(
    ("std", "each"), [((1, 1, 1), (1, 1, 1)), ((0.5, 0.25, 1), (0.5, 0.25, 1)), (None, None)]
)
def test_noise_is_added_in_training_only_on_pixels_of_0_to_255(std, each):
    model = build("two-block", noise=2.5, std=std)
    seen = []
    model.backbone.block1[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = random(8, 3, 28, 28)
    model(images)
    assert seen[0] is images
    torch.manual_seed(1)
    model.train()(images)
    added = seen[1] - images
    for channel, deviation in enumerate(each or (0.229, 0.224, 0.225)):
        drawn = 255 * deviation * added[:, channel]
        assert drawn.std().item() == pytest.approx(2.5, rel=0.05)
        assert drawn.mean().item() == pytest.approx(0, abs=0.1)
    torch.manual_seed(1)
    model(images)
    assert torch.equal(seen[2], seen[1])


# ---- the small network


@pytest.mark.parametrize(
    ("size", "first", "last"),
    [
        ((28, 28), (13, 13), (7, 7)),
        ((40, 33), (19, 16), (10, 8)),
        ((64, 64), (31, 31), (16, 16)),
    ],
)
def test_sizes_follow_from_the_input(size, first, last):
    output = build("two-block")(random(2, 3, *size))
    assert output.part_maps.shape == (2, 1, *first)
    assert output.maps.shape == (2, 4, *last)


def normed(pooled):
    """Local response normalization by a loop over the channels."""
    expected = torch.empty_like(pooled)
    for channel in range(pooled.shape[1]):
        near = pooled[:, max(0, channel - 2) : channel + 3]  # five channels, zeros beyond the ends
        divisor = (2 + 1e-4 * (near**2).sum(dim=1)) ** 0.75  # of the sum, not of the mean
        expected[:, channel] = pooled[:, channel] / divisor
    return expected


def test_blocks_are_those_of_the_description():
    """Written down literally: 30 -> 28 -> 13 -> 17, and 17 -> 15 -> 7 -> 11."""
    torch.manual_seed(0)
    network, images = TwoBlock(1).eval().double(), random(2, 1, 28, 28).double()
    first, second = network.block1[0], network.block2[0]
    convolved = F.conv2d(F.pad(images, (1,) * 4), first.weight, first.bias).relu()
    block1 = F.pad(normed(F.max_pool2d(convolved, 3, 2)), (2,) * 4)
    assert block1.shape == (2, 32, 17, 17)
    expected_read = F.conv2d(block1, second.weight, second.bias).relu()
    block2 = F.pad(normed(F.max_pool2d(expected_read, 3, 2)), (2,) * 4)
    assert block2.shape == (2, 32, 11, 11)
    raw = network.early(images)
    features, read = network.look(raw, images.shape[-2:])
    torch.testing.assert_close(raw, block1[:, :, 2:-2, 2:-2])
    torch.testing.assert_close(read, expected_read)
    torch.testing.assert_close(features.mean(dim=(2, 3)), block2.mean(dim=(2, 3)))
    torch.testing.assert_close(features, network.late(raw, images.shape[-2:]))
    large = network.early(100 * images)  # where the divisor is far from a constant
    assert large.amax() < 0.5 * 100 * block1.amax()
    assert isinstance(network.dropout, nn.Dropout)
    assert network.dropout.p == 0.5


def test_the_passes_are_those_of_the_description():
    """The map is read between the ReLU and the pooling, and a ring is put around it."""
    model, images = build("two-block").double(), random(2, 3, 28, 28).double()
    block1, block2, head = model.backbone.block1, model.backbone.block2, model.head

    def second_block(early):
        convolved = F.conv2d(early, block2[0].weight, block2[0].bias).relu()
        pooled = F.pad(normed(F.max_pool2d(convolved, 3, 2)), (2,) * 4)
        return convolved, head(pooled.mean(dim=(2, 3)))

    with torch.no_grad():
        early = F.pad(block1(images), (2,) * 4)
        convolved, logits = second_block(early)
        maps = torch.einsum("bdhw,cd->bchw", convolved, head.weight)
        chosen = (logits.softmax(1)[:, :, None, None] * maps).sum(1, keepdim=True)
        attention = F.pad((1 + chosen.exp()).log(), (1,) * 4)
        attention = attention / attention[:, :, 2:-2, 2:-2].mean(dim=(2, 3), keepdim=True)
        _, expected = second_block(early * attention)
        found = model(images)
    torch.testing.assert_close(found.part_maps, attention[:, :, 2:-2, 2:-2])
    torch.testing.assert_close(found.logits, expected)
    assert not torch.allclose(found.logits, logits, rtol=1e-2), "the second pass differs"


def centers(weights):
    """(…, h, w) -> (…, 2): the center of mass as (row, column)."""
    total = weights.sum(dim=(-2, -1))
    rows, columns = (torch.arange(side).to(weights) for side in weights.shape[-2:])
    at = [(weights.sum(dim=-1) * rows).sum(-1), (weights.sum(dim=-2) * columns).sum(-1)]
    return torch.stack([each / total for each in at], dim=-1)


def spot(row, column, size=(28, 28)):
    """A black image with a bright spot of 3 × 3 pixels around (row, column)."""
    image = torch.zeros(1, 3, *size, dtype=torch.float64)
    image[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1
    return image


def spot_seeing_network(**arguments):
    """Two-block, with filters that show bright places where they are."""
    model = FeedbackNet(2, FeedbackNet.Options("two-block", **arguments)).double().eval()
    with torch.no_grad():
        for block in (model.backbone.block1, model.backbone.block2):
            block[0].weight.zero_()
            block[0].weight[:, :, 1, 1] = 1 / block[0].weight.shape[1]
            block[0].bias.zero_()
        model.head.weight.fill_(1.0)
    return model


PLACES = [(2, 2), (2, 25), (25, 2), (25, 25), (6, 14), (14, 14), (17, 9), (21, 24)]


@pytest.mark.parametrize(("row", "column"), PLACES)
def test_a_bright_spot_is_attended_where_it_lies(row, column):
    """To within half a position of the stage, each of which pools two pixels and their next."""
    model = spot_seeing_network()
    stage = []
    model.backbone.block1.register_forward_hook(lambda *given: stage.append(given[2]))
    with torch.no_grad():
        attention = model(spot(row, column)).part_maps[0, 0]
        even = model(0 * spot(row, column)).part_maps[0, 0]
    assert torch.allclose(even, torch.ones_like(even))
    change = attention - attention.amin()
    content = stage[0][0].mean(dim=0)
    assert (centers(change) - centers(content)).abs().max() < 0.1
    assert (2 * centers(change) + 1 - torch.tensor([row, column])).abs().max() < 1 + 1e-9


@pytest.mark.parametrize(("row", "column"), PLACES)
def test_the_evidence_of_a_bright_spot_is_where_it_lies(row, column):
    """The maps of the answer cover the image: no ring of zeros pushes them inwards."""
    with torch.no_grad():
        evidence = spot_seeing_network()(spot(row, column)).maps[0, 0]
    step = 28 / evidence.shape[0]
    at = (centers(evidence) + 0.5) * step - 0.5  # as a map is laid over its image
    assert (at - torch.tensor([row, column])).abs().max() <= step / 2


def test_nothing_is_dropped_from_the_map_that_is_fed_back():
    """In training the dropout comes behind the place of reading: only the selection is random."""
    model = build("two-block", feedback_select="predicted").train()
    model.head = ClassHead(32, 1)
    nn.init.normal_(model.head.weight, std=2.0, generator=torch.Generator().manual_seed(0))
    images = random(2, 3, 28, 28)
    with torch.no_grad():
        first, second = model(images), model(images)
    assert torch.equal(first.part_maps, second.part_maps)
    assert not torch.allclose(first.logits, second.logits), "but behind it is"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "two-block", "stride": 8}, "stride 8: not with the two-block"),
        ({"backbone": "two-block", "model_kwargs": {"a": 1}}, "model_kwargs .*two-block"),
        ({"backbone": "two-block", "feedback_stage": 1}, "feedback_stage 1: not with"),
        (
            {"feedback_select": "hard"},
            "hard: unknown feedback_select. There are: predicted, soft",
        ),
        ({"feedback_control": "one"}, "one: unknown feedback_control. Close: ones"),
        ({"noise": -1.0}, "noise -1.0: not possible. Allowed: 0 or more"),
    ],
)
def test_impossible_choices_are_named(arguments, message):
    with pytest.raises(LookcloserError, match=message):
        build(**arguments)


def test_unknown_names_of_the_functions():
    maps, logits = random(1, 2, 2, 2), random(1, 2)
    with pytest.raises(LookcloserError, match="hard: unknown way to select"):
        feedback_attention(maps, logits, (2, 2), "hard")
    with pytest.raises(LookcloserError, match="zeros: unknown feedback control"):
        control_attention(maps, logits, (2, 2), "soft", "zeros", fresh=False)
