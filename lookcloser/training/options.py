"""Every option of training, once: the Python call, the command line and config.yaml read this.

Options of a method stand in its own folder; here they are under their names in `TrainOptions.own`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from lookcloser.core.choices import BoxRule
from lookcloser.core.errors import UsageError, unknown
from lookcloser.core.options import Declared, check, declared, option, read_value
from lookcloser.models.options import BackboneOptions
from lookcloser.models.registry import METHODS, method_named, methods_with

_SHARDED_PRECISION = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainOptions(BackboneOptions):
    """How to train; `declared` has each option's help.

    Attributes:
        own: Options of the method that were given; `make_options` sorts them out.

    Raises:
        UsageError: On construction, for a value that is not allowed, an unknown method, and an
            option that the method does not have.
    """

    method: str | None = option(
        None,
        "Method; `lookcloser methods` lists them. None: cam for classes, cnnrnn for tags, lstm "
        "for captions.",
    )
    recipe: Literal["auto", "closed-form", "fine-tune"] = option(
        "auto",
        "closed-form (solves the head in seconds), fine-tune, or auto: closed-form, then fine-tune "
        "if --budget allows, keeping the better one on val.",
    )
    budget: float = option(
        10.0, "Minutes that auto may spend: recipe on fine-tuning, zoom on its trial.", least=0
    )
    zoom: Literal["auto", "off", "1", "2", "3", "4", "5"] = option(
        "auto",
        "Look again at this many places of an image, each cropped from the original; off; or "
        "auto: 3 for a cam, if images are large enough and those held out are answered better.",
    )
    weights: str = option(
        "pretrained",
        "Initial weights: pretrained, none, a .safetensors FILE, or one of your RUNs.",
    )
    size: int = option(224, "Side of the network's input in pixels.", above=0)
    mean: tuple[float, float, float] | None = option(None, "Input mean; None: the backbone's.")
    std: tuple[float, float, float] | None = option(
        None, "Input std; None: the backbone's.", above=0
    )
    interpolation: Literal["bilinear", "bicubic", "nearest"] = option(
        "bilinear", "Resizing: bilinear, bicubic or nearest."
    )
    epochs: int = option(30, "Passes over the training images.", above=0)
    batch_size: int = option(32, "Images per step, over all devices.", above=0)
    accumulate: int = option(1, "Batches whose gradients are averaged for one update.", above=0)
    optimizer: Literal["adamw", "sgd"] = option("adamw", "adamw or sgd (Nesterov momentum 0.9).")
    lr: float = option(
        3e-3, "Peak learning rate of the head; a head solved at first learns at a third.", above=0
    )
    backbone_lr: float | None = option(
        None,
        "Backbone's learning rate as a share of the head's; None: 0.1 with weights, else 1.",
        least=0,
    )
    weight_decay: float = option(0.05, "Weight decay, except on biases and norms.", least=0)
    warmup: float = option(1.0, "Epochs of linear warm-up before the cosine.", least=0)
    clip: float = option(0.0, "Largest gradient norm; 0 is off.", least=0)
    label_smoothing: float = option(0.1, "Label smoothing; not for tags.", least=0, below=1)
    augment: Literal["none", "shift", "crop", "trivial"] = option(
        "crop", "none, shift, crop, or trivial (crop and TrivialAugment)."
    )
    crop_area: float = option(
        0.6, "Smallest share of the image's area that a random crop keeps.", least=0, below=1
    )
    flip: bool | None = option(
        None, "Mirror images at random; wrong for digits and text. None: yes, but not for captions."
    )
    erase: float = option(0.0, "Probability of blanking a random rectangle.", least=0, below=1)
    mixup: float = option(0.0, "MixUp's alpha; 0 is off.", least=0)
    cutmix: float = option(0.0, "CutMix's alpha; 0 is off.", least=0)
    balance: Literal["none", "weights", "sampling"] = option(
        "none", "Against uneven classes: none, weights (loss) or sampling."
    )
    freeze_norm: bool | None = option(
        None, "Keep the backbone's batch-norm statistics as loaded; None: yes, if it has weights."
    )
    ema: float = option(0.0, "Decay of averaged weights, e.g. 0.999; 0 is off.", least=0, below=1)
    blend: float | None = option(
        None,
        "Share of the trained weights in their average with the first ones, which is kept; 1 is "
        "off. None: 0.5 if the head began in closed form and there is no --ema.",
        above=0,
        most=1,
    )
    patience: int = option(
        0, "Stop after this many epochs without a better val score; 0 is off.", least=0
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = option(
        "32-true", "32-true, 16-mixed, bf16-mixed or 64-true."
    )
    compile: bool = option(
        False, "torch.compile the network for training; needs a C++ compiler, and a minute or more."
    )
    deterministic: bool = option(
        True, "Same seed, same weights on a GPU too, where torch has kernels for it."
    )
    channels_last: bool = option(True, "Channels-last memory, faster for convolutions.")
    devices: int = option(
        1, "Processes that train together, one per GPU; torchrun's own number wins.", above=0
    )
    strategy: Literal["auto", "ddp", "fsdp"] = option(
        "auto",
        "How devices share the work: ddp (each holds the whole network), fsdp (each holds a part "
        "of it, for networks too large for one GPU), or auto: ddp if there are several.",
    )
    workers: int | None = option(
        None, "Loading processes; None: as many as cores are free, at most 8.", least=0
    )
    box_rule: BoxRule = option(
        "range",
        "What the threshold of a box is a share of: range (from a map's minimum to its maximum) or "
        "max (of its maximum, as in the CAM paper). What looks at places alone always has max.",
    )
    val_share: float = option(
        0.1, "Share of train used for validation if the data has no val split.", least=0, below=1
    )
    test_share: float = option(
        0.2, "Share used for testing if the data has no splits.", least=0, below=1
    )
    columns: str | None = option(
        None, "What the columns of a table are, e.g. image=filename,label=species."
    )
    skip_missing: bool = option(False, "Leave out rows of a table whose image is missing.")
    save_every: int = option(
        0,
        "Also save a checkpoint every N updates; 0: only at the end of an epoch.",
        least=0,
    )
    seed: int = option(0, "Seed of everything; same seed, same result on a CPU.", least=0)
    own: Mapping[str, Any] = field(default_factory=dict)

    def check_together(self) -> None:
        """Devices share the batch, and the options of a method go with it."""
        self.share(self.devices)
        self._check_sharding()
        if self.columns is not None:
            from lookcloser.data import parse_columns  # here: seldom needed, and NumPy takes time

            parse_columns(self.columns)
        if self.ema and self.blend not in {None, 1.0}:
            raise UsageError(
                f"{{}} {self.blend:g}: not beside an average over steps",
                fix="Leave out {} or --ema",
                option="blend",
            )
        for name, value in self.own.items():
            check(own_options()[name], value)
            if self.method is not None and name not in method_named(self.method).own:
                raise UsageError(
                    f"{{}} {value}: not an option of the method {self.method}",
                    allowed=f"It belongs to {', '.join(methods_with(name))}.",
                    option=name,
                )
        if self.method is not None:
            self.of_method()

    def _check_sharding(self) -> None:
        """What would need whole weights, or was not shown to be right in parts."""
        if self.strategy != "fsdp":
            return
        for name, bad, allowed in (
            ("recipe", self.recipe == "closed-form", "auto or fine-tune"),
            ("ema", self.ema > 0, "0: averaged weights are a second whole network"),
            ("blend", self.blend not in {None, 1.0}, "1: the first weights are such, too"),
            ("compile", self.compile, "no compiling"),
            ("precision", self.precision not in _SHARDED_PRECISION, ", ".join(_SHARDED_PRECISION)),
        ):
            if bad:
                raise UsageError(
                    f"{{}} {getattr(self, name)}: not with --strategy fsdp",
                    allowed=allowed,
                    fix="Leave one of them out",
                    option=name,
                )

    def of_method(self, from_data: Mapping[str, Any] | None = None) -> BackboneOptions:
        """All options of the method, which must be known by now.

        Args:
            from_data: What the data say; options that were given win over it.

        Raises:
            UsageError: For an unknown method, and values that do not go together.
        """
        method = method_named(str(self.method))
        shared = {
            name: getattr(self, name)
            for name in declared(method.options)
            if name in declared(TrainOptions)
        }
        return method.options.read(shared | dict(from_data or {}) | dict(self.own))

    def own_option(self, name: str) -> Any:
        """An option of the method by name; None where it has none, or where it is not known yet."""
        if self.method is None:
            return self.own.get(name)
        return getattr(self.of_method(), name, None)

    def to_dict(self) -> dict[str, Any]:
        """What `make_options` reads again, as a YAML file can hold it."""
        values = {name: getattr(self, name) for name in declared(TrainOptions)} | dict(self.own)
        values["model_kwargs"] = dict(self.model_kwargs)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    def share(self, processes: int) -> int:
        """Images of a step for each of some processes.

        Raises:
            UsageError: If they cannot have equally many.
        """
        if self.batch_size % processes:
            raise UsageError(
                f"{{}} {self.batch_size}: not possible",
                allowed=f"a multiple of the {processes} devices that share it",
                option="batch_size",
            )
        return self.batch_size // processes

    @property
    def backbone_share(self) -> float:
        """The backbone's rate as a share of the head's."""
        if self.backbone_lr is not None:
            return self.backbone_lr
        return 1.0 if self.weights == "none" else 0.1

    @property
    def frozen_norm(self) -> bool:
        """Whether batch norms keep the statistics that were loaded."""
        return self.weights != "none" if self.freeze_norm is None else self.freeze_norm


def make_options(**values: Any) -> TrainOptions:
    """`TrainOptions` from keyword arguments, or from what a YAML file holds.

    Options of methods stand among the others; None leaves them at the method's own default.

    Raises:
        UsageError: For a name that is no option (near names are offered), or a bad value.
    """
    general, own = declared(TrainOptions), own_options()
    known = {**general, **own}
    for name in values:
        if name not in known:
            raise unknown(name, "option of train", known)
    read = {name: read_value(known[name].kind, value) for name, value in values.items()}
    given = {name: value for name, value in read.items() if name in own and value is not None}
    return TrainOptions(**{name: read[name] for name in read if name in general}, own=given)


@cache
def own_options() -> Mapping[str, Declared]:
    """Every method's own options by name; one of several methods is as the first declares it."""
    found: dict[str, Declared] = {}
    for method in METHODS.values():
        found |= {name: item for name, item in method.own.items() if name not in found}
    return found
