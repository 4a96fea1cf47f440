import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.sizes import Grid
from lookcloser.models import (
    CAM,
    Backbone,
    load_backbone_weights,
    load_model_file,
    save_model_file,
)
from lookcloser.models import backbone as making
from lookcloser.models import weights as module
from lookcloser.models.backbone import in_channels_last, normalization
from lookcloser.models.weights import timm_classifier


def test_features_are_timms_own():
    torch.manual_seed(0)
    backbone, images = Backbone("test_resnet").eval(), torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(backbone(images), backbone.net.forward_features(images))
    assert backbone.width == backbone(images).shape[1]


def test_tokens_go_back_to_their_places():
    torch.manual_seed(0)
    backbone, images = Backbone("vit_tiny_patch16_224").eval(), torch.randn(1, 3, 64, 96)
    tokens = backbone.net.forward_features(images)
    grid = backbone(images)
    assert grid.shape == (1, 192, 4, 6)
    assert torch.equal(grid[0, :, 2, 5], tokens[0, 1 + 2 * 6 + 5])


@pytest.mark.parametrize("size", [(17, 160), (160, 17), (33, 100)])
def test_token_grids_of_long_images(size):
    backbone = Backbone("vit_tiny_patch16_224").eval()
    rows, columns = (-(-side // 16) for side in size)
    assert backbone(torch.zeros(1, 3, *size)).shape[2:] == (rows, columns)


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_patch16_224"])
def test_the_grid_of_a_size_is_that_of_its_features(name):
    backbone = Backbone(name).double().train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    grid = backbone.grid(Grid(64, 97))
    assert grid == tuple(backbone.eval()(torch.zeros(1, 3, 64, 97).double()).shape[2:])
    assert backbone.train().training
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), "a look at the size moves no statistics"


def test_channels_last_features_are_transposed():
    torch.manual_seed(0)
    backbone, images = Backbone("swin_tiny_patch4_window7_224").eval(), torch.randn(1, 3, 224, 224)
    raw = backbone.net.forward_features(images)
    torch.testing.assert_close(backbone(images), raw.permute(0, 3, 1, 2))


def test_a_norm_after_pooling_comes_before_it():
    torch.manual_seed(0)
    backbone, images = Backbone("convnext_atto").eval(), torch.randn(1, 3, 64, 64)
    raw = backbone.net.forward_features(images)
    torch.testing.assert_close(backbone(images), backbone.net.head.norm(raw))


@pytest.mark.parametrize(("stride", "cells", "width"), [(4, 16, 64), (8, 8, 128), (31, 4, 256)])
def test_a_stride_cuts_the_network(stride, cells, width):
    whole, cut = Backbone("resnet18"), Backbone("resnet18", stride=stride)
    assert cut(torch.zeros(1, 3, 64, 64)).shape == (1, width, cells, cells)
    assert cut.width == width
    count = [sum(p.numel() for p in backbone.parameters()) for backbone in (whole, cut)]
    assert count[1] < count[0] / 3


def test_a_cut_network_still_takes_the_weights_of_the_whole(tmp_path):
    torch.manual_seed(0)
    whole = timm.create_model("resnet18", num_classes=10)
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    cut = Backbone("resnet18", stride=8)
    load_backbone_weights(cut, str(tmp_path / "w.safetensors"))
    images = torch.randn(1, 3, 64, 64)
    expected = whole.eval().forward_intermediates(images, indices=[2], intermediates_only=True)[0]
    torch.testing.assert_close(cut.eval()(images), expected)


# ---- only what the features need

DEAD = [
    "vgg11",
    "mobilenetv3_small_050",
    "ghostnet_050",
    "lcnet_035",
    "hgnetv2_b0",
    "resnet50_clip",
    "volo_d1_224",
    "crossvit_9_240",
    "coat_lite_tiny",
]
NARROW = {"vgg11": {"mlp_ratio": 1 / 128}}  # else one of its layers has 100 million weights
LIVING = ["resnet18", "convnext_atto", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]


def needs_a_map_from(name):
    """Skip where this timm has no way to put the network's tokens on a grid."""
    kind = timm.models.model_entrypoint(name).__module__
    if name in ("crossvit_9_240", "coat_lite_tiny") and not any(
        hasattr(value, "forward_intermediates") for value in vars(sys.modules[kind]).values()
    ):
        pytest.skip(f"{name} has no maps in timm {timm.__version__}; from 1.0.31 on it has")


@pytest.mark.parametrize("name", [*DEAD, *LIVING, "test_efficientnet"])
def test_every_parameter_gets_a_gradient(name):
    needs_a_map_from(name)
    torch.manual_seed(0)
    model = CAM(2, CAM.Options(name, model_kwargs=NARROW.get(name, {}))).train()
    side = 64 if timm.get_pretrained_cfg(name).fixed_input_size is False else None
    side = side or timm.get_pretrained_cfg(name).input_size[-1]
    model(torch.randn(2, 3, side, side)).logits[:, 0].sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []


def test_every_parameter_of_a_cut_network_gets_a_gradient():
    torch.manual_seed(0)
    model = CAM(2, CAM.Options("mobilenetv3_small_050", stride=8)).train()
    model(torch.randn(2, 3, 64, 64)).logits[:, 0].sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize("name", DEAD[:6])
def test_what_is_taken_out_changes_no_feature(name):
    torch.manual_seed(0)
    options = NARROW.get(name, {})
    whole = timm.create_model(name, num_classes=0, **options).eval()
    backbone = Backbone(name, options=options).eval()
    extra = backbone.dropped
    assert extra
    assert set(backbone.net.state_dict()) == set(whole.state_dict()) - extra
    backbone.load_state_dict({f"net.{key}": value for key, value in whole.state_dict().items()})
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), whole.forward_features(images))


