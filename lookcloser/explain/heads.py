"""Finding where a network averages its features into its logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import Watcher, watching
from lookcloser.core.sizes import Grid
from lookcloser.explain.borders import check_layer
from lookcloser.explain.context import check_images, looking
from lookcloser.explain.gradients import check_has_gradients
from lookcloser.explain.layers import blind, blind_error, check_open, inside
from lookcloser.explain.outputs import logits_again, logits_from
from lookcloser.explain.places import (
    MOST_OTHERS,
    Layout,
    find_layout,
    may_have_places,
    probes,
)
from lookcloser.explain.remembered import Remembered


@dataclass(frozen=True)
class PooledHead:
    """Where a network's features are averaged, and what turns the averages into logits.

    Attributes:
        layer: Name of the module that puts out the features.
        layout: How its output is read as a map.
        classifier: Name of the linear layer (or 1×1 convolution) that puts out the logits; None
            where the averages are the logits, so that the features are the class maps.
        relu: Whether a ReLU stands between the features and the pooling.
    """

    layer: str
    layout: Layout
    classifier: str | None
    relu: bool

    def maps(self, output: Tensor) -> Tensor:
        """What is averaged, (B, D, h, w), from the output of the layer."""
        maps = self.layout.places(output)
        return maps.relu() if self.relu else maps


# With the modules that it names, which the network alone keeps alive.
_heads: Remembered[tuple[PooledHead, Mapping[str, nn.Module]]] = Remembered()


def pooled_features(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """What a network averages, the weight of its classifier, and the logits of the images.

    What is remembered of the network holds only if the averages of these very images are what its
    classifier takes; otherwise it is looked for again.

    Returns:
        Features (B, D, h, w); the weight (C, D), or None where the features are the class maps;
        logits (B, C).

    Raises:
        LookcloserError: Where the logits are not a linear layer of averaged features.
    """
    return _found(model, images)[1:]


def pooled_head(model: nn.Module, images: Tensor) -> PooledHead:
    """Where `pooled_features` finds a network's features; ``images`` and errors are its."""
    return _found(model, images)[0]


def _found(model: nn.Module, images: Tensor) -> tuple[PooledHead, Tensor, Tensor | None, Tensor]:
    check_images(model, images)
    check_open(model)
    size = Grid(*images.shape[-2:])
    known = _heads.get(model, size)
    if known is not None:
        head, named = known
        features, weight, logits, right = _read(model, images, head, named, logits_again)
        if right:
            return head, features, weight, logits
        _heads.forget(model)
    head = _find(model, images[:1], size)
    check_layer(model, images[:1], head.layer, head.layout)
    named = WeakValueDictionary(
        {name: one for name, one in inside(model).items() if name in (head.layer, head.classifier)}
    )
    features, weight, logits, right = _read(model, images, head, named, logits_from)
    if not right:
        raise _no_head(model)
    _heads.put(model, size, (head, named))
    return head, features, weight, logits


def _read(
    model: nn.Module,
    images: Tensor,
    head: PooledHead,
    named: Mapping[str, nn.Module],
    answer: Callable[[nn.Module, Tensor], Tensor],
) -> tuple[Tensor, Tensor | None, Tensor, bool]:
    """Features, weight and logits, and whether the averages are what the logits come from."""
    seen: dict[str, Tensor] = {}
    taken: dict[str, Tensor] = {}

    def see(name: str, inputs: tuple[Any, ...], output: Any) -> Any:
        if name == head.layer and head.layout.fits(output, len(images)):
            seen[name] = output
            return output.clone()  # what follows in place must not reach our features
        if name == head.classifier and inputs and isinstance(output, Tensor):
            taken["pooled"], taken["logits"] = inputs[0].flatten(1), output.flatten(1)
        return None

    with looking(model, images) as pixels, watching(dict(named), see):
        logits = answer(model, pixels)
    if head.layer not in seen:
        return logits, None, logits, False
    features = head.maps(seen[head.layer])
    if head.classifier is None:
        return features, None, logits, _same(features.mean(dim=(2, 3)), logits)
    linear = named.get(head.classifier)
    weight = None if linear is None else classifier_weight(linear)
    right = (
        weight is not None
        and "pooled" in taken
        and torch.equal(taken["logits"], logits)
        and _same(features.mean(dim=(2, 3)), taken["pooled"])
        and (
            _is_torchs_own(linear)
            or _linear(taken["pooled"], weight, getattr(linear, "bias", None), logits)
        )
    )
    return features, weight, logits, right


def _is_torchs_own(module: nn.Module | None) -> bool:
    """Whether a layer multiplies as torch's own do: nobody else's subclass, forward or hook."""
    if module is None or type(module) not in (nn.Linear, nn.Conv2d) or "forward" in vars(module):
        return False
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return all(isinstance(hook, Watcher) for hook in hooks)


