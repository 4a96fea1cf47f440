"""What a network would do with images, worked out on their shapes alone, without computing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.hooks import evaluating
from lookcloser.core.sizes import Grid


def traced(module: nn.Module, size: Grid) -> tuple[Any, set[str]]:
    """The output for one image of ``size``, and which parameters it depends on.

    The output is on the meta device, where tensors have shapes and no values, so that a network of
    any size costs a moment. A network that cannot run there is run for real. It is left as it was
    found, and looked at in evaluation mode.

    Raises:
        Exception: Whatever the network raises for such an image.
    """
    # Networks may be made in inference mode, where nothing depends on anything.
    with torch.inference_mode(mode=False), torch.enable_grad():
        like = next(module.parameters())
        images = torch.zeros(1, 3, *size, dtype=like.dtype, device=like.device)
        try:
            return _run(module, images.to("meta"))
        except Exception:  # a network may raise anything, here or on a real device
            return _run(module, images)


def dead_modules(module: nn.Module, living: set[str]) -> list[str]:
    """The outermost modules that have parameters, none of which are in ``living``."""
    dead: list[str] = []
    for name, child in module.named_modules():
        within = dead and any(name.startswith(f"{parent}.") for parent in dead)
        prefix = f"{name}." if name else ""
        owned = [f"{prefix}{parameter}" for parameter, _ in child.named_parameters()]
        if owned and not within and living.isdisjoint(owned):
            dead.append(name)
    return dead


def _run(module: nn.Module, images: Tensor) -> tuple[Any, set[str]]:
    made: dict[int, Tensor] = {}

    def stand_in(tensor: Tensor, *, learns: bool) -> Tensor:
        if id(tensor) not in made:  # parts of a network may share a tensor
            other = tensor.detach().clone() if tensor.is_inference() else tensor.detach()
            if images.is_meta:
                other = torch.empty_like(other, device="meta")
            made[id(tensor)] = other.requires_grad_() if learns else other
        return made[id(tensor)]

    parameters, tensors = {}, {}
    for prefix, part in module.named_modules(prefix=""):  # each once, under its first name
        dot = f"{prefix}." if prefix else ""
        for name, parameter in part._parameters.items():
            if parameter is not None:
                parameters[f"{dot}{name}"] = stand_in(parameter, learns=True)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                tensors[f"{dot}{name}"] = stand_in(buffer, learns=False)
    with evaluating(module):
        given = {**parameters, **tensors}
        output = torch.func.functional_call(module, given, (images,), tie_weights=False)
    reached = {id(leaf) for leaf in _leaves(output)}
    return output, {name for name, tensor in parameters.items() if id(tensor) in reached}


def _leaves(output: Any) -> Iterator[Tensor]:
    """The tensors that get a gradient from ``output``."""
    waiting = [output.grad_fn] if isinstance(output, Tensor) else []
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            yield variable
        waiting.extend(following for following, _ in node.next_functions)
