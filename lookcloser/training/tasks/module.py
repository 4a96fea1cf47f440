"""The step that every task shares: a model's own losses, the rates and the schedule."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, NotFiniteError
from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.data.dataset import Batch
from lookcloser.data.seeds import mixed_seed
from lookcloser.models.base import Model
from lookcloser.training.callbacks.phases import PhaseClock, let_learn
from lookcloser.training.compiling import compiled
from lookcloser.training.options import TrainOptions
from lookcloser.training.parallel import processes
from lookcloser.training.tasks.means import LossMeans

ROOTED = "rooted"  # in last.ckpt: whether the head reads rooted features
SOLVED = "solved"  # there, too: whether it began in closed form
_LOOK = 10  # steps between two looks at the losses on a GPU


class TrainingModule(pl.LightningModule, ABC):
    """Base of the modules, one per task.

    Args:
        model: The method's network.
        options: How to train.
        catalog: The data; its train split weighs classes.
        total_steps: Optimizer steps of the whole training.
        warmup_steps: The first of them, in which the rate rises linearly.

    Attributes:
        score: The logged value that chooses the best epoch, the higher the better.
        score_title: The same in words.
        means: The losses of this epoch so far.
        after_batch: Called with the index of a batch when all that belongs to it is done.
    """

    score: ClassVar[str]
    score_title: ClassVar[str]

    def __init__(
        self,
        model: Model,
        options: TrainOptions,
        catalog: Catalog,
        *,
        total_steps: int,
        warmup_steps: int,
    ) -> None:
        super().__init__()
        del catalog  # of those tasks that weigh their classes
        self.model: Model = model
        self.network: nn.Module = compiled(model) if options.compile else model
        self.options = options
        self.total_steps, self.warmup_steps = total_steps, warmup_steps
        self.clock = PhaseClock(model.phases, total_steps) if model.phases else None
        self.means, self.scores = LossMeans(), LossMeans()
        self.after_batch: Callable[[int], None] = lambda _index: None
        self._is_bad: Tensor | None = None
        self._whole_batch = 0  # images of the largest batch so far

    @abstractmethod
    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The task's plain loss, a scalar."""

    @abstractmethod
    def judge(self, output: Output, targets: Tensor) -> dict[str, Tensor]:
        """Scores of a validation batch, each a mean over its images; `score` is among them."""

    def look(self, images: Tensor) -> Output:
        """What `judge` sees of the images of a validation batch; never compiled.

        Without gradients the network would be compiled once more, and the best epoch would be
        chosen by other sums than those `evaluate` does.
        """
        output: Output = self.model(images, top=1)
        return output

    def outputs(self, images: Tensor) -> Output:
        """The answer to a training batch, by the compiled network where the batch is whole.

        It would be compiled anew for each other number of images: those of the last batch of an
        epoch, and of one with an image that could not be read.
        """
        self._whole_batch = max(self._whole_batch, len(images))
        network = self.network if len(images) == self._whole_batch else self.model
        output: Output = network(images)
        return output

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the images and targets of a training batch; without options nothing."""
        return images, targets

    def on_train_start(self) -> None:
        """Begin the first phase of a model that has phases, unless the run is resumed."""
        if self.clock is not None and not self.clock.steps:
            self.model.begin(self.clock.phase)
        if self.trainer.global_step:  # of a resumed run, which may have got more epochs
            self._set_rates(self.trainer.global_step)
        if self.trainer.fit_loop.restarted_mid_epoch:  # Lightning does not begin this epoch again
            self.begin_epoch()

    def on_train_epoch_start(self) -> None:
        """Begin an epoch from its first batch."""
        self.means.clear()
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Freeze what does not learn now; Lightning has just switched everything to training."""
        self._freeze()

    def _freeze(self) -> None:
        if self.clock is not None:
            let_learn(self.model, self.clock.phase)
        if self.options.frozen_norm:
            for backbone in self.model.backbones:
                for module in backbone.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()

    def on_train_batch_start(self, _batch: Batch, index: int) -> None:
        """Seed what is random inside a step, so that a resumed epoch equals an undisturbed one."""
        own = (processes.rank(),) if processes.rank() else ()  # other images, other noise
        torch.manual_seed(mixed_seed(self.options.seed, self.current_epoch, index, -2, *own))

    def training_step(self, batch: Batch, index: int) -> Tensor | None:
        """The sum of the model's losses; None where every image of the batch was unreadable.

        Of several processes all leave out a step that one has no image for: they exchange
        gradients, and some losses more.

        Raises:
            LookcloserError: In all processes, where the loss of one is not finite any more.
        """
        if processes.any_of(not len(batch.targets)):
            return None if processes.world_size() == 1 else self._no_loss()
        images, targets = self.mix(self._images(batch), batch.targets)
        terms = self.model.losses(self.outputs(images), targets, self.criterion)
        loss = torch.stack(list(terms.values())).sum()
        self._refuse_divergence(loss, index)
        self.means.add({"loss": loss, **(terms if len(terms) > 1 else {})}, len(images))
        return loss

    def _refuse_divergence(self, loss: Tensor, index: int) -> None:
        """Before the way back, as boxes that are no numbers crash it on a CPU.

        On a GPU looking means waiting for it, so only some steps look for all.
        """
        bad = ~torch.isfinite(loss.detach())
        self._is_bad = bad if self._is_bad is None else self._is_bad | bad
        if loss.device.type == "cpu" or index % _LOOK == 0:
            self.check_losses()

    def check_losses(self) -> None:
        """Raise a `LookcloserError`, in all processes, if a loss so far was not finite."""
        if processes.any_of(self._is_bad is not None and bool(self._is_bad)):
            raise diverged(self.options, f"the loss in epoch {self.epoch}")

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 1 on."""
        return self.current_epoch + 1

    def _no_loss(self) -> Tensor:
        """A loss of 0 with a gradient of 0 for every weight, as the other processes expect it.

        Sharded weights expect none where no process has one.
        """
        if self.options.strategy == "fsdp":
            return torch.zeros((), device=self.device, requires_grad=True)
        learning = [weight.sum() for weight in self.parameters() if weight.requires_grad]
        return 0.0 * torch.stack(learning).sum()

    def on_train_batch_end(self, outputs: Any, _batch: Batch, index: int) -> None:
        """After an optimizer step, go on to the next phase of the model when it is time."""
        self._tick(outputs)
        self.after_batch(index)

    def _tick(self, outputs: Any) -> None:
        steps = self.trainer.global_step
        if self.clock is None or outputs is None or steps == self.clock.steps:
            return
        # The mean over the processes, or some would go on to the next phase before others.
        if self.clock.tick(steps, processes.mean_of(float(outputs["loss"]))):
            self.model.begin(self.clock.phase)
            self._freeze()
            self._set_rates(steps)

    def _set_rates(self, step: int) -> None:
        """Of the next step, which Lightning has set before it was known that a phase begins."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * self._rate(step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the phase, the losses so far, and how many epochs were meant."""
        checkpoint["means"] = self.means.state_dict()
        checkpoint["epochs"] = self.options.epochs
        checkpoint[ROOTED] = getattr(self.model, "root", None) is not None
        checkpoint[SOLVED] = self.model.solved
        if self.clock is not None:
            checkpoint["phase"] = self.clock.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on in the phase of the checkpoint.

        Raises:
            LookcloserError: If the checkpoint is of another network.
        """
        own, its = self.state_dict(), checkpoint["state_dict"]
        if {name: value.shape for name, value in own.items()} != {
            name: value.shape for name, value in its.items()
        }:
            raise LookcloserError(
                f"the checkpoint is of another network than {self.model.name} on "
                f"{self.options.backbone}",
                fix="Resume with the config.yaml that the run was started with",
            )
        self.means.load_state_dict(checkpoint["means"])
        if self.clock is not None:
            self.clock.load_state_dict(checkpoint["phase"])

    def on_validation_epoch_start(self) -> None:
        """Look at the weights before they answer: the last step may have been too long.

        Raises:
            LookcloserError: In all processes, where a weight of one is no number any more.
        """
        self.scores.clear()
        own: list[Any] = [weight.detach() for weight in self.parameters()]
        parts = [part.to_local() if hasattr(part, "to_local") else part for part in own]
        if processes.any_of(any(bool(torch.isnan(part).any()) for part in parts)):
            raise diverged(self.options, f"a weight after epoch {self.epoch}")

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Add the scores of `judge`.

        Raises:
            LookcloserError: Where the answers are no numbers any more.
        """
        if len(batch.targets):
            try:
                scores = self.judge(self.look(self._images(batch)), batch.targets)
            except NotFiniteError as error:
                raise diverged(self.options, f"an answer after epoch {self.epoch}") from error
            self.scores.add(scores, len(batch.targets))

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all images.

        Not by Lightning's own means: of several processes they divide by the mean number of images,
        rounded down, which makes scores of 3 images on two of them half as high again.
        """
        self.log_dict(self.scores(), batch_size=1, sync_dist=processes.is_joined())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW or SGD on four groups, with linear warm-up and a cosine down to zero."""
        groups = parameter_groups(self.model, self.options)
        optimizer: torch.optim.Optimizer
        if self.options.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=self.options.lr, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.options.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        """Share of the peak rate at an optimizer step."""
        if self.clock is None:
            return self._shape(step)
        # Each schedule of a model with phases is the whole one, its warm-up too, but shorter.
        start, length = self.clock.schedule
        return self._shape((step - start) * self.total_steps / length)

    def _shape(self, step: float) -> float:
        """Linear warm-up, then a cosine to zero at the last step of the whole training."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _images(self, batch: Batch) -> Tensor:
        if self.options.channels_last:
            return batch.images.contiguous(memory_format=torch.channels_last)
        return batch.images


def diverged(options: TrainOptions, what: str) -> LookcloserError:
    """The error for ``what`` that is no finite number any more."""
    lower = f"a lower --lr than {options.lr:g}"
    half = " or another --precision" if options.precision == "16-mixed" else ""
    clip = "" if options.clip else " or with --clip 1"
    return LookcloserError(
        f"the training diverged: {what} is not a finite number; what was saved before is kept",
        fix=f"Start again with {lower}{clip}{half}",
    )


def parameter_groups(model: Model, options: TrainOptions) -> list[dict[str, Any]]:
    """Slow parts and head, each with and without weight decay (none on biases and norms)."""
    slow = {id(weight) for part in model.slow_parts for weight in part.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        key = (id(parameter) in slow, parameter.ndim > 1)
        groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": options.lr * (options.backbone_share if is_slow else model.head_share),
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (is_slow, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
