"""Any timm network as a map of features: (B, 3, H, W) -> (B, D, h, w)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, UsageError, unknown
from lookcloser.core.hooks import evaluating


class Backbone(nn.Module):
    """A timm network without its pooling and classifier.

    Tokens of transformers are put back on their grid (class and register tokens dropped), and
    channels-last features are transposed. A norm that timm applies after pooling (ConvNeXt) is
    applied at every position before it, so that a linear head on the pooled features still splits
    into a class map.

    Args:
        name: A timm model name, e.g. ``"resnet50"``.
        stride: Stop at the deepest stage whose stride is at most this, for finer maps; None takes
            the whole network.
        options: Further arguments of the timm model, e.g. ``{"pad_type": "same"}``.

    Attributes:
        net: The timm network; its state dict has timm's own keys.
        width: D, the number of feature channels.
        ends_in_norm: Whether the last layer norms every position over its channels, so that how
            strongly a place responds is no longer in their mean.

    Raises:
        LookcloserError: For a name timm does not know (near names are offered), arguments it does
            not take, or a stride no stage has.
    """

    def __init__(
        self, name: str, *, stride: int | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.net = _create(name, dict(options or {}))
        self.prefix_tokens = int(getattr(self.net, "num_prefix_tokens", 0) or 0)
        self.channels_last = getattr(self.net, "output_fmt", "") == "NHWC"
        self.stage: int | None = None
        self.width = int(self.net.num_features)
        if stride is not None:
            self.stage, self.width = _stage_of_stride(self.net, name, stride)
            self.net.prune_intermediate_layers([self.stage], prune_norm=True, prune_head=True)
        post_norm = getattr(getattr(self.net, "head", None), "norm", None)
        self.norm_first = isinstance(post_norm, nn.Module) and stride is None
        last_norm = isinstance(getattr(self.net, "norm", None), nn.LayerNorm) and stride is None
        self.ends_in_norm = self.norm_first or last_norm

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, D, h, w)."""
        if self.stage is not None:
            stages: list[Tensor] = self.net.forward_intermediates(
                images, indices=[self.stage], stop_early=True, intermediates_only=True
            )
            return stages[0]
        return self.finish(self.net.forward_features(images), images.shape[-2:])

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the features of images of ``size`` (H, W), for parts that need to know it.

        One blank image is run through the network, which is left as it was found.
        """
        parameter = next(self.parameters())
        with evaluating(self), torch.no_grad():
            height, width = self(parameter.new_zeros(1, 3, *size)).shape[-2:]
        return int(height), int(width)

    def finish(self, raw: Tensor, size: torch.Size) -> Tensor:
        """What timm's ``forward_features`` gives for images of ``size`` (H, W) -> (B, D, h, w)."""
        features = self.as_map(raw, size)
        if self.norm_first:
            features = self.net.head.norm(features)
        return features

    def as_map(self, raw: Tensor, size: torch.Size) -> Tensor:
        """Any stage's output, in timm's layout, for images of ``size`` (H, W) -> (B, D, h, w)."""
        if raw.ndim == 3:
            return self._to_grid(raw[:, self.prefix_tokens :], size)
        return raw.permute(0, 3, 1, 2) if self.channels_last else raw

    def _to_grid(self, tokens: Tensor, size: torch.Size) -> Tensor:
        """Tokens (B, N, D) of images of ``size`` (H, W) -> (B, D, h, w) with h·w = N."""
        count = tokens.shape[1]
        grid_of = getattr(getattr(self.net, "patch_embed", None), "dynamic_feat_size", None)
        rows = grid_of(tuple(size))[0] if grid_of else 0
        if not rows or count % rows:  # networks that merge patches on the way, e.g. LeViT
            rows = round(math.sqrt(count * size[0] / size[1]))
        return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, rows, count // rows)


def check_backbone(name: str) -> None:
    """Raise the error with near names where timm does not know ``name``."""
    if not timm.is_model(name):
        raise unknown(name, "backbone", timm.list_models())


# Words in the names of arguments by which timm reads files or the network (checkpoint_path,
# pretrained_cfg_overlay, cache_dir). A saved model's header may come from anybody, and weights
# come in through `load_backbone_weights` alone.
_READING = ("pretrained", "checkpoint", "cache", "path", "file", "url", "hub", "weights")


def check_options(options: Mapping[str, Any]) -> None:
    """Raise a `UsageError` for what no backbone may be given; every network of timm's is made so.

    Allowed are plain values, and lists and mappings of them, under names that do not make timm read
    a file or the network: a checkpoint of another format than safetensors may hold code.
    """
    for name, value in options.items():
        # Of "drop_path_rate" the path is one through the network.
        words = str(name).lower().replace("drop_path", "").split("_")
        if set(words) & set(_READING):
            raise UsageError(
                f"{name}: not allowed among the backbone's arguments",
                fix="Choose weights with --weights pretrained, none or FILE",
            )
        _check_plain(str(name), value)


def _check_plain(name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        check_options(value)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_plain(name, part)
    elif value is not None and not isinstance(value, bool | int | float | str):
        raise UsageError(
            f"{name} {value!r}: not possible among the backbone's arguments",
            allowed="numbers, words, true, false, null and lists of them",
        )


def _create(name: str, options: dict[str, Any]) -> Any:
    check_backbone(name)
    check_options(options)
    # Transformers are built for one size; ask for any size in the ways that timm has for it.
    fixed = bool(getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False))
    any_size: list[dict[str, Any]] = (
        [{"dynamic_img_size": True, "dynamic_img_pad": True}, {"strict_img_size": False}]
        if fixed
        else []
    )
    for extra in any_size:
        try:
            return timm.create_model(name, num_classes=0, **extra, **options)
        except TypeError:
            continue
    try:
        return timm.create_model(name, num_classes=0, **options)
    except TypeError as error:
        raise LookcloserError(
            f"{options}: not arguments of the backbone {name} ({error})",
            fix="Fix --model-kwargs; the names are those of timm.create_model",
        ) from error


def _stage_of_stride(net: Any, name: str, stride: int) -> tuple[int, int]:
    """(index, channels) of the deepest stage with at most this stride."""
    info = getattr(net, "feature_info", None)
    stages = list(info or [])
    fitting = [index for index, stage in enumerate(stages) if stage["reduction"] <= stride]
    if not fitting or not hasattr(net, "prune_intermediate_layers"):
        has = sorted({stage["reduction"] for stage in stages})
        raise LookcloserError(
            f"stride {stride}: the backbone {name} has no stage as fine",
            allowed=f"Its stages have strides {has}" if has else None,
            fix="Leave --stride out for the whole network",
        )
    return fitting[-1], int(stages[fitting[-1]]["num_chs"])
