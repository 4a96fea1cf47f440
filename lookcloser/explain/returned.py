"""The tensors in what a network returned, and the one of them that holds the logits of classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from lookcloser.core.errors import LookcloserError, NotFiniteError

_DEEPEST = 4  # outputs within outputs that are looked through
_LOGITS = ("logits", "logit")
# What networks call numbers that a classifier would still have to read: parts of names ...
_FEATURES = (
    "backbone", "bottleneck", "descriptor", "embed", "encod", "feature", "hidden", "latent",
    "pooled", "pooler", "pre_logits", "prelogits", "projection", "representation", "token",
)  # fmt: skip
# ... and whole words, which are found in names of other things too. Boxes are no classes either.
_FEATURE_WORDS = {
    "bbox", "bboxes", "box", "boxes", "code", "codes", "emb", "embs", "feat", "feats", "h",
    "keypoints", "mask", "masks", "rep", "repr", "reps", "state", "vec", "vector", "z",
}  # fmt: skip


def parts_of(output: Any, depth: int = _DEEPEST) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an output by name, those without one by number.

    Names of outputs within outputs are joined by dots: ``head.logits``, ``0.boxes``.
    """
    for name, part in _items(output):
        if isinstance(part, Tensor):
            if part.is_complex() or part.layout is not torch.strided:
                continue
            yield str(name), part.dequantize() if part.is_quantized else part
        elif depth > 1:
            for inner, tensor in parts_of(part, depth - 1):
                yield f"{name}.{inner}", tensor


def _items(output: Any) -> list[tuple[Any, Any]]:
    if isinstance(output, Tensor):
        return [("output", output)]
    if isinstance(output, Mapping):
        return list(output.items())
    if hasattr(output, "_asdict"):
        return list(output._asdict().items())
    if isinstance(output, tuple | list):
        return list(enumerate(output))
    if is_dataclass(output):
        return [(field.name, getattr(output, field.name)) for field in fields(output)]
    own = {**getattr(output, "__dict__", {}), "logits": getattr(output, "logits", None)}
    return [(name, part) for name, part in own.items() if isinstance(part, Tensor)]


def logits_of(output: Any) -> Tensor:
    """The (B, C) logits in what a network returned.

    That is a tensor, the field or key ``logits``, or the only tensor of two dimensions among the
    outputs.

    Raises:
        LookcloserError: Where there is none, or where several may be meant.
    """
    parts = dict(parts_of(output))
    parts = _called_logits(parts) or parts
    found = {name: part for name, part in parts.items() if part.ndim == 2}
    if len(found) > 1:
        names = " or ".join(name if name.isdigit() else repr(name) for name in found)
        raise LookcloserError(
            f"the model returned {_listed(found)}: which one is meant cannot be told",
            fix=f"Name one: `NamedOutput(model, output)` for the model, with output = {names}",
        )
    if not found:
        alone = isinstance(output, Tensor)
        shapes = str(tuple(output.shape)) if alone else _listed(parts) or type(output).__name__
        raise LookcloserError(
            f"the model returned {shapes}",
            allowed="Logits of shape (batch, classes), alone or as the only such output",
        )
    ((name, logits),) = found.items()
    if _is_of_features(name):
        raise LookcloserError(
            f"the model returned {name} {tuple(logits.shape)}: features, not the logits of classes",
            fix="Use eigencam or attention_rollout, which need no class; where these are "
            f"classes, `NamedOutput(model, {name!r})`",
        )
    return logits


def _called_logits(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is called logits, the outermost of those."""
    named = [name for name in parts if name.rpartition(".")[2].lower() in _LOGITS]
    outermost = min((name.count(".") for name in named), default=0)
    return {name: parts[name] for name in named if name.count(".") == outermost}


def _listed(parts: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tuple(part.shape)}" for name, part in parts.items())


def _is_of_features(name: str) -> bool:
    """Whether an output has the name of features."""
    last = name.rpartition(".")[2].lower()
    if last.endswith(_LOGITS) and "pre" not in last:
        return False
    words = set(re.split(r"[^a-z]+", name.lower()))
    return any(part in name.lower() for part in _FEATURES) or bool(words & _FEATURE_WORDS)


def scores_of(output: Any) -> Tensor:
    """One number that stands for all that a network answers: logits, or features where it has none.

    Raises:
        LookcloserError: Where nothing that was returned is a tensor of real numbers, or where the
            answer is not finite.
    """
    parts = [part for _, part in parts_of(output) if part.is_floating_point()]
    if not parts:
        raise LookcloserError(
            f"the model returned {type(output).__name__}",
            allowed="One or more tensors of real numbers",
        )
    chosen = max(parts, key=lambda part: part.ndim == 2)  # the first one where none has two
    check_finite(chosen)
    return chosen.amax(dim=-1).sum() if chosen.ndim == 2 else chosen.square().sum()


def check_finite(answer: Tensor) -> None:
    """Raise a `NotFiniteError` for an answer with NaN or infinity; minus infinity rules out."""
    if bool((answer.isnan() | answer.isposinf()).any()):
        raise NotFiniteError(
            "the answer of the model is not finite (NaN or infinity)",
            fix="Look for such numbers in its weights; in half precision, take bfloat16 or float32",
        )
