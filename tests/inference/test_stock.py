import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.explain import gradcam, normalize
from lookcloser.inference.stock import StockEngine, _interpolation, stock_classifier
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


def small(*layers):
    header = ModelHeader("timm", {}, "classification", ("a", "b", "c"), Preprocessing((8, 12)))
    return StockEngine(torch.nn.Sequential(*layers).eval(), header, torch.device("cpu"))


def pooled():
    torch.manual_seed(1)
    pool, nn = torch.nn.AdaptiveAvgPool2d(1), torch.nn
    return small(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 3))


PIXELS = np.random.default_rng(1).integers(0, 256, (3, 3, 8, 12), dtype=np.uint8)


def test_the_evidence_of_an_answer_is_its_class_maps():
    engine = pooled()
    answer = engine.answer(PIXELS, 2)
    np.testing.assert_array_equal(answer.tokens, np.argsort(-answer.logits, axis=1)[:, :2])
    assert answer.maps.shape == (3, 2, 8, 12)
    assert answer.maps.dtype == answer.logits.dtype == np.float32
    means = answer.maps.mean(axis=(2, 3)) + engine.model[4].bias.detach().numpy()[answer.tokens]
    chosen = np.take_along_axis(answer.logits, answer.tokens, axis=1)
    np.testing.assert_allclose(means, chosen, rtol=1e-4, atol=1e-5)


def test_evidence_is_of_given_classes_and_padding_stays():
    engine = pooled()
    tokens = np.array([[2, -1], [0, 1], [1, 1]])
    found, every = (
        engine.evidence(PIXELS, tokens),
        engine.evidence(PIXELS, np.tile([0, 1, 2], (3, 1))),
    )
    np.testing.assert_array_equal(found.tokens, tokens)
    for row, column in ((0, 0), (1, 0), (1, 1), (2, 1)):
        wanted = every.maps[row, tokens[row, column]]
        np.testing.assert_allclose(found.maps[row, column], wanted, rtol=1e-5, atol=1e-5)


def test_a_network_in_training_answers_in_evaluation_and_goes_on_training():
    nn = torch.nn
    engine = small(
        nn.Conv2d(3, 4, 3), nn.Dropout(0.9), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    wanted = engine.answer(PIXELS, 1).logits
    engine.model.train()
    np.testing.assert_array_equal(engine.answer(PIXELS, 1).logits, wanted)
    assert all(module.training for module in engine.model.modules())


def test_a_fingerprint_follows_the_weights():
    engine, other = pooled(), pooled()
    assert engine.fingerprint() == other.fingerprint()
    with torch.no_grad():
        other.model[4].bias[0] += 1
    assert engine.fingerprint() != other.fingerprint()


def test_a_stock_classifier_brings_its_names_and_its_input():
    model, header = stock_classifier(
        "test_vit", weights="none", model_kwargs={"num_classes": 5, "img_size": (32, 48)}
    )
    assert header.names == tuple(f"class {number}" for number in range(5))
    assert header.preprocessing.size == Grid(32, 48)
    config = timm.data.resolve_model_data_config(model)
    assert (header.preprocessing.mean, header.preprocessing.std) == (config["mean"], config["std"])
    assert (header.method, header.task) == ("timm", "classification")
    assert header.provenance == {"weights": "none"}


def test_arguments_that_a_network_does_not_have_are_named():
    with pytest.raises(
        UsageError, match=r"'colour': 3.*not arguments of test_resnet.*--model-kwargs"
    ):
        stock_classifier("test_resnet", weights="none", model_kwargs={"colour": 3})


@pytest.mark.parametrize(
    ("name", "kept"),
    [("bilinear", "bilinear"), ("nearest", "nearest"), ("lanczos", "bicubic"), ("", "bicubic")],
)
def test_an_interpolation_that_is_not_known_becomes_the_usual_one(name, kept):
    assert _interpolation(name) == kept
