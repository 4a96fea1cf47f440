"""Which methods there are. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import UsageError, unknown
from lookcloser.core.types import Kind
from lookcloser.models.options import Method

if TYPE_CHECKING:
    from lookcloser.models.base import Model

# A folder each; its options.py says which methods are in it and what they take.
FOLDERS = [
    "cam",
    "racnn",
    "osme",
    "sigmoid",
    "cnnrnn",
    "captioner",
    "feedback",
]


def _methods() -> dict[str, Method]:
    modules = [import_module(f"lookcloser.models.{folder}.options") for folder in FOLDERS]
    return {method.name: method for module in modules for method in module.METHODS}


METHODS: dict[str, Method] = _methods()


def method_named(name: str) -> Method:
    """What a method says about itself.

    Raises:
        UsageError: For an unknown name; the message offers near ones or all.
    """
    if name not in METHODS:
        raise unknown(name, "method", METHODS)
    return METHODS[name]


def methods_with(option: str) -> list[str]:
    """Names of the methods that have an option of their own by this name."""
    return [name for name, method in METHODS.items() if option in method.own]


def model_class(name: str) -> type[Model]:
    """The class of a method by its name; this imports torch.

    Raises:
        UsageError: As `method_named`.
    """
    return method_named(name).load()


def evidence_kind(method: str, task: Task) -> Kind:
    """What one piece of evidence is of an answer of a method: a class, a step or a word."""
    if TRAITS[task].labels == "words":
        return "word"
    return "step" if model_class(method).sequential else "map"


def build_model(method: str, arguments: Mapping[str, Any]) -> Model:
    """A model with random weights.

    Args:
        method: A name in `METHODS`.
        arguments: ``num_classes``, and options of the method by name, as a saved model's header
            has them.

    Raises:
        LookcloserError: For an unknown method, and for options it does not take.
    """
    options = dict(arguments)
    classes = options.pop("num_classes", None)
    if not isinstance(classes, int) or classes < 1:
        raise UsageError(f"num_classes {classes}: not possible", allowed="a whole number above 0")
    kind = model_class(method)
    return kind(classes, kind.Options.read(options))
