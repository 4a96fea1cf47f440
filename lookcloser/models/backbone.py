"""Any timm network as a map of features: (B, 3, H, W) -> (B, D, h, w)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import timm
import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import watching
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.models.making import create, first_line
from lookcloser.models.tracing import dead_modules, traced

Triple = tuple[float, float, float]
Network = TypeVar("Network", bound=nn.Module)


class _Needs(NamedTuple):
    """What traces of a network show: the same for all that are made with the same arguments."""

    own_map: bool  # `Backbone.own_map`
    width: int  # `Backbone.width`
    unused: tuple[str, ...]  # modules that the features do not need, and that do not run
    constant: tuple[str, ...]  # parameters that the features do not depend on, of those that do


_KNOWN: dict[tuple[object, ...], _Needs] = {}  # traces take longer than making a small network


class Backbone(nn.Module):
    """A timm network without its pooling and classifier.

    Tokens of transformers are put back on their grid (class and register tokens dropped), and
    channels-last features are transposed. A norm that timm applies after pooling (ConvNeXt) is
    applied at every position before it, so that a linear head on the pooled features still splits
    into a class map. Of networks whose features are several maps (CrossViT) or tokens in an order
    of their own (Hiera), the map of the last stage is taken.

    It keeps the layers that its features need and no others: what timm has behind them (fc6 and fc7
    of VGG, the last convolution of MobileNetV3) is taken out, so that every parameter learns.
    Weights of these layers in a state dict are passed over.

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
        dropped: Names of the state dict, as timm's, of the layers that were taken out.

    Raises:
        LookcloserError: For a name timm does not know (near names are offered), arguments it does
            not take, a stride no stage has, or a network that gives no map of features.
    """

    def __init__(
        self, name: str, *, stride: int | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.net = create(name, dict(options or {}))
        self.prefix_tokens = int(getattr(self.net, "num_prefix_tokens", 0) or 0)
        self.channels_last = getattr(self.net, "output_fmt", "") == "NHWC"
        self.stage: int | None = None
        self.own_map, self.own_norm = False, not hasattr(self.net, "reroll")  # Hiera has it later
        if stride is not None:
            self.stage = _stage_of_stride(self.net, name, stride)
        post_norm = getattr(getattr(self.net, "head", None), "norm", None)
        # A norm of another width is behind a hidden layer (InceptionNeXt), not behind the pooling.
        weight = getattr(post_norm, "weight", None)
        fits = weight is not None and len(weight) == self.net.num_features
        self.norm_first = fits and stride is None
        last_norm = isinstance(getattr(self.net, "norm", None), nn.LayerNorm) and stride is None
        self.ends_in_norm = self.norm_first or last_norm
        keys = set(self.net.state_dict())
        if self.stage is not None:
            self.net.prune_intermediate_layers([self.stage], prune_norm=True, prune_head=True)
        native = _native_size(name, dict(options or {}))
        maker = timm.models.model_entrypoint(name)  # a name may be given to another network
        made = (type(self.net), maker, name, repr(options), self.stage)
        needs = _KNOWN[made] = _KNOWN.get(made) or self._needs(native)
        self.own_map, self.width = needs.own_map, needs.width
        self._keep(needs)
        self.dropped = frozenset(keys - set(self.net.state_dict()))
        self.register_load_state_dict_pre_hook(_pass_over_dropped)  # type: ignore[no-untyped-call]  # torch has no types here

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, D, h, w)."""
        if self.stage is not None:
            stages: list[Tensor] = self.net.forward_intermediates(
                images, indices=[self.stage], stop_early=True, intermediates_only=True
            )
            return stages[0]
        if self.own_map:
            last: list[Tensor] = self.net.forward_intermediates(
                images, indices=1, norm=self.own_norm, intermediates_only=True
            )
            return self._normed(last[-1])
        return self.finish(self.net.forward_features(images), images.shape[-2:])

    def grid(self, size: Grid) -> Grid:
        """That of the features of images of ``size``, for parts that need to know it.

        Raises:
            LookcloserError: As `check`.
        """
        return Grid(*map(int, self._seen(size).shape[-2:]))

    def check(self, size: Grid, batch: int = 2) -> None:
        """Refuse what would end in the middle of a training, before it begins.

        Args:
            size: Of the images.
            batch: How many there are in the smallest batch; with a single one, batch norms that
                learn need more than one place.

        Raises:
            LookcloserError: If the network does not take them.
        """
        if batch > 1:
            self._seen(size)
            return
        places: list[int] = []
        norms = {
            name: module
            for name, module in self.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
        }
        with watching(norms, lambda _name, given, _: places.append(given[0][0, 0].numel())):
            self._seen(size)
        if 1 in places:
            raise LookcloserError(
                f"batches of one image of {size[0]}×{size[1]}: the batch norm of {self.name} needs "
                "more than one value",
                fix="Use a larger --batch-size or --size, or --freeze-norm",
            )

    def finish(self, raw: Tensor, size: torch.Size) -> Tensor:
        """What timm's ``forward_features`` gives for images of ``size`` (H, W) -> (B, D, h, w)."""
        return self._normed(self.as_map(raw, size))

    def as_map(self, raw: Tensor, size: torch.Size) -> Tensor:
        """Any stage's output, in timm's layout, for images of ``size`` (H, W) -> (B, D, h, w)."""
        if raw.ndim == 3:
            return self._to_grid(raw[:, self.prefix_tokens :], size)
        return raw.permute(0, 3, 1, 2) if self.channels_last else raw

    def _normed(self, features: Tensor) -> Tensor:
        """Features (B, D, h, w) behind the norm that timm has behind the pooling."""
        if not self.norm_first:
            return features
        norm = self.net.head.norm
        if isinstance(norm, nn.LayerNorm) and not isinstance(norm, LayerNorm2d):
            normed: Tensor = norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return normed
        return norm(features)  # type: ignore[no-any-return]  # a module of timm

    def _to_grid(self, tokens: Tensor, size: torch.Size) -> Tensor:
        """Tokens (B, N, D) of images of ``size`` (H, W) -> (B, D, h, w) with h·w = N."""
        count = tokens.shape[1]
        grid_of = getattr(getattr(self.net, "patch_embed", None), "dynamic_feat_size", None)
        rows = grid_of(tuple(size))[0] if grid_of else 0
        if not rows or count % rows:  # networks that merge patches on the way, e.g. LeViT
            rows = round(math.sqrt(count * size[0] / size[1]))
        return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, rows, count // rows)

    def _seen(self, size: Grid) -> Tensor:
        """The features, without values, of one image of ``size``."""
        return self._traced(size)[0]

    def _traced(self, size: Grid) -> tuple[Tensor, set[str]]:
        """`tracing.traced`, with an error that says what to do."""
        try:
            output, living = traced(self, size)
        except Exception as error:  # whatever a network of timm raises
            taken = _native_size(self.name, {})
            raise LookcloserError(
                f"{self.name}: takes no images of {size[0]}×{size[1]} ({first_line(error)})",
                fix=f"Give --size {taken[0]}, or, where the network has it, "
                f"--model-kwargs img_size={size[0]}",
            ) from error
        return output, living

    def _is_plain(self, size: Grid) -> bool:
        """Whether timm's ``forward_features`` is a map, or tokens in the order of their places."""
        if hasattr(self.net, "num_prefix_tokens") or not hasattr(self.net, "forward_intermediates"):
            return True
        try:
            raw, _ = traced(_Features(self.net), size)
        except Exception:  # said in words by the trace of the whole that follows
            return True
        return isinstance(raw, Tensor) and raw.ndim == 4

    def _needs(self, size: Grid) -> _Needs:
        """What images of ``size`` show of the network."""
        self.own_map = self.stage is None and not self._is_plain(size)
        ran: set[str] = set()
        with watching(dict(self.named_modules()), lambda name, *_: ran.add(name)):
            features, living = self._traced(size)
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise LookcloserError(
                f"{self.name}: it does not put out one map of features",
                fix="Choose another backbone; docs/backbones.md lists those that were tried",
            )
        unused = tuple(name for name in dead_modules(self, living) if name not in ran)
        constant = tuple(
            name
            for name, _ in self.named_parameters()
            if name not in living and not any(name.startswith(f"{dead}.") for dead in unused)
        )
        return _Needs(self.own_map, int(features.shape[1]), unused, constant)

    def _keep(self, needs: _Needs) -> None:
        """Take out the layers that the features do not depend on.

        What runs all the same, as the other branches of CrossViT's last block, stays as constants.
        """
        for name in needs.unused:
            parent, _, child = name.rpartition(".")
            setattr(self.get_submodule(parent), child, nn.Identity())
        for name in needs.constant:
            owner, _, own = name.rpartition(".")
            module = self.get_submodule(owner)
            constant = module._parameters.pop(own)
            module.register_buffer(own, None if constant is None else constant.detach())


