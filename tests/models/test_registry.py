"""Methods as they are known without torch, and files that older versions wrote."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

import lookcloser.models
from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.models import METHODS, build_model, load_model_file, method_named, model_class
from lookcloser.models.registry import methods_with

# What lookcloser 0.1 wrote: the arguments of the constructors it had, those alone that were given.
SHARED = {"num_classes": 3, "backbone": "test_resnet", "stride": 8, "model_kwargs": {}}
OLD_ARGUMENTS = {
    "cam": {"drop_rate": 0.0},
    "racnn": {"drop_rate": 0.0, "size": 32, "scales": 2, "crop_mode": "mask", "rank_form": "log"},
    "osme": {"drop_rate": 0.1, "size": 32, "parts": 3, "part_head": "flattened", "merge": "sum"},
    "sigmoid": {"drop_rate": 0.0, "threshold": 0.4, "loss": "asymmetric"},
    "cnnrnn": {"drop_rate": 0.0, "label_counts": [3, 1, 2], "max_labels": 2, "gate": "relu"},
    "lstm": {"num_classes": 8, "max_length": 5, "drop_rate": 0.0, "attend": True, "tied": True},
    "feedback": {"drop_rate": 0.0, "feedback_stage": 1, "noise": 0.1},
}


def old_file(path, method, arguments):
    """A model file with a header as it was written then."""
    torch.manual_seed(0)
    model = build_model(method, {"backbone": "resnet18", **arguments}).eval()
    names = [f"name {number}" for number in range(arguments["num_classes"])]
    header = {
        "method": method,
        "arguments": arguments,
        "task": model.tasks[0],
        "names": names,
        "preprocessing": {
            "size": [32, 32],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bilinear",
        },
        "box_threshold": 0.2,
        "scores": {},
        "provenance": {"seed": 0, "weights": "none"},
        "version": "0.1.0",
        "format": 1,
    }
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={"lookcloser": json.dumps(header)})
    return model


@pytest.mark.parametrize("method", OLD_ARGUMENTS)
def test_files_of_the_first_version_load(method, tmp_path):
    arguments = SHARED | OLD_ARGUMENTS[method]
    before = old_file(tmp_path / "old.safetensors", method, arguments)
    loaded, package = load_model_file(tmp_path / "old.safetensors")
    assert package.arguments == arguments
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(images).logits, before(images).logits)


def test_a_backbone_left_out_is_the_one_of_the_first_version(tmp_path):
    old_file(tmp_path / "old.safetensors", "cam", {"num_classes": 3})
    assert load_model_file(tmp_path / "old.safetensors")[0].backbone.name == "resnet18"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from_the_future": 1}, "from_the_future: unknown option"),
        ({"stride": -1}, "stride -1: not possible"),
        ({"num_classes": "x"}, "its header is damaged"),
    ],
)
def test_arguments_that_no_method_takes_are_the_files_fault(change, message, tmp_path):
    path = tmp_path / "changed.safetensors"
    old_file(path, "cam", SHARED)
    header = {"format": 1, "method": "cam", "task": "classification"}
    header["arguments"] = SHARED | change
    header |= {
        "names": ["a", "b", "c", "d"][: SHARED["num_classes"]],
        "preprocessing": {"size": [32, 32], "mean": [0.5] * 3},
    }
    header["preprocessing"] |= {"std": [0.5] * 3, "interpolation": "bilinear"}
    save_file({"x": torch.zeros(1)}, path, metadata={"lookcloser": json.dumps(header)})
    with pytest.raises(LookcloserError, match=f"changed.safetensors: {message}") as caught:
        load_model_file(path)
    assert not isinstance(caught.value, UsageError), "nobody has typed it"


def test_what_methods_say_about_themselves_needs_no_torch():
    program = (
        "import sys\n"
        "from lookcloser.models import METHODS, method_named\n"
        "import lookcloser.training.options, lookcloser.training.keywords\n"
        "assert len(METHODS) >= 9 and method_named('osme').own['parts'].default == 2\n"
        "heavy = {'torch', 'numpy', 'timm', 'lightning', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_methods_are_found_by_name_and_by_option():
    assert model_class("racnn") is lookcloser.models.RACNN
    assert methods_with("beam") == ["cnnrnn", "rnn", "lstm", "gru"]
    assert methods_with("backbone") == [], "every training has it"
    with pytest.raises(UsageError, match="racnnn: unknown method. Close: racnn"):
        method_named("racnnn")


def test_what_follows_from_the_data_is_no_option_of_a_user():
    assert "label_counts" not in METHODS["cnnrnn"].own
    assert "size" not in METHODS["racnn"].own


def test_an_option_of_several_methods_is_of_one_type():
    kinds = {}
    for method in METHODS.values():
        for name, item in method.own.items():
            assert kinds.setdefault(name, item.kind) == item.kind, name


def test_every_public_name_is_reached():
    for name in lookcloser.models.__all__:
        assert getattr(lookcloser.models, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'VGG'"):
        _ = lookcloser.models.VGG
