"""From a catalog and options to a run folder."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import timm
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from torch import Tensor

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import UsageError, as_usage
from lookcloser.core.header import LARGEST_INPUT, ModelHeader
from lookcloser.core.memory import kept_memory
from lookcloser.core.options import stored
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.core.storage.atomic import make_folder
from lookcloser.core.storage.files import own_path
from lookcloser.data.catalog import Catalog
from lookcloser.data.read import COLUMNS, MADE, SPLIT_OPTIONS, SPLITS
from lookcloser.data.vocabulary import with_vocabulary
from lookcloser.models import (
    METHODS,
    Model,
    evidence_kind,
    load_backbone_weights,
    method_named,
    save_model_file,
)
from lookcloser.models.backbone import in_channels_last, normalization
from lookcloser.models.package import is_model_file
from lookcloser.models.transfer import begin_from, inherited
from lookcloser.training.callbacks.averaging import averaged
from lookcloser.training.callbacks.checkpoints import AtomicCheckpointIO
from lookcloser.training.callbacks.memory import KeepMemory
from lookcloser.training.callbacks.progress import Display
from lookcloser.training.callbacks.run_files import ResumedOrder, RunWriter
from lookcloser.training.callbacks.stopping import GracefulStop, Patience, TrainingInterruptedError
from lookcloser.training.calm import calm_lightning
from lookcloser.training.compiling import compiling
from lookcloser.training.determinism import deterministic
from lookcloser.training.files import CHECKPOINT_FILE, MODEL_FILE
from lookcloser.training.loaders import make_loaders
from lookcloser.training.options import TrainOptions
from lookcloser.training.parallel import processes
from lookcloser.training.parallel.launch import own_group
from lookcloser.training.parallel.strategies import (
    check_phases,
    check_strategy,
    trainer_arguments,
)
from lookcloser.training.reading import DataWatch, check_readable
from lookcloser.training.recipes.first_look import by_evidence, with_first_look
from lookcloser.training.recipes.start import as_before, with_solved_head
from lookcloser.training.tasks.captioning import CaptioningModule
from lookcloser.training.tasks.classification import ClassificationModule
from lookcloser.training.tasks.module import TrainingModule, diverged
from lookcloser.training.tasks.multilabel import MultilabelModule

MODULES: dict[Task, type[TrainingModule]] = {
    "classification": ClassificationModule,
    "multilabel": MultilabelModule,
    "captioning": CaptioningModule,
}


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes:
        interrupted: Whether Ctrl-C ended it; the run can be resumed.
        epochs: How many are done, those before a break included.
        skipped: Training and validation images that could not be read: name -> reason.
        data_wait: Share of the training time spent waiting for data.
    """

    interrupted: bool
    epochs: int
    skipped: Mapping[str, str]
    data_wait: float


