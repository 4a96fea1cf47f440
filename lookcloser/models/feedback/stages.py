"""A timm network in two parts, cut behind one of its stages."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, cast

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import evaluating, watching
from lookcloser.core.sizes import Grid
from lookcloser.models.backbone import Backbone

PROBE = 96  # side of the image on which a cut is tried out, where the network takes any


class BackboneStages:
    """The early and the late part of a backbone; ``late(early(x))`` is the backbone itself.

    Both parts are views of timm's network in which the modules of the other part are passed over,
    so each costs its own share only, and weights, modes and devices are those of the backbone. That
    the two give the whole is tried out on construction.

    Args:
        backbone: Any backbone.
        stage: Index of the stage after which to cut, from 0 as timm counts them; None takes the
            middle one.

    Raises:
        LookcloserError: If there is no such stage with another behind it, or the network cannot be
            cut there (something else than the stage's output is used later on).

    Attributes:
        rim: See `TwoBlock`; here the map has none.
    """

    rim = 0

    def __init__(self, backbone: Backbone, stage: int | None = None) -> None:
        self.backbone = backbone
        names = _stage_names(backbone)
        chosen = max(len(names) - 1, 0) // 2 if stage is None else stage
        if not 0 <= chosen < len(names) - 1:
            raise LookcloserError(
                f"stage {chosen}: {backbone.name} has no such stage with another behind it",
                allowed=f"0 to {len(names) - 2}" if len(names) > 1 else "At least two stages",
            )
        if not self._cut(names[chosen], _probe(backbone)):
            raise LookcloserError(
                f"{backbone.name}: cannot be cut behind its stage {chosen} ({names[chosen]})",
                fix="Choose another {}, or another backbone",
                option="feedback_stage",
            )

    def early(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> the stage's output, in the network's own layout."""
        raw: Tensor = _passing_over(self.backbone.net, self._late).forward_features(images)
        return raw

    def late(self, raw: Tensor, size: torch.Size) -> Tensor:
        """The stage's output for images of ``size`` (H, W) -> features (B, D, h, w)."""
        net = _passing_over(self.backbone.net, self._early)
        if hasattr(net, "_pos_embed"):  # of transformers, a method and no module
            net._pos_embed = lambda tokens: self._with_positions(tokens, size)
        return self.backbone.finish(net.forward_features(raw), size)

    def look(self, raw: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Features as from `late`, and where the class map is read: the same features."""
        features = self.late(raw, size)
        return features, features

    def grid(self, raw: Tensor, size: torch.Size) -> Grid:
        """Of the stage's output for images of ``size``."""
        return Grid(*self.backbone.as_map(raw, size).shape[2:])

    def attend(self, raw: Tensor, attention: Tensor) -> Tensor:
        """The stage's output times ``attention`` (B, 1, h, w); class tokens stay as they are."""
        weight = attention.to(raw.dtype)
        if raw.ndim == 3:
            weight = weight.flatten(2).transpose(1, 2)
            extra = raw.shape[1] - weight.shape[1]
            weight = torch.cat([weight.new_ones(weight.shape[0], extra, 1), weight], dim=1)
        elif self.backbone.channels_last:
            weight = weight.permute(0, 2, 3, 1)
        return raw * weight

    def _with_positions(self, tokens: Tensor, size: torch.Size) -> Any:
        """Tokens as they are, and beside them the rotary positions where the blocks take some."""
        net = self.backbone.net
        given = net._pos_embed(net.patch_embed(tokens.new_zeros(1, 3, *size)))
        return (tokens, *given[1:]) if isinstance(given, tuple) else tokens

    def _cut(self, stage: str, probe: Tensor) -> bool:
        """Sort the modules into early and late ones; whether the two give the whole."""
        size = probe.shape[-2:]
        if hasattr(self.backbone.net, "reroll"):  # Hiera: inner tokens are not in reading order
            return False
        with evaluating(self.backbone), torch.no_grad():
            try:
                order = _order(self.backbone, stage, probe)
                end = order.index(stage) + 1
                self._early, self._late = order[:end], order[end:]
                parts = self.late(self.early(probe), size)
            except (RuntimeError, TypeError, ValueError, AttributeError):
                return False
            whole = self.backbone(probe)
        return parts.shape == whole.shape and torch.allclose(parts, whole, rtol=1e-4, atol=1e-5)


class _Skip(nn.Module):
    """Passes its first input on, whatever else it is given."""

    def forward(self, first: Tensor, *_: Any, **__: Any) -> Tensor:
        return first


def _probe(backbone: Backbone) -> Tensor:
    """An image of noise, of a size that the network takes."""
    settings = backbone.net.pretrained_cfg
    fixed = settings.get("fixed_input_size", False)
    side = settings["input_size"][-1] if fixed else PROBE
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def _stage_names(backbone: Backbone) -> list[str]:
    """Dotted names of the stages that are left in the network, in order."""
    info = list(getattr(backbone.net, "feature_info", None) or [])
    last = len(info) if backbone.stage is None else backbone.stage + 1
    return [stage["module"] for stage in info[:last]]


def _order(backbone: Backbone, stage: str, probe: Tensor) -> list[str]:
    """The modules beside the path to ``stage``, and itself, in the order in which they end."""
    parts = stage.split(".")
    units: dict[str, nn.Module] = {}
    for depth, own in enumerate(parts):
        prefix = parts[:depth]
        for name, child in backbone.net.get_submodule(".".join(prefix)).named_children():
            if name != own or depth == len(parts) - 1:
                units[".".join([*prefix, name])] = child
    order: list[str] = []
    with watching(units, lambda name, _inputs, _output: order.append(name)):
        backbone.net.forward_features(probe)
    return list(dict.fromkeys(order))


def _passing_over(net: nn.Module, names: Collection[str]) -> Any:
    """A view of ``net`` that shares all its modules but those named, which pass their input on."""
    view = copy.copy(net)
    modules: dict[str, nn.Module | None] = dict(net._modules)
    inner: dict[str, list[str]] = {}
    for name in names:
        own, _, rest = name.partition(".")
        if rest:
            inner.setdefault(own, []).append(rest)
        else:
            modules[own] = _Skip()
    for own, rest_of in inner.items():
        modules[own] = _passing_over(cast(nn.Module, modules[own]), rest_of)
    view._modules = modules
    return view
