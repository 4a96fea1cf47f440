"""A device that has everything of a GPU but the GPU: `python on_a_device.py DATA`.

Its tensors are of torch's spare backend and hold tensors of the CPU, which compute. As on a GPU, no
operation takes tensors of both places, and none of its tensors is an array. What works there is
tried, and printed as JSON by its name: null, or the error.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing, normalized
from lookcloser.data import read_data
from lookcloser.evaluation.evaluate import evaluate_data
from lookcloser.evaluation.view_rating import rate_split
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.explaining import explain_image
from lookcloser.inference.stock import StockEngine, stock_classifier
from lookcloser.models import build_model
from lookcloser.models.registry import evidence_kind

NAME = "gpu"
MADE = torch.library.Library("aten", "IMPL")  # what `torch.tensor` makes comes past every mode
# Those that ask a network often are as these; they would take half a minute.
PIXELS = "cam gradcam gradcampp layercam eigencam guided_backprop saliency deconvnet"
TOKENS = "attention_rollout attention_relevance"
# Of these an index may be elsewhere, as on a GPU, and a copy is how tensors come and go.
_ACROSS = ("copy_", "_to_copy", "index", "index_put_", "_index_put_impl_", "index_put")


class OnDevice(torch.Tensor):
    """A tensor that says that it is on the device."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnDevice:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, layout=inner.layout, device=torch.device(NAME, 0),
        )  # fmt: skip

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"OnDevice({self.inner})"

    def tolist(self) -> list[Any]:
        """Of a GPU's tensors this is a copy; torch has none for tensors that hold others."""
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Backend(_DummyBackendModule):
    """What `torch.autocast` asks of a device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class Device(TorchDispatchMode):
    """While it lasts, the device is there."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


def compute(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Of an operation what a GPU would make of it."""
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    there = [one for one in tensors if isinstance(one, OnDevice)]
    name = operation.overloadpacket.__name__
    goes = bool(there)
    if kwargs.get("device") is not None:
        goes = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif there and name not in _ACROSS:
        here = [one for one in tensors if not isinstance(one, OnDevice) and one.dim()]
        if here:
            raise RuntimeError(f"{operation} of tensors on two devices")
    if name == "copy_":
        goes = isinstance(args[0], OnDevice)
    found = operation(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    outer = {id(one.inner): one for one in there}

    def placed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in outer:
            return outer[id(value)]
        return OnDevice(value) if goes and not isinstance(value, OnDevice) else value

    return tree_map(placed, found)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnDevice) else value


def _copied(source: torch.Tensor, target: torch.Tensor, _blocks: bool = False) -> torch.Tensor:
    _inner(target).copy_(_inner(source))
    return target


def method_works(method: str, backbone: str, views: str = "gradcam", **options: Any) -> None:
    """Training, answering, evidence and some views of a method."""

    given = {"num_classes": 5, "backbone": backbone, **options}
    model = build_model(method, given).to(NAME)
    task = model.tasks[0]
    names = ("<NULL>", "<START>", "<END>", "<UNK>", "a") if task == "captioning" else tuple("abcde")
    images = torch.randn(4, 3, 64, 64).to(NAME)
    targets, criterion = {
        "classification": (torch.tensor([3, 3, 1, 1]), F.cross_entropy),
        "multilabel": (torch.eye(5)[:4], F.binary_cross_entropy_with_logits),
        "captioning": (torch.tensor([[1, 3, 4, 2]] * 4), F.cross_entropy),
    }[task]
    model.train()
    losses = model.losses(model(images), targets.to(NAME), criterion)
    loss = torch.stack(list(losses.values())).sum()
    if task != "captioning":  # the backward pass of an embedding is more than this device can
        loss.backward()
    assert all(one.grad is None or one.grad.device.type == NAME for one in model.parameters())
    kind = evidence_kind(method, task)
    header = ModelHeader(method, given, task, names, Preprocessing((64, 64)), evidence_kind=kind)
    engine = TorchEngine(model.eval(), header, torch.device(NAME))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    assert np.array_equal(
        engine.images(pixels).cpu().numpy(), normalized(pixels, header.preprocessing)
    )
    engine.answer(pixels, 2)
    engine.evidence(pixels, np.array([[0, 1], [2, -1]]))
    engine.fingerprint()
    if task != "captioning":
        explain_image(engine, pixels[0].transpose(1, 2, 0), views.split(), target=None)


def stock_works() -> None:
    """A network of timm."""

    model, header = stock_classifier("test_resnet", weights="none")
    engine = StockEngine(model.to(NAME).eval(), header, torch.device(NAME))
    pixels = np.zeros((2, 3, *header.preprocessing.size), np.uint8)
    engine.answer(pixels, 2)
    engine.evidence(pixels, np.array([[0, 1], [2, 3]]))
    explain_image(engine, np.zeros((9, 9, 3), np.uint8), ["gradcam"], target=None)


def evaluation_works(data: str) -> None:
    """Scores of a split, and of views."""

    catalog = read_data(data)
    given = {"num_classes": 3, "backbone": "test_resnet"}
    model = build_model("cam", given).to(NAME).eval()
    header = ModelHeader("cam", given, "classification", catalog.names, Preprocessing((32, 32)))
    engine = TorchEngine(model, header, torch.device(NAME))
    evaluate_data(engine, catalog, "val")
    rate_split(engine, catalog, "val", ["cam", "saliency"], images=2, seed=0, batch_size=2)


def register() -> None:
    """Make the device known to torch, for as long as the process lives."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    MADE.impl(
        "empty_strided",
        lambda size, stride, dtype=None, **_: OnDevice(
            torch.empty_strided(size, stride, dtype=dtype)
        ),
        "PrivateUse1",
    )
    MADE.impl("_copy_from", _copied, "PrivateUse1")
    # Tensors that hold others cannot be views of parameters in it.
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else nullcontext()


def main(data: str) -> None:
    """Everything, one after the other."""
    register()
    works: dict[str, Callable[[], None]] = {
        "cam": partial(method_works, "cam", "test_resnet", PIXELS),
        "cam on tokens": partial(method_works, "cam", "test_vit", TOKENS),
        "osme": partial(method_works, "osme", "test_resnet", part_width=8),
        "racnn": partial(method_works, "racnn", "test_resnet", "derivative"),
        "feedback": partial(method_works, "feedback", "test_resnet"),
        "sigmoid": partial(method_works, "sigmoid", "test_resnet"),
        "cnnrnn": partial(method_works, "cnnrnn", "test_resnet"),
        "cnnrnn, exact": partial(method_works, "cnnrnn", "test_resnet", decoder="exact"),
        "captions": partial(method_works, "rnn", "test_resnet", max_length=4, attend=True),
        "stock": stock_works,
        "evaluation": partial(evaluation_works, data),
    }
    found: dict[str, str | None] = {}
    for name, work in works.items():
        torch.manual_seed(0)
        try:
            with Device():
                work()
            found[name] = None
        except Exception:
            found[name] = traceback.format_exc()
    print(json.dumps(found), flush=True)
    os._exit(0)  # torch's own threads of the device do not end well


if __name__ == "__main__":
    main(sys.argv[1])