class _Features(nn.Module):
    """timm's ``forward_features`` as a module's forward."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Any:
        return self.net.forward_features(images)  # type: ignore[operator]  # a method of timm's


def _pass_over_dropped(
    backbone: nn.Module, state: dict[str, Any], prefix: str, *_given: Any
) -> None:
    """Weights of layers that are no longer there, as older files have them, are no error."""
    assert isinstance(backbone, Backbone)
    for name in backbone.dropped:
        state.pop(f"{prefix}net.{name}", None)


def _native_size(name: str, options: Mapping[str, Any]) -> Grid:
    """The input that a timm network is made for."""
    given = options.get("img_size")
    if isinstance(given, int):
        return Grid(given, given)
    config: Any = timm.get_pretrained_cfg(name)
    return Grid(*map(int, config.input_size[-2:]))


def in_channels_last(network: Network) -> Network:
    """``network`` with its weights of four axes in channels-last memory; returns it.

    Unlike ``network.to(memory_format=...)`` it passes over those of five, which some networks have.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return network


def normalization(name: str) -> tuple[Triple, Triple]:
    """(mean, std) per channel that images for a backbone are normalized with, in [0, 1].

    timm's for its weights, or ImageNet's for a network that is not timm's.
    """
    known: Any = timm.get_pretrained_cfg(name)
    default = Preprocessing()
    if known is None:
        return default.mean, default.std
    return _triple(known.mean), _triple(known.std)


def _triple(values: tuple[float, ...]) -> Triple:
    """Per channel; timm repeats nothing for gray networks, this package feeds RGB only."""
    red, green, blue = values if len(values) == 3 else (values[0],) * 3
    return red, green, blue


def _stage_of_stride(net: Any, name: str, stride: int) -> int:
    """Index of the deepest stage with at most this stride."""
    info = getattr(net, "feature_info", None)
    stages = list(info or [])
    fitting = [index for index, stage in enumerate(stages) if stage["reduction"] <= stride]
    if not fitting or not hasattr(net, "prune_intermediate_layers"):
        has = sorted({stage["reduction"] for stage in stages})
        raise LookcloserError(
            f"stride {stride}: the backbone {name} has no stage as fine",
            allowed=f"Its stages have strides {has}" if has else None,
            fix="Leave {} out for the whole network",
            option="stride",
        )
    return fitting[-1]
