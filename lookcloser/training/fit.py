"""From a catalog and options to a run folder."""

from __future__ import annotations

import inspect
import logging
import math
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import timm
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.console import Console
from torch import Tensor

from lookcloser.core.atomic import make_folder
from lookcloser.core.errors import UsageError, as_usage
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.types import Task
from lookcloser.data.catalog import Catalog
from lookcloser.data.vocabulary import with_vocabulary
from lookcloser.models import (
    MODELS,
    Model,
    evidence_kind,
    load_backbone_weights,
    model_class,
    save_model_file,
)
from lookcloser.training import processes
from lookcloser.training.callbacks import (
    EMA,
    AtomicCheckpointIO,
    EpochLines,
    GracefulStop,
    Patience,
    ResumedOrder,
    RunWriter,
    TrainingInterruptedError,
)
from lookcloser.training.captioning import CaptioningModule
from lookcloser.training.classification import ClassificationModule
from lookcloser.training.files import CHECKPOINT_FILE, MODEL_FILE
from lookcloser.training.launch import Joined, own_group
from lookcloser.training.loaders import make_loaders
from lookcloser.training.module import TrainingModule
from lookcloser.training.multilabel import MultilabelModule
from lookcloser.training.options import DEFAULT_METHODS, TrainOptions, flag

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
        skipped: Training images that could not be read: name -> reason.
        data_wait: Share of the training time spent waiting for data.
    """

    interrupted: bool
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
    kind = model_class(options.method or DEFAULT_METHODS[task])
    if task not in kind.tasks:
        fitting = [model.name for model in MODELS if task in model.tasks]
        raise UsageError(f"{kind.name}: not a method for {task}", allowed=", ".join(fitting))
    arguments = {"num_classes": len(names), **kind.data_arguments(catalog)}
    arguments |= _arguments(kind, options)
    torch.manual_seed(options.seed)
    with as_usage():  # whatever a constructor refuses is an option
        model = kind(**arguments)
    sources = [load_backbone_weights(backbone, options.weights) for backbone in model.backbones]
    default = timm.get_pretrained_cfg(options.backbone)
    side = options.source_size or options.size
    preprocessing = Preprocessing(
        size=(side, side),
        mean=options.mean or (_triple(default.mean) if default else Preprocessing.mean),
        std=options.std or (_triple(default.std) if default else Preprocessing.std),
        interpolation=options.interpolation,
    )
    provenance = {
        "seed": options.seed,
        "weights": sources[0] if sources else "none",
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    header = ModelHeader(
        kind.name,
        arguments,
        task,
        names,
        preprocessing,
        evidence_kind=evidence_kind(kind.name, task),
        provenance=provenance,
    )
    return model, header


def _with_names(catalog: Catalog, options: TrainOptions) -> Catalog:
    """``catalog`` with its vocabulary, where captions are to be learnt."""
    return with_vocabulary(catalog, options.min_count or 1, options.max_words)


def _arguments(kind: type[Model], options: TrainOptions) -> dict[str, Any]:
    """What the constructor of a method takes of the options, by name."""
    known = inspect.signature(kind).parameters
    arguments = {}
    for item in fields(options):
        value = getattr(options, item.name)
        methods = item.metadata.get("methods")
        if methods and value is None:
            continue
        if item.name in known:
            arguments[item.name] = value
        elif methods and kind.name not in methods.split():
            raise UsageError(
                f"{flag(item.name)} {value}: not an option of --method {kind.name}",
                allowed=f"It belongs to {methods.replace(' ', ', ')}.",
            )
    return arguments


def _triple(values: tuple[float, ...]) -> tuple[float, float, float]:
    """Per channel; timm repeats nothing for grey networks, this package feeds RGB only."""
    red, green, blue = values if len(values) == 3 else (values[0],) * 3
    return red, green, blue


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
        LookcloserError: For data or options that do not fit, and where writing fails.
    """
    catalog = _with_names(catalog, options)
    model, header = prepare_model(options, catalog)
    with own_group(catalog, options, folder, resume=resume):
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
    train, val = make_loaders(catalog, options, header.preprocessing, pairs=model.pairs)
    steps = math.ceil(len(train) / options.accumulate)
    module = MODULES[catalog.task](
        model.to(memory_format=torch.channels_last) if options.channels_last else model,
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

    ema = EMA(options.ema) if options.ema else None
    writer = RunWriter(folder, save, ema, module.score)
    checkpoint = folder / CHECKPOINT_FILE
    stop = GracefulStop()
    with stop.listening():
        with _calm_lightning():
            order, has_val = ResumedOrder(train), val is not None
            trainer = _trainer(module, folder, writer, order, ema, console, stop, has_val=has_val)
            resumed = checkpoint if resume and checkpoint.is_file() else None
            with _ends():
                trainer.fit(module, train, val, ckpt_path=resumed)
        if first and not (folder / MODEL_FILE).is_file():
            save(writer.network_state(module), {})
        processes.all_of(None)  # who loads the file now finds it
    waits = [row["data_wait"] for row in writer.history]
    interrupted = trainer.interrupted or stop.asked
    return FitResult(interrupted, writer.skipped, sum(waits) / max(1, len(waits)))


@contextmanager
def _ends() -> Iterator[None]:
    """What signals end Lightning's loop with, as the rest of the package knows it."""
    try:
        yield
    except TrainingInterruptedError:
        pass
    except SIGTERMException:  # as it is, the program would end as if all were done
        sys.exit(128 + signal.SIGTERM)
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # to Lightning that is a failure
            raise KeyboardInterrupt from error
        raise


def _trainer(
    module: TrainingModule,
    folder: Path,
    writer: RunWriter,
    order: ResumedOrder,
    ema: EMA | None,
    console: Console,
    stop: GracefulStop,
    *,
    has_val: bool,
) -> pl.Trainer:
    options = module.options
    callbacks: list[Callback] = [ema] if ema is not None else []
    if options.patience and has_val:
        callbacks.append(Patience(module.score, options.patience))
    lines = EpochLines(console, writer, module.score_title)
    callbacks += [writer, order, lines, stop]
    show_bar = not console.quiet and sys.stderr.isatty()
    if show_bar:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return pl.Trainer(
        max_epochs=options.epochs,
        precision=options.precision,  # type: ignore[arg-type]  # checked by TrainOptions
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip or None,
        **_devices(module),
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=show_bar,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
    )


def _devices(module: TrainingModule) -> dict[str, Any]:
    """The trainer's arguments for the group of processes, if there is one."""
    count, local = processes.world_size(), processes.local_world_size()
    if count == 1:
        return {"devices": 1}
    return {
        "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
        "devices": local,
        "num_nodes": count // local,
        # In phases some weights have no part in a step, and which ones changes.
        "strategy": DDPStrategy(
            cluster_environment=Joined(), find_unused_parameters=bool(module.model.phases)
        ),
    }


class _calm_lightning(warnings.catch_warnings):  # noqa: N801 - used like a function
    """Lightning without its advertisements, and without advice on what is chosen here."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        # Workers and small data sets are this package's choice, and it reports the waiting time.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*The number of training batches.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        # Of weights with one row or column, such as a class token: copying them costs nothing.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # Lightning 2.6 still calls names that torch has renamed.
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning.*")
        return entered
