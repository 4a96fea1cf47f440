"""Finding the features that an answer comes from in any network, so that nobody names them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.hooks import watching
from lookcloser.core.sizes import Grid
from lookcloser.explain.borders import check_layer
from lookcloser.explain.context import check_images, looking
from lookcloser.explain.gradients import is_quantized
from lookcloser.explain.outputs import run, with_late_gradients
from lookcloser.explain.places import (
    Layout,
    find_layout,
    likely_layout,
    may_have_places,
    probes,
)
from lookcloser.explain.remembered import Remembered
from lookcloser.explain.returned import scores_of


@dataclass(frozen=True)
class Spatial:
    """A layer whose output is a map of the image, and how it is read."""

    layer: str
    layout: Layout


# By the size of the image too: which layers still have a grid depends on it.
_last: Remembered[Spatial] = Remembered()
_named: Remembered[Spatial] = Remembered()


def module_named(model: nn.Module, name: str) -> nn.Module:
    """``model.get_submodule(name)`` with an error that offers near names."""
    modules = dict(model.named_modules())
    if name not in modules:
        raise unknown(name, "layer", (key for key in modules if key))
    module: nn.Module = modules[name]
    return module


def spatial_layer(model: nn.Module, images: Tensor, layer: str | nn.Module | None) -> Spatial:
    """The layer that was named, or the last one with a say, and how its output is read.

    A named layer is believed: where locality does not tell how it lies, its shape does.

    Raises:
        LookcloserError: For an unknown layer, one without a grid, and where none is found.
    """
    check_images(model, images)
    check_open(model)
    size = Grid(*images.shape[-2:])
    if layer is None:
        return _last_spatial(model, images[:1], size)
    name = _name_of(model, layer)
    found = _named.get(model, (size, name))
    if found is None:
        found = Spatial(name, _layout_of(model, images, size, name))
        _named.put(model, (size, name), found)
    return found


def find_spatial_layer(model: nn.Module, images: Tensor) -> str:
    """Name of the last module whose output is a map of the image that the answer still depends on.

    That is the last convolutional stage of a CNN; in a transformer that answers from its class
    token it is the last norm before an attention, since later patch tokens have no say.

    Raises:
        LookcloserError: Where no module has such an output, or the answer knows no image.
    """
    return spatial_layer(model, images, None).layer


def forget(model: nn.Module) -> None:
    """Drop what is remembered of the layers of a network."""
    _last.forget(model)
    _named.forget(model)


def inside(model: nn.Module) -> dict[str, nn.Module]:
    """All modules of a network that can be watched, but itself, by name."""
    named: Iterator[tuple[str, nn.Module]] = model.named_modules()
    return {name: module for name, module in named if name and not _is_script(module)}


def check_open(model: nn.Module) -> None:
    """Raise a `LookcloserError` for a network whose layers are compiled into one."""
    if _is_script(model):
        raise LookcloserError(
            f"{type(model).__name__}: is compiled by TorchScript, so its layers cannot be seen",
            fix="Explain the network that it was made from, or use saliency, occlusion or rise",
        )


def _is_script(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


def tensor_of(output: Any, name: str) -> Tensor:
    """The output of a layer, which has to be one tensor."""
    if isinstance(output, Tensor):
        return output
    raise LookcloserError(
        f"{name}: puts out a {type(output).__name__}", allowed="A layer whose output is one tensor"
    )


def not_run(name: str) -> LookcloserError:
    """The error for a layer that a forward pass does not come through."""
    return LookcloserError(
        f"{name}: this layer is not run", fix="Name a layer that the images pass through"
    )


def _name_of(model: nn.Module, layer: str | nn.Module) -> str:
    if isinstance(layer, nn.Module):
        names: list[str] = [name for name, module in model.named_modules() if module is layer]
        if names:
            return names[0]
        raise LookcloserError(
            f"{type(layer).__name__}: not a layer of {type(model).__name__}",
            fix="Name one of its modules, e.g. layer='layer4'",
        )
    if not isinstance(layer, str):
        raise LookcloserError(
            f"layer = {layer!r}", allowed="The name of one module, as in `model.named_modules()`"
        )
    module_named(model, layer)
    return layer


def _layout_of(model: nn.Module, images: Tensor, size: Grid, name: str) -> Layout:
    """How the output of a named layer is read, by locality or, failing that, by its shape."""
    seen: list[Tensor] = []

    def see(_name: str, _inputs: tuple[Any, ...], output: Any) -> None:
        seen[:] = [tensor_of(output, name).clone()]

    with looking(model, images[:1]) as own, watching({name: module_named(model, name)}, see):
        run(model, probes(own))
    if not seen:
        raise not_run(name)
    output = seen[0]
    layout = None
    if may_have_places(output, batch=5):
        layout = find_layout(output, size) or likely_layout(output, size, batch=5)
    if layout is None:
        raise LookcloserError(
            f"{name}: its output {(len(images), *output.shape[1:])} has no grid of places",
            allowed="A layer that puts out feature maps or patch tokens",
        )
    check_layer(model, images[:1], name, layout)
    return layout


def _last_spatial(model: nn.Module, image: Tensor, size: Grid) -> Spatial:
    known = _last.get(model, size)
    if known is not None:
        return known
    newest = 4  # a graph of all outputs would take a training step's memory
    start = count = _count_maps(model, image)
    found: Spatial | None = None
    while found is None and start > 0:
        start = max(count - newest, 0)
        found = _last_with_say(model, image, size, start)
        if found is None and newest == 4 and blind(model, image):
            raise blind_error(model)
        newest *= 4
    if found is None:
        raise LookcloserError(
            f"{type(model).__name__}: no layer puts out a map of features of the whole image",
            fix="Name the layer, as in gradcam(model, images, layer='…'), or use saliency or "
            "occlusion, whose maps lie on the pixels of the image",
        )
    check_layer(model, image, found.layer, found.layout)
    _last.put(model, size, found)
    return found


def blind(model: nn.Module, image: Tensor, rounding: float = 0.0) -> bool:
    """Whether changes of an image change the answer by no more than this share."""
    with looking(model, image) as own:
        answers = torch.stack([scores_of(run(model, probe[None])) for probe in probes(own)])
    return torch.allclose(answers, answers[:1].expand_as(answers), rtol=rounding, atol=0.0)


def check_sees(model: nn.Module, images: Tensor, maps: Tensor) -> None:
    """Raise a `LookcloserError` where maps hold nothing because the answer knows no image."""
    if not bool(maps.any()) and blind(model, images[:1]):
        raise blind_error(model)


def blind_error(model: nn.Module) -> LookcloserError:
    """The error for a network whose answer is the same for every image."""
    return LookcloserError(
        f"{type(model).__name__}: its answer does not depend on the image",
        fix="Train it, or load its weights: some networks start with a classifier of zeros",
    )


def _count_maps(model: nn.Module, image: Tensor) -> int:
    """How many outputs of modules may be maps, in one forward pass."""
    count = 0

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal count
        count += _may_be_looked_at(leaves[name], output)

    leaves = inside(model)
    with looking(model, image) as own, watching(leaves, see):
        run(model, own)
    return count


def _last_with_say(model: nn.Module, image: Tensor, size: Grid, start: int) -> Spatial | None:
    """The last map of those from number ``start`` on that the answer depends on."""
    gradients = _gradients(model, image, start)
    if not gradients:
        return None
    leaves = inside(model)
    layouts: dict[str, Layout | None] = {}

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> None:
        layouts[name] = find_layout(output, size) if may_have_places(output, batch=5) else None

    some = {name: leaves[name] for name in gradients}
    with looking(model, image) as own, watching(some, see):
        run(model, probes(own))
    for name, gradient in reversed(gradients.items()):
        layout = layouts.get(name)
        if layout is None:
            continue
        if gradient is None or bool(layout.places(gradient).ne(0).any()):
            return Spatial(name, layout)
    return None


def _gradients(model: nn.Module, image: Tensor, start: int) -> dict[str, Tensor | None]:
    """Outputs from number ``start`` on by layer, with the gradient of the answer there.

    Only those that it depends on; of a quantized network all of them, without a gradient.
    """
    return with_late_gradients(partial(_gradients_from, model, image, start))


def _gradients_from(
    model: nn.Module, image: Tensor, start: int, everywhere: bool
) -> dict[str, Tensor | None]:
    """`_gradients`, with gradients on from its first output on, or ``everywhere``."""
    seen: dict[str, Tensor] = {}
    passed = 0
    quantized = is_quantized(model)

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> Any:
        nonlocal passed
        if not _may_be_looked_at(leaves[name], output):
            return None
        passed += 1
        if passed <= start:
            return None
        seen.pop(name, None)  # of a layer that runs several times the last output counts
        if quantized:
            seen[name] = torch.empty(0)
            return None
        torch.set_grad_enabled(True)  # from here on; the block below puts it back
        kept = output if output.requires_grad else output.detach().requires_grad_()
        seen[name] = kept
        return kept.clone()  # an in-place operation that follows changes the copy alone

    leaves = inside(model)
    with looking(model, image, everywhere) as own, watching(leaves, see):
        top = scores_of(run(model, own))
        if quantized:
            return dict.fromkeys(seen)
        if not top.requires_grad:
            return {}
        found = torch.autograd.grad(top, list(seen.values()), allow_unused=True)
    return {
        name: gradient
        for name, gradient in zip(seen, found, strict=True)
        if gradient is not None and _spread(gradient)
    }


def _spread(gradient: Tensor) -> bool:
    """Whether a gradient is at more than one token, the class token of an answer; cheap."""
    has_say = gradient.ne(0)
    if gradient.ndim == 4:
        return bool(has_say.any())
    return int(has_say.any(dim=2).sum()) > 1 and int(has_say.any(dim=1).sum()) > 1


def _may_be_looked_at(module: nn.Module, output: Any) -> bool:
    """Whether an output may be a map: a projection inside a block is none, nor is an embedding."""
    return not isinstance(module, nn.Linear | nn.Embedding) and may_have_places(output, batch=1)