def _linear(pooled: Tensor, weight: Tensor, bias: Tensor | None, logits: Tensor) -> bool:
    """Whether the logits are the product with the weight, and no subclass or hook says otherwise.

    Relative to the sum of what is added up, whose rounding is larger than the logits' own.
    """
    if weight.shape != (logits.shape[1], pooled.shape[1]):
        return False
    inputs, rows = pooled.detach().float(), weight.detach().float()
    added = torch.zeros(len(rows)).to(rows) if bias is None else bias.detach().float()
    expected = inputs @ rows.T + added
    scale = inputs.abs() @ rows.abs().T + added.abs()
    slack = _slack(pooled.dtype, weight.dtype, logits.dtype)
    return bool(((logits.detach().float() - expected).abs() <= slack * scale).all())


def _find(model: nn.Module, image: Tensor, size: Grid) -> PooledHead:
    check_has_gradients(model)
    with looking(model, image) as own:
        tries = probes(own)
    for classifier, pooled in _candidates(model, tries):
        head = _averaged_to(pooled, classifier, model, tries, size)
        if head is not None:
            return head
    # The features of a blind network are rounding, which lies nowhere.
    raise blind_error(model) if blind(model, image, rounding=1e-6) else _no_head(model)


def _no_head(model: nn.Module) -> LookcloserError:
    return LookcloserError(
        f"{type(model).__name__}: its logits are not one linear layer on averaged features, so "
        "it has no class activation map",
        fix="Use gradcam, which works on any network with gradients",
    )


def _candidates(model: nn.Module, tries: Tensor) -> Iterator[tuple[str | None, Tensor]]:
    """What may be averages (5, D), and the linear layer behind them; the logits themselves last."""
    modules = inside(model)
    seen: list[tuple[str, Tensor, Tensor]] = []

    def see(name: str, inputs: tuple[Any, ...], output: Any) -> None:
        weight = classifier_weight(modules[name])
        tensors = bool(inputs) and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)
        if weight is not None and tensors and output.numel() == len(tries) * len(weight):
            seen.append((name, inputs[0].flatten(1).clone(), output.flatten(1).clone()))

    with looking(model, tries) as own, watching(modules, see):
        logits = logits_from(model, own)
    for name, taken, given in reversed(seen):
        if torch.equal(given, logits):
            yield name, taken
    yield None, logits


def _averaged_to(
    pooled: Tensor, classifier: str | None, model: nn.Module, tries: Tensor, size: Grid
) -> PooledHead | None:
    """The last features whose averages over the places are ``pooled`` (5, D).

    Compared while they are there: whatever is kept of every layer holds the heap apart.
    """
    found: PooledHead | None = None

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal found
        if not (may_have_places(output, len(tries)) and _may_average_to(pooled, output)):
            return
        layout = find_layout(output, size, width=pooled.shape[1])
        if layout is None:
            return
        for relu in (False, True):
            head = PooledHead(name, layout, classifier, relu)
            if _same(head.maps(output).mean(dim=(2, 3)), pooled):
                found = head
                return

    with looking(model, tries) as own, watching(inside(model), see):
        logits_from(model, own)
    return found


def _may_average_to(pooled: Tensor, output: Tensor) -> bool:
    """Whether ``pooled`` is a mean of an output over all places, a few tokens at the ends left out.

    Cheap: it is asked of every layer.
    """
    for axis, width in enumerate(output.shape):
        if width != pooled.shape[1]:
            continue
        for batch in {0, 1} - {axis}:
            if output.shape[batch] != len(pooled):
                continue
            values = output.movedim((batch, axis), (0, 1)).flatten(2)
            values = values.dequantize() if values.is_quantized else values
            for own in (values, values.relu()):
                total = own.sum(dim=2)
                for ends in (own[..., :MOST_OTHERS], own[..., -MOST_OTHERS:].flip(2)):
                    left = total[..., None] - torch.nn.functional.pad(ends.cumsum(2), (1, 0))
                    counts = own.shape[2] - torch.arange(left.shape[2], device=left.device)
                    means = left / counts.clamp(min=1)
                    if any(_same(mean, pooled) for mean in means.unbind(2)):
                        return True
    return False


def _same(mean: Tensor, pooled: Tensor) -> bool:
    """Equal but for rounding, relative to the largest value."""
    if mean.shape != pooled.shape:
        return False
    largest = float(pooled.float().abs().amax())
    slack = _slack(mean.dtype, pooled.dtype) * largest
    return largest > 0 and bool((mean.float() - pooled.float()).abs().amax() <= slack)


def _slack(*kinds: torch.dtype) -> float:
    """The rounding that numbers of these types may have, as a share."""
    return 2e-2 if {torch.bfloat16, torch.float16} & set(kinds) else 1e-4


def classifier_weight(module: nn.Module) -> Tensor | None:
    """The (C, D) weight of a linear layer or 1×1 convolution, else None."""
    if isinstance(module, nn.Linear):
        return module.weight
    if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1:
        return module.weight.flatten(1)
    return None
