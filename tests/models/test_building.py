"""A description of a network is checked before anything is built from it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.models import build_model, load_model_file, save_model_file
from lookcloser.models.building import build_as

from ..headers import Change, rewritten

ARGUMENTS = {"num_classes": 3, "backbone": "test_resnet", "stride": 8}


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("cam", {}),
        ("racnn", {"scales": 2}),
        ("osme", {"part_width": 8}),
        ("feedback", {"stride": None}),
        ("sigmoid", {}),
        ("cnnrnn", {"label_counts": [90_000, 5, 1], "max_labels": 2}),
        ("lstm", {"max_length": 7}),
    ],
)
def test_every_method_is_planned_without_weights(method: str, more: dict[str, Any]) -> None:
    arguments = ARGUMENTS | more
    if method == "lstm":
        arguments["num_classes"] = 6
    torch.manual_seed(0)
    model = build_model(method, arguments)
    torch.manual_seed(0)
    again = build_as(method, arguments, shapes_of(model))
    assert all(value.device.type == "cpu" for value in again.state_dict().values())
    assert shapes_of(again) == shapes_of(model)
    for name, value in model.named_buffers():  # those that no file holds are there as well
        assert torch.equal(dict(again.named_buffers())[name], value)


def test_what_looks_at_values_while_it_is_built_is_built_for_real(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lookcloser.models import building

    model, places = build_model("cam", ARGUMENTS), []

    def build(method: str, arguments: dict[str, Any]) -> Any:
        places.append(torch.empty(0).device.type)
        if places[-1] == "meta":
            raise NotImplementedError("Cannot copy out of meta tensor")
        return build_model(method, arguments)

    monkeypatch.setattr(building, "build_model", build)
    build_as("cam", ARGUMENTS, shapes_of(model))
    assert places == ["meta", "cpu", "cpu"]


@pytest.mark.parametrize(
    "change",
    [
        {"num_classes": 10**7},
        {"model_kwargs": {"layers": [10**6, 1, 1, 1]}},
        {"model_kwargs": {"layers": [4000, 1, 1, 1]}},
        {"model_kwargs": {"channels": [4000, 4000, 4000, 4000]}},
        {"model_kwargs": {"channels": [1e300, 1, 1, 1]}},
        {"model_kwargs": {"drop_path_rate": float("nan")}},
    ],
)
def test_what_would_be_much_larger_is_refused_at_once(change: dict[str, Any]) -> None:
    shapes = shapes_of(build_model("cam", ARGUMENTS))
    start = time.process_time()
    with pytest.raises(LookcloserError, match="too large|much larger"):
        build_as("cam", ARGUMENTS | change, shapes)
    assert time.process_time() - start < 10


def test_other_shapes_are_named() -> None:
    shapes = shapes_of(build_model("cam", ARGUMENTS))
    with pytest.raises(LookcloserError, match=r"2 tensors .*head.*\(3.*should be \(4"):
        build_as("cam", ARGUMENTS | {"num_classes": 4}, shapes)
    with pytest.raises(LookcloserError, match="1 tensors .*extra.*should be not there"):
        build_as("cam", ARGUMENTS, {**shapes, "extra": (2,)})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    header = ModelHeader(
        "cam", ARGUMENTS, "classification", ("a", "b", "c"), Preprocessing((32, 32))
    )
    state = build_model("cam", ARGUMENTS).state_dict()
    return save_model_file(tmp_path / "m.safetensors", state, header)


CHANGES: dict[str, Change] = {
    "extra argument": lambda m: m["arguments"].update(evil=1),
    "wrong kind of argument": lambda m: m["arguments"].update(stride="x"),
    "no backbone": lambda m: m["arguments"].update(backbone=None),
    "unknown tag": lambda m: m["arguments"].update(backbone="test_resnet.no_such_tag"),
    "unknown method": lambda m: m.update(method="evil"),
    "method of a list": lambda m: m.update(method=["cam"]),
    "too few names": lambda m: m.update(names=["a"]),
    "names that are no words": lambda m: m.update(names=[1, 2, 3]),
    "names as one word": lambda m: m.update(names="abc"),
    "unknown task": lambda m: m.update(task="x"),
    "unknown interpolation": lambda m: m["preprocessing"].update(interpolation="x"),
    "infinite size": lambda m: m["preprocessing"].update(size=[float("inf"), 3]),
    "huge size": lambda m: m["preprocessing"].update(size=[8192, 8192]),
    "std of 0": lambda m: m["preprocessing"].update(std=[0, 1, 1]),
    "mean of NaN": lambda m: m["preprocessing"].update(mean=[float("nan"), 1, 1]),
    "no preprocessing": lambda m: m.update(preprocessing=[]),
    "threshold as a word": lambda m: m.update(box_threshold="x"),
    "threshold above 1": lambda m: m.update(box_threshold=2),
    "scores as a list": lambda m: m.update(scores=[1]),
    "arguments as a list": lambda m: m.update(arguments=[1]),
    "deeply nested": lambda m: m.update(provenance=json.loads("[" * 900 + "]" * 900)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_crafted_header_is_one_sentence(saved: Path, change: Change) -> None:
    with pytest.raises(LookcloserError) as caught:
        load_model_file(rewritten(saved, change))
    assert len(str(caught.value)) < 1500


def test_a_header_without_end_is_one_sentence(saved: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(saved)
    save_file(tensors, saved, metadata={"lookcloser": "[" * 100_000})
    with pytest.raises(LookcloserError, match="header is damaged"):
        load_model_file(saved)


def test_weights_that_are_no_numbers_are_refused(saved: Path) -> None:
    from safetensors.torch import load_file

    header = load_model_file(saved)[1]
    tensors = load_file(saved)
    next(value for value in tensors.values() if value.is_floating_point()).fill_(float("nan"))
    save_model_file(saved, tensors, header)
    with pytest.raises(LookcloserError, match=r"weights are not finite \(NaN.*lower --lr"):
        load_model_file(saved)


@pytest.mark.parametrize(("backbone", "stride"), [("resnet18", 4), ("resnet18", 8)])
def test_a_backbone_that_was_cut_early_is_built_again(backbone: str, stride: int) -> None:
    """What is kept is a small part of the network that it is cut from."""
    arguments = {"num_classes": 3, "backbone": backbone, "stride": stride}
    model = build_model("cam", arguments)
    kept = sum(value.numel() for value in model.state_dict().values())
    assert kept < 10**6, "far less than the whole network's 11 million"
    assert shapes_of(build_as("cam", arguments, shapes_of(model))) == shapes_of(model)
