"""Beginning from a model that was trained here: all of it, or its backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.models import Model, build_model, save_model_file
from lookcloser.models.backbone import Backbone
from lookcloser.models.package import is_model_file
from lookcloser.models.transfer import begin_from
from lookcloser.models.weights import load_backbone_weights

NAMES = ("a", "b", "c")
ARGUMENTS = {"num_classes": 3, "backbone": "test_resnet", "stride": 8}


def fresh(method: str = "cam", **more: object) -> Model:
    return build_model(method, ARGUMENTS | more)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Model]:
    torch.manual_seed(1)
    model = fresh()
    header = ModelHeader("cam", ARGUMENTS, "classification", NAMES)
    return save_model_file(tmp_path / "m.safetensors", model.state_dict(), header), model


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_classes_take_everything(saved: tuple[Path, Model]) -> None:
    path, model = saved
    other = fresh()
    assert begin_from(other, path, NAMES) == f"all of {path.parent.name}/m.safetensors"
    assert same(other, model)


@pytest.mark.parametrize(
    ("names", "classes"), [(("a", "b", "d"), 3), (("c", "b", "a"), 3), (("a", "b"), 2)]
)
def test_other_classes_take_the_backbone_only(
    saved: tuple[Path, Model], names: tuple[str, ...], classes: int
) -> None:
    path, model = saved
    other = fresh(num_classes=classes)
    head = {k: v.clone() for k, v in other.state_dict().items() if "backbone" not in k}
    assert begin_from(other, path, names) == f"the backbone of {path.parent.name}/m.safetensors"
    assert same(other.backbones[0], model.backbones[0])
    assert all(torch.equal(other.state_dict()[name], value) for name, value in head.items())


def test_every_backbone_of_another_method_gets_it(saved: tuple[Path, Model]) -> None:
    path, model = saved
    other = fresh("racnn", scales=2)
    begin_from(other, path, NAMES)
    assert len(other.backbones) == 2
    assert all(same(one.net, model.backbones[0].net) for one in other.backbones)


def test_another_backbone_is_refused(saved: tuple[Path, Model]) -> None:
    path, _ = saved
    with pytest.raises(LookcloserError, match=r"test_resnet is not test_vit.*--backbone test_res"):
        begin_from(build_model("cam", {"num_classes": 3, "backbone": "test_vit"}), path, NAMES)


def test_own_files_are_told_from_others(saved: tuple[Path, Model], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing")
    assert is_model_file(saved[0])
    assert not is_model_file(tmp_path / "x")
    assert not is_model_file(tmp_path / "missing")


@pytest.mark.parametrize("names", [NAMES, ("other",)])
def test_nothing_begins_from_weights_that_are_not_finite(
    saved: tuple[Path, Model], names: tuple[str, ...]
) -> None:
    path, model = saved
    state = model.state_dict()
    state["head.weight"][0, 0] = torch.nan
    save_model_file(path, state, ModelHeader("cam", ARGUMENTS, "classification", NAMES))
    with pytest.raises(LookcloserError, match="not finite .*another run"):
        begin_from(fresh(num_classes=len(names)), path, names)


def test_nor_does_a_backbone_from_a_file_of_such_weights(tmp_path: Path) -> None:
    backbone = Backbone("test_resnet")
    state = {name: value.clone() for name, value in backbone.net.state_dict().items()}
    state["conv1.0.weight"].view(-1)[0] = torch.inf
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(LookcloserError, match=r"weights.safetensors: its weights are not finite"):
        load_backbone_weights(backbone, str(tmp_path / "weights.safetensors"))
