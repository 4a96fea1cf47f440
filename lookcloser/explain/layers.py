"""Finding the last spatial features of any network, so that nobody has to name a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.hooks import watching
from lookcloser.explain.context import looking
from lookcloser.explain.targets import logits_of

Grid = tuple[int, int]


@dataclass(frozen=True)
class PooledHead:
    """Where a network's features are pooled into its linear classifier.

    Attributes:
        layer: Name of the module that puts out the features.
        classifier: Name of the linear layer (or 1×1 convolution) that puts out the logits.
        relu: Whether a functional ReLU stands between the features and the pooling.
    """

    layer: str
    classifier: str
    relu: bool


# By the size of the image too: which layers still have a grid depends on it.
_pooled: WeakKeyDictionary[nn.Module, dict[Grid, PooledHead]] = WeakKeyDictionary()
_spatial: WeakKeyDictionary[nn.Module, dict[Grid, str]] = WeakKeyDictionary()


def module_named(model: nn.Module, name: str) -> nn.Module:
    """``model.get_submodule(name)`` with an error that offers near names."""
    modules = dict(model.named_modules())
    if name not in modules:
        raise unknown(name, "layer", (key for key in modules if key))
    module: nn.Module = modules[name]
    return module


def as_map(output: Any, size: Grid) -> Tensor | None:
    """Features as (B, D, h, w), or None where ``output`` has no spatial grid.

    Maps (B, D, h, w) are taken as they are and (B, h, w, D) transposed: the grid is the pair with
    the aspect ratio of the image, ``size`` being its (H, W). Tokens (B, N, D) lose the class and
    register tokens that come before the largest grid of that ratio.
    """
    if not isinstance(output, Tensor):
        return None
    if output.ndim == 4:
        if not _alike(output.shape[2:4], size):
            output = output.permute(0, 3, 1, 2)
        fits = _alike(output.shape[2:4], size) and output.shape[2] * output.shape[3] > 1
        return output if fits else None
    grid = _grid_of(output.shape[1], size) if output.ndim == 3 else None
    if grid is None:
        return None
    rows, columns = grid
    tokens = output[:, output.shape[1] - rows * columns :]
    return tokens.transpose(1, 2).reshape(len(tokens), -1, rows, columns)


def _alike(grid: Sequence[int], size: Grid, cells: float = 2.0) -> bool:
    """Whether a grid (h, w) may be one of an image of ``size``, up to ``cells`` at the borders."""
    rows, columns = grid
    return abs(rows * size[1] - columns * size[0]) < cells * max(size)


def _grid_of(count: int, size: Grid, most_prefix: int = 8) -> Grid | None:
    """(h, w) of at least 2×2 with the aspect ratio of ``size`` and up to 8 tokens to spare."""
    for patches in range(count, max(count - most_prefix, 4) - 1, -1):
        rows = max(1, round((patches * size[0] / size[1]) ** 0.5))
        if patches % rows == 0 and _alike((rows, patches // rows), size, cells=1.0):
            return rows, patches // rows
    return None


def find_pooled_head(model: nn.Module, images: Tensor) -> PooledHead:
    """Features, average pooling and linear classifier, found by comparing values of one image.

    Raises:
        LookcloserError: Where the logits are not a linear layer of averaged features.
    """
    size = (images.shape[-2], images.shape[-1])
    known = _pooled.get(model, {}).get(size)
    names = _inside(model)
    if known is not None and known.layer in names and known.classifier in names:
        return known
    for classifier, pooled in _heads(model, images[:1], names):
        found = _last_pooled_to(pooled, model, images[:1], names)
        if found is not None:
            layer, relu = found
            head = PooledHead(layer, classifier, relu)
            _pooled.setdefault(model, {})[size] = head
            return head
    raise LookcloserError(
        f"{type(model).__name__}: its logits are not one linear layer on averaged features, so "
        "it has no class activation map",
        fix="Use gradcam, which asks nothing of the network",
    )


def _inside(model: nn.Module) -> dict[str, nn.Module]:
    """All modules of a network but itself, by name."""
    return {name: module for name, module in model.named_modules() if name}


def _heads(
    model: nn.Module, probe: Tensor, modules: dict[str, nn.Module]
) -> list[tuple[str, Tensor]]:
    """Linear layers that put out the logits of one image, and what they took (D,); last first."""
    seen: list[tuple[str, Tensor, Tensor]] = []

    def see(name: str, inputs: tuple[Any, ...], output: Any) -> None:
        weight = classifier_weight(modules[name])
        tensors = bool(inputs) and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)
        if weight is not None and tensors and output.numel() == len(weight):
            seen.append((name, inputs[0].flatten().clone(), output.flatten().clone()))

    with looking(model, probe) as own, watching(modules, see):
        logits = logits_of(model(own)).flatten()
    return [(name, taken) for name, taken, given in reversed(seen) if torch.equal(given, logits)]


def _last_pooled_to(
    pooled: Tensor,
    model: nn.Module,
    probe: Tensor,
    modules: dict[str, nn.Module],
) -> tuple[str, bool] | None:
    """The last features whose mean over the places is ``pooled`` (D,), and whether after a ReLU.

    Compared while they are there: whatever is kept of every layer holds the heap apart.
    """
    found: tuple[str, bool] | None = None
    size = (probe.shape[-2], probe.shape[-1])

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal found
        features = as_map(output, size)
        if features is None or features.shape[1] != pooled.numel():
            return
        for relu in (False, True):
            mean = (features.relu() if relu else features).float().mean(dim=(2, 3)).flatten()
            if torch.allclose(mean, pooled.float(), rtol=1e-2, atol=1e-4):
                found = name, relu
                return

    with looking(model, probe) as own, watching(modules, see):
        model(own)
    return found


def classifier_weight(module: nn.Module) -> Tensor | None:
    """The (C, D) weight of a linear layer or 1×1 convolution, else None."""
    if isinstance(module, nn.Linear):
        return module.weight
    if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1:
        return module.weight.flatten(1)
    return None


def find_spatial_layer(model: nn.Module, images: Tensor) -> str:
    """Name of the last module with a spatial output from which the logits still depend on place.

    That is the last convolutional stage of a CNN; in a transformer that answers from its class
    token it is the last norm before an attention, since later patch tokens have no say.

    Raises:
        LookcloserError: Where no module has a spatial output with a gradient.
    """
    size = (images.shape[-2], images.shape[-1])
    known = _spatial.get(model, {}).get(size)
    if known is not None and known in dict(model.named_modules()):
        return known
    probe, newest = images[:1], 4  # a graph of all outputs would take a training step's memory
    name, start = None, _count_maps(model, probe, size)
    count = start
    while name is None and start > 0:
        start = max(count - newest, 0)
        name = _last_with_say(model, probe, size, start)
        newest *= 4
    if name is None:
        raise LookcloserError(
            f"{type(model).__name__}: no layer puts out a map of features",
            fix="Name the layer: gradcam(model, images, layer='…')",
        )
    _spatial.setdefault(model, {})[size] = name
    return name


def _count_maps(model: nn.Module, probe: Tensor, size: Grid) -> int:
    """How many outputs of modules have a grid, in one forward pass."""
    count = 0

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal count
        count += _may_be_looked_at(leaves[name], output, size)

    leaves = _inside(model)
    with looking(model, probe) as own, watching(leaves, see):
        model(own)
    return count


def _last_with_say(model: nn.Module, probe: Tensor, size: Grid, start: int) -> str | None:
    """The last output with a grid, of those from number ``start`` on, that the logits depend on."""
    seen: list[tuple[str, Tensor]] = []
    passed = 0

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> Any:
        nonlocal passed
        if not _may_be_looked_at(leaves[name], output, size):
            return None
        passed += 1
        if passed <= start:
            return None
        torch.set_grad_enabled(True)  # from here on; the block below puts it back
        kept = output if output.requires_grad else output.detach().requires_grad_()
        seen.append((name, kept))
        return kept.clone()  # an in-place operation that follows changes the copy alone

    leaves = _inside(model)
    with looking(model, probe) as own, watching(leaves, see):
        top = logits_of(model(own)).amax(dim=1).sum()
        if not top.requires_grad:
            return None
        gradients = torch.autograd.grad(top, [kept for _, kept in seen], allow_unused=True)
    for (name, _), gradient in reversed(list(zip(seen, gradients, strict=True))):
        grid = None if gradient is None else as_map(gradient, size)
        if grid is not None and bool(grid.ne(0).any()):
            return name
    return None


def _may_be_looked_at(module: nn.Module, output: Any, size: Grid) -> bool:
    """Whether an output is a map: a projection inside a block is none, nor is an embedding."""
    return not isinstance(module, nn.Linear | nn.Embedding) and as_map(output, size) is not None
