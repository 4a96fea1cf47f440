"""What a network of timm may be given as a backbone, and making it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch

from lookcloser.core.errors import LookcloserError, UsageError, unknown

# Words in the names of arguments by which timm reads files or the network (checkpoint_path,
# pretrained_cfg_overlay, cache_dir). A saved model's header may come from anybody, and weights
# come in through `load_backbone_weights` alone.
_READING = ("pretrained", "checkpoint", "cache", "path", "file", "url", "hub", "weights")


def check_backbone(name: str) -> None:
    """Raise the error with near names where timm does not know ``name``, or the tag in it."""
    if not timm.is_model(name):
        raise unknown(name, "backbone", timm.list_models())
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        plain = name.partition(".")[0]
        known = [plain, *timm.list_pretrained(f"{plain}.*")]
        raise unknown(name, "backbone", known) from error


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


def create(name: str, options: dict[str, Any]) -> Any:
    """A network of timm without a classifier.

    Raises:
        LookcloserError: For a name timm does not know, and for arguments it does not take.
    """
    check_backbone(name)
    check_options(options)
    _check_of_backbone(options)
    try:
        return _made(name, options)
    except (LookcloserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a constructor makes of what it was given
        raise LookcloserError(
            f"{options}: not arguments of the backbone {name} ({first_line(error)})",
            fix="Fix {}; the names are those of timm.create_model",
            option="model_kwargs",
        ) from error


def _check_of_backbone(options: Mapping[str, Any]) -> None:
    """Raise a `LookcloserError` for what makes timm build something else than a backbone."""
    if options.get("in_chans", 3) != 3:
        raise LookcloserError(
            f"in_chans={options['in_chans']}: images are given in three channels",
            fix="Leave it out; gray images are made RGB",
        )
    for name, why in (
        ("features_only", "the features of the last stage are taken"),
        ("num_classes", "the data says how many there are"),
    ):
        if name in options:
            raise LookcloserError(f"{name}: {why}", fix="Leave it out of {}", option="model_kwargs")
    for name, value in options.items():
        if str(name).endswith("_rate") and isinstance(value, int | float) and not 0 <= value < 1:
            raise LookcloserError(f"{name}={value}", allowed="0 or more, below 1")


def _made(name: str, options: dict[str, Any]) -> Any:
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
    return timm.create_model(name, num_classes=0, **options)


def first_line(error: Exception) -> str:
    """What an error says first, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
