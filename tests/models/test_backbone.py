import pytest
import timm
import torch
from safetensors.torch import save_file

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.models import CAM, Backbone, load_backbone_weights
from lookcloser.models import weights as module
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
    grid = backbone.grid((64, 97))
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Backbone("resnt18"), "resnt18: unknown backbone. Close: resnet18"),
        (lambda: Backbone("vit_tiny_patch16_224", stride=8), r"stride 8: .* strides \[16\]"),
        (
            lambda: Backbone("resnet18", options={"paddding": 1}),
            r"not arguments of .*--model-kwargs",
        ),
        (lambda: Backbone("resnet18", options={"pretrained": True}), "pretrained: not allowed"),
    ],
)
def test_what_timm_does_not_know_is_named(call, message):
    with pytest.raises(LookcloserError, match=message):
        call()


def test_the_class_map_identity_of_the_paper():
    torch.manual_seed(0)
    model, images = CAM(6, "test_resnet").eval(), torch.randn(2, 3, 96, 64)
    output = model(images)
    torch.testing.assert_close(output.maps.mean(dim=(2, 3)) + model.head.bias, output.logits)
    features = model.backbone(images)
    by_hand = sum(model.head.weight[2, d] * features[:, d] for d in range(model.backbone.width))
    torch.testing.assert_close(output.maps[:, 2], by_hand)


def test_a_map_moves_with_the_object():
    torch.manual_seed(0)
    model = CAM(2, "test_resnet", stride=8).eval()
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
        model = CAM(4, "test_resnet")
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
        with pytest.raises(
            LookcloserError, match=r"cannot be reached.*--weights none.*--weights FILE"
        ):
            load_backbone_weights(backbone, "pretrained")

    def test_the_offline_switch_of_the_hub_is_honoured_without_a_try(self, monkeypatch):
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
