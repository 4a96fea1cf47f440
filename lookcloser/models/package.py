"""A trained model in one .safetensors file: weights, and in its header all that loading needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader, header_text, parse_header
from lookcloser.core.outputs import check_place
from lookcloser.core.storage.atomic import replacing
from lookcloser.core.storage.files import own_path, unreadable
from lookcloser.models.base import Model
from lookcloser.models.building import Shapes, build_as
from lookcloser.models.registry import evidence_kind
from lookcloser.models.weights import check_weights

KEY = "lookcloser"
_ORIGINAL = "The file was changed after saving, or by a newer lookcloser; take the original"


def save_model_file(path: str | Path, state: Mapping[str, Tensor], header: ModelHeader) -> Path:
    """Write a model's state dict and its header to ``path`` atomically; returns the path.

    Raises:
        LookcloserError: When it cannot be written; a file that was there before is kept.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    stored: set[int] = set()
    for name, tensor in state.items():
        tensors[name] = tensor.detach().cpu().contiguous()
        if tensors[name].data_ptr() in stored:  # a module with two names; the format has no links
            tensors[name] = tensors[name].clone()
        stored.add(tensors[name].data_ptr())
    metadata = {KEY: header_text(header)}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:  # how the writer reports what the system refused
            raise OSError(str(error)) from error
    return path


def is_model_file(path: str | Path) -> bool:
    """Whether a file is a model that lookcloser saved, of any version."""
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def model_place(path: str | Path) -> Path:
    """``path`` if a model may be written there: over another model, or nothing else.

    Raises:
        LookcloserError: As `lookcloser.core.outputs.check_place`.
    """
    path = own_path(path)
    return path if is_model_file(path) else check_place(path)


def read_header(path: str | Path) -> ModelHeader:
    """The header of a saved model, without its weights.

    Raises:
        LookcloserError: For a missing, corrupt or foreign file, and for one of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise LookcloserError(f"{path}: no such file", fix="Give a run folder or its model file")
    try:
        path.open("rb").close()  # safetensors calls a file that it may not read missing
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError) as error:
        raise LookcloserError(
            f"{path}: not a readable .safetensors file ({error})",
            fix="It is damaged or of another kind; train again or take a copy",
        ) from error
    if text is None:
        raise LookcloserError(
            f"{path}: a .safetensors file that lookcloser did not write",
            fix="To start a training from these weights use `lookcloser train --weights FILE`",
        )
    header = parse_header(path, text)
    # Files of before had no such field; it follows from the method.
    return replace(header, evidence_kind=evidence_kind(header.method, header.task))


def load_model_file(path: str | Path) -> tuple[Model, ModelHeader]:
    """The model (in evaluation mode, on the CPU) and its header.

    Raises:
        LookcloserError: As `read_header`; also where the weights do not fit the model.
    """
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        model = _build(Path(path), header, shapes)
        tensors = {name: file.get_tensor(name) for name in names}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unfitting(path, header, str(error).splitlines()[-1].strip()) from error
    check_weights(tensors, path, fix="Its training diverged; train again with a lower --lr")
    return model.eval(), header


def _build(path: Path, header: ModelHeader, shapes: Shapes) -> Model:
    try:  # a backbone could be left out once, and was this one then
        return build_as(header.method, {"backbone": "resnet18", **header.arguments}, shapes)
    except MemoryError:
        raise
    except UsageError as error:  # nobody has given these options just now
        raise LookcloserError(
            f"{path}: {error.what}", allowed=error.allowed, fix=error.fix or _ORIGINAL
        ) from error
    except LookcloserError as error:
        raise _unfitting(path, header, error.what) from error
    except Exception as error:  # whatever a constructor makes of what anybody may have written
        raise _unfitting(path, header, f"{type(error).__name__}: {error}") from error


def _unfitting(path: str | Path, header: ModelHeader, why: str) -> LookcloserError:
    return LookcloserError(
        f"{path}: its weights do not fit a {header.method} model with the arguments in its "
        f"header ({' '.join(why.split())[:300]})",
        fix=_ORIGINAL,
    )