@pytest.mark.parametrize("name", LIVING)
def test_nothing_is_taken_out_of_a_network_that_needs_all(name):
    assert Backbone(name).dropped == frozenset()


def test_vgg_has_no_fully_connected_layers():
    convolutions = timm.create_model("vgg11", num_classes=0, **NARROW["vgg11"]).features
    backbone = Backbone("vgg11", options=NARROW["vgg11"])
    assert {name.removeprefix("net.features.") for name, _ in backbone.named_parameters()} == {
        name for name, _ in convolutions.named_parameters()
    }


@pytest.fixture
def traces(monkeypatch):
    """The sizes that are traced from here on, with nothing known of any network."""
    found, real = [], making.traced

    def noted(module, size):
        found.append(size)
        return real(module, size)

    monkeypatch.setattr(making, "_KNOWN", {})
    monkeypatch.setattr(making, "traced", noted)
    return found


@pytest.mark.parametrize("name", ["lcnet_035", "coat_lite_tiny", "test_vit", "test_convnext"])
def test_a_second_network_is_as_the_first_without_a_trace(traces, name):
    needs_a_map_from(name)
    first = Backbone(name)
    count = len(traces)
    second = Backbone(name)
    assert len(traces) == count > 0
    assert (second.width, second.own_map, second.dropped) == (
        first.width,
        first.own_map,
        first.dropped,
    )
    assert str(second) == str(first)
    for kind in ("named_parameters", "named_buffers"):
        names = [[key for key, _ in getattr(one, kind)()] for one in (first, second)]
        assert names[0] == names[1], kind


def test_what_is_known_is_of_the_same_arguments_and_code(monkeypatch):
    monkeypatch.setattr(making, "_KNOWN", {})
    make = timm.models.model_entrypoint("test_resnet")
    widths = {Backbone("test_resnet").width, Backbone("test_resnet", stride=8).width}
    widths.add(Backbone("test_resnet", options={"channels": (16, 24, 32, 40)}).width)
    registry = timm.models._registry._model_entrypoints
    monkeypatch.setitem(registry, "test_resnet", lambda **given: make(channels=[8] * 4, **given))
    widths.add(Backbone("test_resnet").width)
    assert widths == {96, 48, 40, 8}
    assert len(making._KNOWN) == 4


