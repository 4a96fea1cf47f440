"""Every option of training, once: the Python call, the command line and config.yaml read this."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, get_type_hints

from lookcloser.core.errors import UsageError, unknown
from lookcloser.core.types import Task
from lookcloser.training.kinds import Kind, kind_of, lacking, read

DEFAULT_METHODS: dict[Task, str] = {
    "classification": "cam",
    "multilabel": "cnnrnn",
    "captioning": "lstm",
}

_CHOICES = {
    "augment": ("none", "shift", "crop", "trivial"),
    "optimizer": ("adamw", "sgd"),
    "balance": ("none", "weights", "sampling"),
    "precision": ("32-true", "16-mixed", "bf16-mixed", "64-true"),
    "interpolation": ("bilinear", "bicubic", "nearest"),
}
_POSITIVE = (
    *("epochs", "batch_size", "size", "lr", "accumulate", "stride", "source_size"),
    *("devices", "images_per_class"),
)
_NOT_NEGATIVE = (
    *("backbone_lr", "weight_decay", "warmup", "clip", "mixup", "cutmix", "patience"),
    *("workers", "seed", "save_every"),
)
_SHARES = ("label_smoothing", "drop_rate", "ema", "erase", "val_share", "test_share", "crop_area")


def option(default: Any, help: str) -> Any:  # noqa: A002 - the command line's own word
    """A field with its line of help."""
    return field(default=default, metadata={"help": help})


def method_option(methods: str, help: str) -> Any:  # noqa: A002 - as above
    """An argument of some methods' constructors; None leaves it at the method's own default."""
    return field(default=None, metadata={"help": help, "methods": methods})


@dataclass(frozen=True)
class TrainOptions:
    """How to train; each field's help is in its metadata.

    Raises:
        UsageError: On construction, for a value that is not allowed.
    """

    method: str | None = option(
        None,
        "Method; `lookcloser methods` lists them. None: by the data, cam for classes, cnnrnn for "
        "tags, lstm for captions.",
    )
    backbone: str = option("resnet50", "Any timm model name.")
    weights: str = option(
        "pretrained",
        "First weights: pretrained, none, a .safetensors FILE, or a RUN of yours.",
    )
    model_kwargs: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "Arguments of the timm model, e.g. pad_type=same."},
    )
    stride: int | None = option(None, "Cut the backbone at this stride, for finer maps.")
    size: int = option(224, "Side of the network's input in pixels.")
    mean: tuple[float, float, float] | None = option(None, "Input mean; None takes the backbone's.")
    std: tuple[float, float, float] | None = option(None, "Input std; None takes the backbone's.")
    interpolation: str = option("bilinear", "Resizing: bilinear, bicubic or nearest.")
    epochs: int = option(30, "Passes over the training images.")
    batch_size: int = option(32, "Images per step, over all devices together.")
    accumulate: int = option(1, "Batches whose gradients are averaged for one update.")
    optimizer: str = option("adamw", "adamw or sgd (Nesterov momentum 0.9).")
    lr: float = option(3e-3, "Peak learning rate of the head.")
    backbone_lr: float | None = option(
        None, "Rate of the backbone as a share of --lr; None: 0.1 with weights, 1 without."
    )
    weight_decay: float = option(0.05, "Weight decay, not on biases and norms.")
    warmup: float = option(1.0, "Epochs of linear warm-up before the cosine.")
    clip: float = option(0.0, "Largest gradient norm; 0 is off.")
    label_smoothing: float = option(0.1, "Share of a class spread over all; not of tags.")
    drop_rate: float = option(0.0, "Dropout before the head.")
    augment: str = option("crop", "none, shift, crop, or trivial (crop and TrivialAugment).")
    crop_area: float = option(0.6, "Smallest share of the image that a random crop keeps.")
    flip: bool | None = option(
        None, "Swap left and right at random; wrong for digits and text. None: not for captions."
    )
    erase: float = option(0.0, "Chance to blank a random rectangle.")
    mixup: float = option(0.0, "MixUp's alpha; 0 is off.")
    cutmix: float = option(0.0, "CutMix's alpha; 0 is off.")
    balance: str = option("none", "Against uneven classes: none, weights (loss) or sampling.")
    freeze_norm: bool | None = option(
        None, "Keep the backbone's batch-norm statistics as loaded; None: with weights."
    )
    ema: float = option(0.0, "Decay of averaged weights, e.g. 0.999; 0 is off.")
    patience: int = option(0, "Stop after this many epochs without a better val score; 0 is off.")
    precision: str = option("32-true", "32-true, 16-mixed, bf16-mixed or 64-true.")
    compile: bool = option(False, "torch.compile the network.")
    channels_last: bool = option(True, "Channels-last memory, faster for convolutions.")
    devices: int = option(
        1, "Processes that train together, one per GPU; torchrun's own number counts more."
    )
    workers: int | None = option(
        None, "Loading processes; None: by the cores left free, at most 8."
    )
    val_share: float = option(0.1, "Share of train for validation where the data has none.")
    test_share: float = option(0.2, "Share for the test split where the data has no split.")
    skip_missing: bool = option(False, "Leave out rows of a table whose image is missing.")
    save_every: int = option(
        0, "Save a checkpoint after every N updates as well; 0: at the ends of epochs only."
    )
    seed: int = option(0, "Seed of everything; same seed, same result on a CPU.")
    source_size: int | None = method_option(
        "racnn", "Side of the image that the scales are cut from; None: --size."
    )
    scales: int | None = method_option("racnn", "Number of scales, the whole image included.")
    half_side: float | None = method_option(
        "racnn", "Half-side of the next view at first; that of the view it lies in is 1."
    )
    crop_mode: str | None = method_option(
        "racnn", "Gradient that reaches the views: grid, mask or saliency."
    )
    apn: str | None = method_option("racnn", "Head that proposes the views: light or paper.")
    train_mode: str | None = method_option(
        "racnn", "joint, or alternate (classifiers and proposals take turns)."
    )
    rank_margin: float | None = method_option(
        "racnn", "By how much each scale shall be surer than the one before."
    )
    rank_form: str | None = method_option(
        "racnn", "What the scales compare: probability or log (of it)."
    )
    area_prior: float | None = method_option("racnn", "Weight of the views' area in the loss.")
    fusion: str | None = method_option(
        "racnn", "The answer: mean of the scales' logits, or a head on their descriptors."
    )
    parts: int | None = method_option("osme", "Number of attentions.")
    part_width: int | None = method_option("osme", "Features of each attention.")
    part_head: str | None = method_option(
        "osme", "How an attention's features are made: pooled or flattened."
    )
    merge: str | None = method_option(
        "osme", "What the classifier sees of the attentions: concat or sum."
    )
    mamc_weight: float | None = method_option("osme", "Weight of the MAMC loss; 0 is off.")
    mamc_reduction: str | None = method_option(
        "osme", "MAMC: mean over the positives, or the paper's sum (paper)."
    )
    mamc_form: str | None = method_option("osme", "MAMC: npair or hinge.")
    mamc_gather: bool | None = method_option(
        "osme", "MAMC: compare the images of all devices, not only those of each."
    )
    images_per_class: int | None = method_option(
        "osme", "Images of a class in a batch, which has two classes at least; None: 2."
    )
    feedback_stage: int | None = method_option(
        "feedback", "Stage of the backbone that is fed back into, from 0; None: the middle one."
    )
    feedback_select: str | None = method_option(
        "feedback", "Whose class map is fed back: soft (by probability) or predicted."
    )
    feedback_control: str | None = method_option(
        "feedback", "Instead of the attention: ones, shuffled or literal; none is off."
    )
    noise: float | None = method_option(
        "feedback", "Deviation of the Gaussian noise on training images."
    )
    attend: bool | None = method_option("rnn lstm gru", "Let each word look at places.")
    threshold: float | None = method_option("sigmoid", "Score above which a label is named.")
    loss: str | None = method_option("sigmoid", "bce (cross-entropy of each label) or asymmetric.")
    label_order: str | None = method_option(
        "cnnrnn",
        "How training writes a set: frequent first, rare first, fixed, shuffled, easy first, or "
        "without an order: minimal, predicted (alignment).",
    )
    gate: str | None = method_option("cnnrnn", "Gates of the recurrent unit: sigmoid or relu.")
    decoder: str | None = method_option(
        "cnnrnn", "beam, or exact: search with a proof; evaluate says of how many answers."
    )
    embed_size: int | None = method_option(
        "cnnrnn rnn lstm gru", "Width of the vector of a label or word."
    )
    hidden_size: int | None = method_option("cnnrnn rnn lstm gru", "Width of the recurrent state.")
    tied: bool | None = method_option(
        "cnnrnn rnn lstm gru", "Score labels or words by their own vectors."
    )
    beam: int | None = method_option(
        "cnnrnn rnn lstm gru", "Width of the beam search; 1 is greedy."
    )
    max_length: int | None = method_option(
        "rnn lstm gru", "Most words of a caption; None: of the longest training caption."
    )
    temperature: float | None = method_option(
        "rnn lstm gru", "Above 0: draw captions at random instead of searching the best."
    )
    top_p: float | None = method_option(
        "rnn lstm gru", "Draw from the likeliest words with this probability together."
    )
    scheduled_sampling: float | None = method_option(
        "rnn lstm gru", "Share of words read from the model's own answers at the end."
    )
    min_count: int | None = method_option(
        "rnn lstm gru", "Leave out words that occur fewer times in the training captions."
    )
    max_words: int | None = method_option("rnn lstm gru", "Size of the vocabulary at most.")

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown(str(getattr(self, name)), f"--{name}", choices)
        for name, kind in _kinds().items():
            value = getattr(self, name)
            wanted = lacking(value, kind)
            if wanted:
                raise _bad(name, value, wanted)
            if value is None:
                continue
            if name in _POSITIVE and not value > 0:
                raise _bad(name, value, "a number above 0")
            if name in _NOT_NEGATIVE and not value >= 0:
                raise _bad(name, value, "0 or more")
            if name in _SHARES and not 0 <= value < 1:
                raise _bad(name, value, "a number from 0 to below 1")
        if self.std is not None and min(self.std) <= 0:
            raise _bad("std", self.std, "three numbers above 0")
        self.share(self.devices)

    def share(self, processes: int) -> int:
        """Images of a step for each of some processes.

        Raises:
            UsageError: If they cannot have equally many.
        """
        if self.batch_size % processes:
            wanted = f"a multiple of the {processes} devices that share it"
            raise _bad("batch_size", self.batch_size, wanted)
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


def flag(name: str) -> str:
    """The command line's spelling of a field."""
    return f"--{name.replace('_', '-')}"


def make_options(**values: Any) -> TrainOptions:
    """`TrainOptions` from keyword arguments, or from what a YAML file holds.

    Raises:
        UsageError: For a name that is no option (near names are offered), or a bad value.
    """
    kinds = _kinds()
    for name in values:
        if name not in kinds:
            raise unknown(name, "option of train", kinds)
    return TrainOptions(**{name: read(value, kinds[name]) for name, value in values.items()})


@cache
def _kinds() -> dict[str, Kind]:
    hints = get_type_hints(TrainOptions)
    return {item.name: kind_of(hints[item.name]) for item in fields(TrainOptions)}


def _bad(name: str, value: Any, allowed: str) -> UsageError:
    return UsageError(f"{flag(name)} {value}: not possible", allowed=allowed)