def prepare_model(options: TrainOptions, catalog: Catalog) -> tuple[Model, ModelHeader]:
    """The network with its first weights, and the header it will be saved under.

    Seeds torch's global generator, from which random weights come.

    Raises:
        LookcloserError: For an unknown method or backbone, a method of another task, options the
            method does not have, or weights that are not to be had.
    """
    catalog = _with_names(catalog, options)
    task, names = catalog.task, catalog.names
    method = method_named(options.method or TRAITS[task].method)
    if task not in method.tasks:
        fitting = [other.name for other in METHODS.values() if task in other.tasks]
        raise UsageError(f"{method.name}: not a method for {task}", allowed=", ".join(fitting))
    kind = method.load()
    trained = own_model(options.weights)
    from_data = kind.data_arguments(catalog)
    if trained is not None:
        from_data |= inherited(trained, method.name, names)
    own = replace(options, method=method.name).of_method(from_data)
    torch.manual_seed(options.seed)
    with as_usage():  # whatever a constructor refuses is an option
        model = kind(len(names), own)
        smallest = 2 if options.frozen_norm else options.share(options.devices)
        for backbone in model.backbones:
            backbone.check(Grid(options.size, options.size), smallest)
    if trained is not None:
        smoothing = options.label_smoothing if TRAITS[task].labels == "one" else 0.0
        sources = [begin_from(model, trained, names, smoothing=smoothing)]
    else:
        sources = [load_backbone_weights(backbone, options.weights) for backbone in model.backbones]
    mean, std = normalization(options.backbone)
    side = options.own_option("source_size") or kind.source_factor * options.size
    if side > LARGEST_INPUT:
        raise UsageError(
            f"{{}} {side}: not possible", allowed=f"At most {LARGEST_INPUT} pixels", option="size"
        )
    preprocessing = Preprocessing(
        size=Grid(side, side),
        mean=options.mean or mean,
        std=options.std or std,
        interpolation=options.interpolation,
    )
    provenance: dict[str, Any] = {
        SPLITS: {
            **{name: getattr(options, name) for name in SPLIT_OPTIONS},
            MADE: list(catalog.made),
        },
        **({} if options.columns is None else {COLUMNS: options.columns}),
        "seed": options.seed,
        "weights": sources[0] if sources else "none",
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    header = ModelHeader(
        method.name,
        {"num_classes": len(names), **stored(own)},
        task,
        names,
        preprocessing,
        box_rule=options.box_rule,
        evidence_kind=evidence_kind(method.name, task),
        parents=dict(catalog.parents) if TRAITS[task].labels == "one" else {},
        provenance=provenance,
    )
    return model, header


def own_model(weights: str) -> Path | None:
    """The model file that --weights means; None for what lookcloser did not train.

    Raises:
        LookcloserError: For a folder without a model.
    """
    path = own_path(weights)
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise UsageError(
                f"--weights {weights}: no {MODEL_FILE} in this folder",
                allowed="pretrained, none, a run folder or a .safetensors file",
            )
        return path / MODEL_FILE
    return path if path.is_file() and is_model_file(path) else None


def _with_names(catalog: Catalog, options: TrainOptions) -> Catalog:
    """``catalog`` with its vocabulary, where captions are to be learned."""
    return with_vocabulary(
        catalog, options.own_option("min_count") or 1, options.own_option("max_words")
    )


def fit(
    catalog: Catalog,
    options: TrainOptions,
    folder: Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    on_start: Callable[[], None] = lambda: None,
) -> FitResult:
    """Train and leave model.safetensors, last.ckpt, metrics.csv and TensorBoard logs in ``folder``.

    Args:
        catalog: With a train split; a val split chooses the best epoch.
        options: How to train.
        folder: The run; it is made once data and model are known to be good.
        resume: Continue from last.ckpt where there is one, to the same result as without a break.
        quiet: No progress on stderr.
        on_start: Called once data and model are good and the folder is there.

    Raises:
        LookcloserError: For data or options that do not fit, where writing fails, where the data
            goes away, and where the training diverges; what was saved before is kept.
        SystemExit: With 143 after SIGTERM; the run can be resumed.
    """
    check_strategy(options)
    return fit_here(catalog, options, folder, resume=resume, quiet=quiet, on_start=on_start)


@kept_memory()
def fit_here(
    catalog: Catalog,
    options: TrainOptions,
    folder: Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    on_start: Callable[[], None] = lambda: None,
) -> FitResult:
    """As `fit`, without asking whether the strategy is of use on this machine."""
    check_readable(catalog)
    catalog = _with_names(catalog, options)
    options = by_evidence(options, catalog.task, max(options.devices, processes.world_size()))
    model, header = prepare_model(options, catalog)
    say = partial(Console(stderr=True, quiet=quiet).print, highlight=False, soft_wrap=True)
    model, header = with_first_look(model, header, catalog, options, prepare_model, say)
    check_phases(options, model)
    with (
        deterministic(options.deterministic),
        own_group(catalog, options, folder, resume=resume),
    ):
        before = folder / CHECKPOINT_FILE
        if resume and before.is_file():
            model, header = as_before(model, header, before)
        else:
            model, header = with_solved_head(model, header, catalog, options)
        console = Console(stderr=True, quiet=quiet or processes.rank() > 0)
        return _fit(catalog, options, folder, model, header, resume, console, on_start)


def _fit(
    catalog: Catalog,
    options: TrainOptions,
    folder: Path,
    model: Model,
    header: ModelHeader,
    resume: bool,
    console: Console,
    on_start: Callable[[], None],
) -> FitResult:
    """This process's part; the first of several writes the files."""
    first = processes.rank() == 0
    train, val = make_loaders(
        catalog, options, header.preprocessing, pairs=model.pairs, say=console.print
    )
    steps = math.ceil(len(train) / options.accumulate)
    module = MODULES[catalog.task](
        # Parts of a sharded weight are rows of its plain form.
        in_channels_last(model) if options.channels_last and options.strategy != "fsdp" else model,
        options,
        catalog,
        total_steps=steps * options.epochs,
        warmup_steps=round(steps * options.warmup),
    )
    if first:
        make_folder(folder)
        on_start()

    def save(state: Mapping[str, Tensor], scores: Mapping[str, float]) -> None:
        save_model_file(folder / MODEL_FILE, state, replace(header, scores=dict(scores)))

    instead = averaged(module)
    writer = RunWriter(folder, save, instead, module.score)
    watch, order, stop = DataWatch(folder, train, val), ResumedOrder(train), GracefulStop()
    display = Display(console, writer, order, stop, module.score_title)
    checkpoint = folder / CHECKPOINT_FILE
    with stop.listening():
        with calm_lightning():
            patience = (
                Patience(module.score, options.patience) if options.patience and val else None
            )
            callbacks = [instead, patience, watch, order, writer, display, stop, KeepMemory()]
            trainer = _trainer(module, folder, [one for one in callbacks if one is not None])
            module.after_batch = _after_batch(trainer, module, writer, watch, stop)
            resumed = checkpoint if resume and checkpoint.is_file() else None
            with compiling(), _ends():
                trainer.fit(module, train, val, ckpt_path=resumed)
        if resumed and not display.started:
            console.print(f"All {options.epochs} epochs were done already; --epochs N goes on to N")
        interrupted = trainer.interrupted or stop.left or bool(stop.asked)
        if processes.any_of(first and not (folder / MODEL_FILE).is_file()):
            if writer.history and not interrupted:
                raise diverged(options, f"{module.score_title} of every epoch, or its loss,")
            state = writer.network_state(module)
            if first:
                save(state, {})
        processes.all_of(None)  # who loads the file now finds it
        if stop.terminated:
            sys.exit(128 + signal.SIGTERM)
    waits = [row["data_wait"] for row in writer.history]
    waited = sum(waits) / max(1, len(waits))
    return FitResult(interrupted, len(writer.history), watch.skipped, waited)


def _after_batch(
    trainer: pl.Trainer,
    module: TrainingModule,
    writer: RunWriter,
    watch: DataWatch,
    stop: GracefulStop,
) -> Callable[[int], None]:
    """What comes after a batch: a checkpoint when it is time, and the end when it was asked for."""
    every, accumulate = module.options.save_every, module.options.accumulate

    def after(index: int) -> None:
        wanted = stop.is_wanted()
        # Not between the batches of one update, whose gradients are in no checkpoint, nor after
        # the last batch: the checkpoint of the whole epoch follows.
        is_whole = (index + 1) % accumulate == 0 and index + 1 < trainer.num_training_batches
        is_time = wanted or (every and trainer.global_step % every == 0)
        if is_whole and is_time and not watch.lacks_images():
            writer.save_checkpoint(trainer)
        if wanted:
            stop.leave_now()

    return after


@contextmanager
def _ends() -> Iterator[None]:
    """What signals end Lightning's loop with, as the rest of the package knows it."""
    try:
        yield
    except TrainingInterruptedError:
        pass
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # to Lightning that is a failure
            raise KeyboardInterrupt from error
        raise


def _trainer(module: TrainingModule, folder: Path, callbacks: list[Callback]) -> pl.Trainer:
    options = module.options
    return pl.Trainer(
        max_epochs=options.epochs,
        precision=options.precision,
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip or None,
        **trainer_arguments(options),
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
    )