def test_construction_leaves_the_generator_and_the_modes_alone(traces):
    torch.manual_seed(1)
    timm.create_model("hgnetv2_b0", num_classes=0)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    backbone = Backbone("hgnetv2_b0")
    assert torch.equal(torch.get_rng_state(), after)
    assert all(module.training for module in backbone.modules())
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(parameter.is_meta for parameter in backbone.parameters())


def as_once_saved(model, path):
    """A model file from before, which holds all of timm's network."""
    whole = timm.create_model(model.backbone.name, num_classes=0).state_dict()
    state = {f"backbone.net.{key}": value for key, value in whole.items()} | model.state_dict()
    arguments = {"num_classes": 2, "backbone": model.backbone.name}
    return save_model_file(path, state, ModelHeader("cam", arguments, "classification", ("a", "b")))


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "hgnetv2_b0"])
def test_files_with_the_layers_that_are_gone_are_still_read(name, tmp_path):
    torch.manual_seed(0)
    model, images = CAM(2, CAM.Options(name)).eval(), torch.randn(1, 3, 64, 64)
    path = as_once_saved(model, tmp_path / "m.safetensors")
    loaded, _ = load_model_file(path)
    with torch.no_grad():
        assert torch.equal(loaded(images).logits, model(images).logits)
    backbone = Backbone(name)
    load_backbone_weights(backbone, str(path))
    assert torch.equal(next(backbone.parameters()), next(model.backbone.parameters()))


def test_only_the_layers_that_are_gone_are_passed_over():
    backbone = Backbone("mobilenetv3_small_050")
    state = backbone.state_dict()
    with pytest.raises(RuntimeError, match=r"Unexpected.*net\.conv_tail\.weight"):
        backbone.load_state_dict(state | {"net.conv_tail.weight": torch.zeros(1)})
    state.pop("net.conv_stem.weight")
    with pytest.raises(RuntimeError, match=r"Missing.*net\.conv_stem\.weight"):
        backbone.load_state_dict(state)


# ---- one map of features, in the order of the image


@pytest.mark.filterwarnings("ignore:Initializing zero-element")  # older versions of timm
def test_a_norm_behind_a_hidden_layer_is_not_of_the_features():
    torch.manual_seed(0)
    backbone, images = Backbone("inception_next_atto").eval(), torch.randn(1, 3, 64, 64)
    assert any(name.startswith("head.norm") for name in backbone.dropped)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), backbone.net.forward_features(images))


@pytest.mark.parametrize("name", ["hiera_tiny_224", "mambaout_femto"])
def test_a_norm_over_the_last_axis_comes_before_the_pooling_too(name):
    torch.manual_seed(0)
    backbone, images = Backbone(name).eval(), torch.randn(1, 3, 224, 224)
    raw = backbone.net.forward_features(images).reshape(1, 49, -1)
    torch.testing.assert_close(
        backbone(images).mean(dim=(2, 3)), backbone.net.head.norm(raw).mean(dim=1)
    )


@pytest.mark.parametrize(
    ("name", "width", "cells"),
    [
        ("hiera_tiny_224", 768, 7),  # tokens in an order of its own
        ("volo_d1_224", 384, 14),  # a class token that it does not count
        ("crossvit_9_240", 256, 14),  # two maps, of which the last is taken
        ("coat_lite_tiny", 320, 7),
        ("mixer_s16_224", 512, 14),
    ],
)
def test_a_change_in_a_corner_moves_the_map_there(name, width, cells):
    needs_a_map_from(name)
    torch.manual_seed(0)
    backbone, side = Backbone(name).eval(), timm.get_pretrained_cfg(name).input_size[-1]
    assert backbone.width == width
    image = torch.randn(1, 3, side, side)
    with torch.no_grad():
        before = backbone(image)
        assert before.shape == (1, width, cells, cells)
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            changed = image.clone()
            half = side // 2
            changed[:, :, y * half : y * half + half, x * half : x * half + half] += 2
            moved = (backbone(changed) - before).abs().mean(dim=1, keepdim=True)
            quadrants = torch.nn.functional.adaptive_avg_pool2d(moved, 2)[0, 0]
            assert quadrants.argmax() == 2 * y + x


