"""What every method is: an `nn.Module` with a name, its tasks, and one kind of output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.models.backbone import Backbone
from lookcloser.models.file_form import FileForm, Looking
from lookcloser.models.options import BackboneOptions, Method

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which some parts of a model learn and the others stand still.

    Attributes:
        name: What `Model.phase` is while it lasts.
        learns: Names of submodules; all others are frozen, in evaluation mode.
        share: Of the optimizer steps of the whole training, at most. The last phase takes all that
            is left.
        patience: It ends sooner where its loss reaches no new low for this share of its steps.
        restarts: Whether the schedule of the learning rate starts over with it, and runs to its end
            until the next phase that restarts it: what learns only now would else be left the
            falling tail of the rate.
    """

    name: str
    learns: tuple[str, ...]
    share: float = 1.0
    patience: float = 0.3
    restarts: bool = False


class Model(nn.Module, ABC):
    """Base of the methods' networks, ``class CAM(Model, method=METHOD)``.

    A constructor takes ``num_classes`` and an object of the class's `Options`, which is stored in
    the saved model, and gives random weights.

    Attributes:
        Options: What the constructor takes beside ``num_classes``, as its method declares it.
        name: Of the method.
        tasks: What it can answer.
        summary: One line for `lookcloser methods`.
        pairs: Whether a training batch must hold several images of each class.
        soft_targets: Whether its loss takes mixed targets (B, C), as MixUp makes them.
        sequential: Whether the order of its answer's tokens says something.
        source_factor: Side of the images that it is given where nobody says otherwise, as a
            multiple of its input's: who looks closer needs pixels that a first look has not.
        phase: The name of the phase of training it is in; None where all parts learn together.
        solved: Whether its head began in closed form.
        head_share: The head's rate of learning as a share of the one that was asked for.
        blend: The share of the trained weights in those that are kept, beside the first ones.
    """

    Options: ClassVar[type[BackboneOptions]] = BackboneOptions
    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]
    pairs: ClassVar[bool] = False
    soft_targets: ClassVar[bool] = True
    sequential: ClassVar[bool] = False
    source_factor: ClassVar[int] = 1
    phase: str | None = None
    solved: bool = False
    head_share: float = 1.0
    blend: float = 1.0

    def __init_subclass__(cls, *, method: Method | None = None, **named: Any) -> None:
        super().__init_subclass__(**named)
        if method is not None:
            cls.name, cls.tasks, cls.summary = method.name, method.tasks, method.summary

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stretches of training, in order; none where all parts learn together."""
        return ()

    def begin(self, phase: Phase) -> None:
        """Prepare for a phase that starts now, once; a resumed training does not repeat it."""
        self.phase = phase.name

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """The timm networks in it."""
        return tuple(module for module in self.modules() if isinstance(module, Backbone))

    @property
    def slow_parts(self) -> tuple[nn.Module, ...]:
        """What learns at the backbones' rate; all other parameters are the head, with its own."""
        return self.backbones

    @classmethod
    def data_arguments(cls, catalog: Catalog) -> dict[str, Any]:
        """Options that follow from the data, e.g. how often each label occurs."""
        del catalog
        return {}

    def label_embeddings(self) -> Tensor | None:
        """Vectors (C, E) whose directions say which labels the model holds alike; None without."""
        return None

    @abstractmethod
    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Answer a batch, the same in training and in evaluation.

        Args:
            images: (B, 3, H, W), normalized as the backbone expects.
            targets: Whose evidence: class indices (B, K); of every class without.
            top: Instead, the k best classes of each image, best first.
        """

    def answer(self, images: Tensor, top: int) -> Output:
        """What predictions are made from, in evaluation and without gradients.

        Methods that answer with a sequence decode it here, into ``tokens`` and ``token_scores``.

        Args:
            images: (B, 3, H, W).
            top: How many classes get a map; of an answer of several tokens each has one.
        """
        output: Output = self(images, top=top)
        return output

    def logits_at(self, images: Tensor, boxes: Tensor) -> Tensor | None:
        """What each scale says where it is shown given boxes, to see how they depend on them.

        Args:
            images: (B, 3, H, W).
            boxes: (B, S - 1, 3), ``(cx, cy, half-side)`` in [-1, 1] of the images; of each finer
                scale.

        Returns:
            (B, S, C), with the true gradient to images and boxes; None for methods that look once.
        """
        del images, boxes
        return None

    def following(self, tokens: Tensor) -> nn.Module:
        """The network that views look at to explain an answer.

        Args:
            tokens: (K,) the answer for one image, padded with -1.

        Returns:
            Images (B, 3, H, W), changed forms of that image -> logits (B, C) of each class at its
            place in the answer: this model, where no part of an answer depends on another.
        """
        del tokens
        return self

    def session(self) -> AbstractContextManager[None]:
        """A context in which batches share what does not depend on their images.

        A run over many batches makes one and enters it for all of them, or for each anew; what is
        shared lives as long as the object. The weights must not change meanwhile. Sessions of
        several threads know nothing of each other.
        """
        return nullcontext()

    def file_form(self) -> FileForm:
        """What an exported file of this model computes, and how an answer is made of it."""
        return FileForm(Looking(self))

    def losses(self, output: Output, targets: Tensor, criterion: Criterion) -> dict[str, Tensor]:
        """The terms whose sum is trained on, by name, each a scalar.

        Args:
            output: Of the forward pass in training.
            targets: As the batches hold them: (B,) classes, (B, C) tags, (B, T) words.
            criterion: The task's plain loss with the options of the training (label smoothing,
                class weights): (logits, targets) -> scalar.
        """
        return {"loss": criterion(output.logits, targets)}


def make_backbone(options: BackboneOptions) -> Backbone:
    """The timm network of a method, with random weights; see `Backbone` for the errors."""
    return Backbone(options.backbone, stride=options.stride, options=options.model_kwargs)
