"""What a method says about itself without torch: its name, its tasks and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookcloser.core.choices import Task
from lookcloser.core.options import Declared, Options, declared, option

if TYPE_CHECKING:
    from lookcloser.models.base import Model


@dataclass(frozen=True)
class BackboneOptions(Options):
    """What every method with a timm network takes; see `Backbone`.

    Methods add their own options to a subclass. Training has these too, so that a method's are
    filled from those of the training.
    """

    backbone: str = option("tf_efficientnet_lite0", "Any timm model name.")
    stride: int | None = option(None, "Cut the backbone at this stride, for finer maps.", above=0)
    model_kwargs: Mapping[str, Any] = option({}, "Arguments of the timm model, e.g. pad_type=same.")
    drop_rate: float = option(0.0, "Dropout before the head.", least=0, below=1)


@dataclass(frozen=True)
class Method:
    """A method as its folder declares it in options.py.

    Attributes:
        name: What it is chosen by.
        tasks: What it can answer.
        summary: One line for the list of methods.
        options: The class whose fields are its options.
        model: Where its `Model` is, as "module:class"; imported when it is first needed.
    """

    name: str
    tasks: tuple[Task, ...]
    summary: str
    options: type[BackboneOptions]
    model: str

    def load(self) -> type[Model]:
        """Its class; this imports torch."""
        module, _, name = self.model.partition(":")
        found: type[Model] = getattr(import_module(module), name)
        return found

    @property
    def own(self) -> Mapping[str, Declared]:
        """What a user can give for this method, beside what every training has."""
        shared = declared(BackboneOptions)
        found = declared(self.options).items()
        return {name: item for name, item in found if name not in shared and item.use != "data"}