def test_a_network_without_a_map_is_refused(monkeypatch):
    class Flat(torch.nn.Module):
        num_features = 8

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 8)

        def forward_features(self, images):
            return self.layer(images.mean(dim=(2, 3)))

    monkeypatch.setattr(timm, "create_model", lambda *_given, **_options: Flat())
    with pytest.raises(LookcloserError, match="does not put out one map of features"):
        Backbone("resnet18")


# ---- before a training begins


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("mixer_s16_224", (128, 128), r"takes no images of 128×128 .*--size 224.*img_size=128"),
        ("levit_128s", (128, 128), r"takes no images of 128×128"),
        ("gcvit_xxtiny", (128, 128), r"takes no images of 128×128"),
    ],
)
def test_sizes_that_a_network_does_not_take_are_named(name, size, message):
    with pytest.raises(LookcloserError, match=message):
        Backbone(name).check(size)


def test_the_advice_on_sizes_is_good():
    backbone = Backbone("mixer_s16_224", options={"img_size": 128})
    backbone.check(Grid(128, 128))
    assert backbone(torch.zeros(1, 3, 128, 128)).shape == (1, 512, 8, 8)


def test_batch_norm_needs_more_than_one_value():
    backbone = Backbone("test_resnet")
    with pytest.raises(LookcloserError, match="batch norm of test_resnet .*--freeze-norm"):
        backbone.check(Grid(16, 16), batch=1)
    backbone.check(Grid(16, 16), batch=2)
    backbone.check(Grid(96, 96), batch=1)
    Backbone("convnext_atto").check(Grid(32, 32), batch=1)  # it has no batch norm


def test_weights_of_five_axes_are_left_in_their_layout():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv3d(3, 4, 3))
    five = network[1].weight.clone()
    assert in_channels_last(network) is network
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(network[1].weight, five)
    assert network[1].weight.is_contiguous()


def test_the_normalization_is_timms_or_imagenets():
    assert normalization("vit_tiny_patch16_224") == ((0.5,) * 3, (0.5,) * 3)
    assert normalization("two-block") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Backbone("resnt18"), "resnt18: unknown backbone. Close: resnet18"),
        (lambda: Backbone("vit_tiny_patch16_224", stride=8), r"stride 8: .* strides \[16\]"),
        (
            lambda: Backbone("resnet18", options={"paddding": 1}),
            r"not arguments of .*model_kwargs",
        ),
        (lambda: Backbone("resnet18", options={"pretrained": True}), "pretrained: not allowed"),
        (
            lambda: Backbone("resnet18", options={"in_chans": 1}),
            "in_chans=1: images are given in three channels",
        ),
    ],
)
def test_what_timm_does_not_know_is_named(call, message):
    with pytest.raises(LookcloserError, match=message):
        call()


def test_the_class_map_identity_of_the_paper():
    torch.manual_seed(0)
    model, images = CAM(6, CAM.Options("test_resnet")).eval(), torch.randn(2, 3, 96, 64)
    output = model(images)
    torch.testing.assert_close(output.maps.mean(dim=(2, 3)) + model.head.bias, output.logits)
    features = model.backbone(images)
    by_hand = sum(model.head.weight[2, d] * features[:, d] for d in range(model.backbone.width))
    torch.testing.assert_close(output.maps[:, 2], by_hand)


def test_a_map_moves_with_the_object():
    torch.manual_seed(0)
    model = CAM(2, CAM.Options("test_resnet", stride=8)).eval()
    picture = torch.zeros(1, 3, 128, 128)
    picture[:, :, 40:56, 40:56] = torch.randn(3, 16, 16)
    moved = model(picture.roll(32, dims=3)).maps[0, 0]
    torch.testing.assert_close(moved[:, 6:14], model(picture).maps[0, 0][:, 2:10])


