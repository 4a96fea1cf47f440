import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.explain import gradcam, normalize
from lookcloser.recognizer import load

PICTURE = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)


def test_the_maps_are_those_of_the_view_on_the_network_itself(tmp_path):
    torch.manual_seed(3)
    net = timm.create_model("test_resnet").eval()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    found = load("timm:test_resnet", weights=str(tmp_path / "w.safetensors")).explain(
        PICTURE, ["gradcam"], target="7"
    )
    config = timm.data.resolve_model_data_config(net)
    side = config["input_size"][1]
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float(), (side, side),
        mode="bilinear", antialias=True,
    ).round() / 255  # fmt: skip
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    expected = normalize(gradcam(net, (resized - mean) / std, 7))[0]
    # The transform works in whole gray levels.
    np.testing.assert_allclose(found["gradcam"].heatmap, expected.numpy(), atol=0.05)
    with torch.no_grad():
        probability = net((resized - mean) / std).softmax(dim=1)[0, 7]
    assert found["gradcam"].score == pytest.approx(float(probability), abs=1e-3)


def test_imagenet_classes_have_names_and_are_found_by_them():
    found = load("timm:resnet18", weights="none").explain(PICTURE, ["cam"], target="tabby")
    assert "tabby" in found["cam"].label
    assert load("timm:resnet18", weights="none").explain(PICTURE).keys() == {
        "cam", "gradcam", "saliency",
    }  # fmt: skip


@pytest.fixture(scope="module")
def five():
    return load("timm:test_resnet", weights="none", model_kwargs={"num_classes": 5})


@pytest.mark.parametrize("target", ["class 3", "3", 3, np.int64(3), np.array(3), torch.tensor(3)])
def test_a_class_is_found_by_its_name_and_its_number_in_every_form(five, target):
    assert five.explain(PICTURE, ["gradcam"], target=target)["gradcam"].label == "class 3"
    (found,) = five.explain_labels(PICTURE, ["gradcam"], labels=[target])["gradcam"]
    assert found.label == "class 3"


@pytest.mark.parametrize("target", [-1, 5, True, 1.0, [1], "²", "-1", b"3"])
def test_what_is_no_class_is_refused(five, target):
    with pytest.raises(LookcloserError, match="target = |unknown class"):
        five.explain(PICTURE, ["gradcam"], target=target)


@pytest.mark.parametrize("views", ["cam", 3, [3], [["cam"]]])
def test_views_are_a_list_of_names(five, views):
    with pytest.raises(UsageError, match="views = |unknown view"):
        five.explain(PICTURE, views)
    with pytest.raises(UsageError, match="labels = 'class 1'"):
        five.explain_labels(PICTURE, ["cam"], labels="class 1")


@pytest.mark.parametrize("change", [{"weights": None}, {"weights": 3}, {"model_kwargs": "x"}])
def test_arguments_of_another_kind_are_refused(change):
    with pytest.raises(UsageError, match=f"{next(iter(change))} = "):
        load("timm:test_resnet", **{"weights": "none", **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "resnet5"}, "resnet50"),
        ({"name": "test_resnet.nope"}, "unknown backbone. Close: test_resnet"),
        ({"views": ["gradcan"]}, "gradcam"),
        ({"target": "unicornfish"}, "unknown class"),
        ({"weights": "missing.safetensors"}, "no such file"),
    ],
)
def test_what_is_wrong_is_named(change, words):
    arguments = {"name": "test_resnet", "views": ["gradcam"], "weights": "none", **change}
    with pytest.raises(LookcloserError, match=words):
        load(f"timm:{arguments['name']}", weights=arguments["weights"]).explain(
            PICTURE, arguments["views"], target=arguments.get("target")
        )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_classes": 0}, "has no classifier"),
        ({"in_chans": 1}, "in_chans=1: images are given in three channels"),
        ({"features_only": True}, "features_only: gives features, not a classifier"),
        ({"act_layer": "nope"}, "not arguments of test_resnet .*--model-kwargs"),
        ({"layers": [1]}, "not arguments of test_resnet .*--model-kwargs"),
        ({"cardinality": 7}, "not arguments of test_resnet .*--model-kwargs"),
        ({"drop_rate": 2}, "cannot be run on images"),
    ],
)
def test_networks_that_are_no_classifiers_of_color_images_are_refused(kwargs, message):
    with pytest.raises(LookcloserError, match=message):
        load("timm:test_resnet", weights="none", model_kwargs=kwargs)


def test_the_image_is_resized_to_the_input_of_the_network_that_was_made():
    kwargs = {"img_size": 96, "num_classes": 5}
    stock = load("timm:test_vit", weights="none", model_kwargs=kwargs)
    assert stock.explain(PICTURE, ["saliency"])["saliency"].heatmap.shape == (96, 96)
