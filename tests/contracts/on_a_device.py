"""A device that has everything of a GPU but the GPU: `python on_a_device.py DATA NAMES…`.

Its tensors are of torch's spare backend and hold tensors of the CPU, which compute. As on a GPU, no
operation takes tensors of both places, and none of its tensors is an array. What it finds out of
each name is printed as JSON: null, or the error.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "gpu"
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

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


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
        return outer.get(id(value)) or (OnDevice(value) if goes else value)

    return tree_map(placed, found)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnDevice) else value


def method_works(method: str, backbone: str, **options: Any) -> None:
    """Training, answering, evidence and every view of a method."""
    from lookcloser.inference.engine import TorchEngine
    from lookcloser.inference.explaining import explain_image
    from lookcloser.core.header import ModelHeader
    from lookcloser.core.preprocessing import Preprocessing
    from lookcloser.models import build_model
    from lookcloser.models.registry import evidence_kind
    from torch.nn import functional as F

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
    torch.stack(list(losses.values())).sum().backward()
    assert all(one.grad is None or one.grad.device.type == NAME for one in model.parameters())
    kind = evidence_kind(method, task)
    header = ModelHeader(method, given, task, names, Preprocessing((64, 64)), evidence_kind=kind)
    engine = TorchEngine(model.eval(), header, torch.device(NAME))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    engine.answer(pixels, 2)
    engine.evidence(pixels, np.array([[0, 1], [2, -1]]))
    engine.fingerprint()
    if task != "captioning":
        explain_image(engine, pixels[0].transpose(1, 2, 0), ["all"], target=None)


def stock_works() -> None:
    """A network of timm."""
    from lookcloser.inference.explaining import explain_image
    from lookcloser.inference.stock import StockEngine, open_stock

    engine = open_stock("test_resnet", "none", torch.device(NAME))
    assert isinstance(engine, StockEngine)
    engine.answer(np.zeros((2, 3, *engine.header.preprocessing.size), np.uint8), 2)
    explain_image(engine, np.zeros((9, 9, 3), np.uint8), ["gradcam"], target=None)


def evaluation_works(data: str) -> None:
    """Scores of a split, and of views."""
    from lookcloser.core.header import ModelHeader
    from lookcloser.core.preprocessing import Preprocessing
    from lookcloser.data import read_data
    from lookcloser.evaluation.evaluate import evaluate_data
    from lookcloser.evaluation.view_rating import rate_split
    from lookcloser.inference.engine import TorchEngine
    from lookcloser.models import build_model

    catalog = read_data(data)
    given = {"num_classes": 3, "backbone": "test_resnet"}
    model = build_model("cam", given).to(NAME).eval()
    header = ModelHeader("cam", given, "classification", catalog.names, Preprocessing((32, 32)))
    engine = TorchEngine(model, header, torch.device(NAME))
    evaluate_data(engine, catalog, "val")
    rate_split(engine, catalog, "val", ["cam", "saliency"], images=2, seed=0, batch_size=2)


def main(data: str) -> None:
    """Everything, one after the other."""
    _setup_privateuseone_for_python_backend(NAME)
    works: dict[str, Callable[[], None]] = {
        "cam": partial(method_works, "cam", "test_resnet"),
        "cam on tokens": partial(method_works, "cam", "test_vit"),
        "osme": partial(method_works, "osme", "test_resnet", part_width=8),
        "racnn": partial(method_works, "racnn", "test_resnet"),
        "racnn, masks": partial(method_works, "racnn", "test_resnet", crop_mode="mask"),
        "feedback": partial(method_works, "feedback", "test_resnet"),
        "sigmoid": partial(method_works, "sigmoid", "test_resnet"),
        "cnnrnn": partial(method_works, "cnnrnn", "test_resnet"),
        "cnnrnn, exact": partial(method_works, "cnnrnn", "test_resnet", decoder="exact"),
        "lstm": partial(method_works, "lstm", "test_resnet", max_length=4),
        "lstm, attending": partial(method_works, "lstm", "test_resnet", max_length=4, attend=True),
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
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