class TestWeights:
    def test_a_file_without_its_classifier_is_enough(self, tmp_path):
        torch.manual_seed(0)
        whole = timm.create_model("test_resnet", num_classes=10)
        save_file(whole.state_dict(), tmp_path / "w.safetensors")
        backbone = Backbone("test_resnet")
        load_backbone_weights(backbone, str(tmp_path / "w.safetensors"))
        for name, value in backbone.net.state_dict().items():
            assert torch.equal(value, whole.state_dict()[name]), name

    def test_a_saved_lookcloser_model_gives_its_backbone(self, tmp_path):
        torch.manual_seed(0)
        model = CAM(4, CAM.Options("test_resnet"))
        save_file(model.state_dict(), tmp_path / "m.safetensors")
        backbone = Backbone("test_resnet")
        load_backbone_weights(backbone, str(tmp_path / "m.safetensors"))
        assert torch.equal(backbone.net.conv1[0].weight, model.backbone.net.conv1[0].weight)

    def test_none_changes_nothing(self):
        backbone = Backbone("test_resnet")
        before = {name: value.clone() for name, value in backbone.state_dict().items()}
        assert load_backbone_weights(backbone, "none") == "none"
        assert all(
            torch.equal(value, before[name]) for name, value in backbone.state_dict().items()
        )

    def test_weights_of_another_network_are_named(self, tmp_path):
        save_file(timm.create_model("test_convnext").state_dict(), tmp_path / "w.safetensors")
        with pytest.raises(
            LookcloserError, match=r"w\.safetensors: \d+ of \d+ tensors of test_resnet"
        ):
            load_backbone_weights(Backbone("test_resnet"), str(tmp_path / "w.safetensors"))

    def test_a_missing_file(self):
        with pytest.raises(
            LookcloserError, match=r"no such file of weights. Allowed: pretrained, none or"
        ):
            load_backbone_weights(Backbone("test_resnet"), "nowhere.safetensors")

    def test_a_pickle_is_refused_unread(self, tmp_path):
        torch.save({"x": torch.zeros(1)}, tmp_path / "w.pth")
        with pytest.raises(LookcloserError, match="not a .safetensors file.*may hold code"):
            load_backbone_weights(Backbone("test_resnet"), str(tmp_path / "w.pth"))

    def test_offline_says_what_to_do_instead_and_soon(self, monkeypatch):
        monkeypatch.setattr(module, "_cached", lambda _repository: False)
        monkeypatch.setattr(module, "_hub_answers", lambda: False)
        monkeypatch.setattr(
            timm, "create_model", lambda *_a, **_k: pytest.fail("must not try to download")
        )
        backbone = torch.nn.Module()
        backbone.name = "resnet18"
        with pytest.raises(LookcloserError, match=r"cannot be reached.*weights none.*weights FILE"):
            load_backbone_weights(backbone, "pretrained")

    def test_the_offline_switch_of_the_hub_is_honored_without_a_try(self, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(
            module.socket, "create_connection", lambda *_a, **_k: pytest.fail("tried the network")
        )
        assert not module._hub_answers()

    def test_a_backbone_that_has_no_weights(self):
        with pytest.raises(LookcloserError, match="timm has no pretrained weights for it"):
            load_backbone_weights(Backbone("botnet50ts_256"), "pretrained")


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_path": "a.pth"},
        {"pretrained_cfg": {"file": "a.pth"}},
        {"pretrained_cfg_overlay": {"url": "https://example.org/a.pth"}},
        {"pretrained": True},
        {"cache_dir": "."},
        {"embed_args": {"file": "a.pth"}},
        {"stages": [{"weights_path": "a"}]},
    ],
)
@pytest.mark.parametrize("make", [Backbone, timm_classifier])
def test_no_argument_makes_timm_read_a_file(make, options):
    given = {"weights": "none"} if make is timm_classifier else {}
    with pytest.raises(UsageError, match=r"not allowed among the backbone's arguments.*--weights"):
        make("test_resnet", options=options, **given)


def test_arguments_of_a_backbone_are_plain_values():
    with pytest.raises(UsageError, match="act_layer.*not possible"):
        Backbone("test_resnet", options={"act_layer": torch.nn.ReLU})
    assert Backbone("test_resnet", options={"drop_path_rate": 0.1}).width
