"""From a catalog and options to a run folder."""

from __future__ import annotations

import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import timm
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Task
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.dataset import EpochSampler, ImageDataset, Item, image_loader
from lookcloser.data.transforms import (
    Augmentation,
    Preprocessing,
    evaluation_transform,
    training_transform,
)
from lookcloser.models import Model, Package, load_backbone_weights, model_class, save_package
from lookcloser.training.callbacks import (
    EMA,
    AtomicCheckpointIO,
    EpochLines,
    GracefulStop,
    RunWriter,
    TrainingInterruptedError,
)
from lookcloser.training.files import CHECKPOINT_FILE, MODEL_FILE
from lookcloser.training.module import ClassificationModule
from lookcloser.training.options import TrainOptions


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


def prepare_model(
    options: TrainOptions, task: Task, names: tuple[str, ...]
) -> tuple[Model, Package]:
    """The network with its first weights, and the header it will be saved under.

    Seeds torch's global generator, from which random weights come.

    Raises:
        LookcloserError: For an unknown method or backbone, a method of another task, or weights
            that are not to be had.
    """
    kind = model_class(options.method)
    if task not in kind.tasks:
        raise LookcloserError(
            f"{options.method}: not a method for {task}", fix="`lookcloser methods` lists them"
        )
    arguments: dict[str, Any] = {
        "num_classes": len(names),
        "backbone": options.backbone,
        "stride": options.stride,
        "model_kwargs": options.model_kwargs,
        "drop_rate": options.drop_rate,
    }
    torch.manual_seed(options.seed)
    model = kind(**arguments)
    source = load_backbone_weights(model.backbone, options.weights)
    default = timm.get_pretrained_cfg(options.backbone)
    preprocessing = Preprocessing(
        size=(options.size, options.size),
        mean=options.mean or (_triple(default.mean) if default else Preprocessing.mean),
        std=options.std or (_triple(default.std) if default else Preprocessing.std),
        interpolation=options.interpolation,
    )
    provenance = {
        "seed": options.seed,
        "weights": source,
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    package = Package(options.method, arguments, task, names, preprocessing, provenance=provenance)
    return model, package


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
    model, package = prepare_model(options, catalog.task, catalog.names)
    train, val = _loaders(catalog, options, package.preprocessing)
    folder.mkdir(parents=True, exist_ok=True)
    on_start()
    steps = math.ceil(len(train) / options.accumulate)
    module = ClassificationModule(
        model.to(memory_format=torch.channels_last) if options.channels_last else model,
        options,
        num_classes=len(catalog.names),
        total_steps=steps * options.epochs,
        warmup_steps=round(steps * options.warmup),
        class_weights=_class_weights(train, catalog) if options.balance == "weights" else None,
    )

    def save(state: Mapping[str, Tensor], scores: Mapping[str, float]) -> None:
        header = {**asdict(package), "preprocessing": package.preprocessing, "scores": dict(scores)}
        save_package(folder / MODEL_FILE, state, Package(**header))

    ema = EMA(options.ema) if options.ema else None
    writer = RunWriter(folder, save, ema)
    console = Console(stderr=True, quiet=quiet)
    checkpoint = folder / CHECKPOINT_FILE
    interrupted = False
    with _calm_lightning():
        trainer = _trainer(options, folder, writer, ema, console, has_val=val is not None)
        try:
            trainer.fit(
                module,
                train,
                val,
                ckpt_path=checkpoint if resume and checkpoint.is_file() else None,
            )
        except TrainingInterruptedError:
            interrupted = True
    if not (folder / MODEL_FILE).is_file():
        save(writer.network_state(module), {})
    waits = [row["data_wait"] for row in writer.history]
    return FitResult(interrupted, writer.skipped, sum(waits) / max(1, len(waits)))


def _loaders(
    catalog: Catalog, options: TrainOptions, preprocessing: Preprocessing
) -> tuple[DataLoader[Item], DataLoader[Item] | None]:
    augmentation = Augmentation(
        options.augment, options.crop_area, flip=options.flip, erase=options.erase
    )
    workers = options.workers
    if workers is None:
        cores = os.cpu_count() or 1
        # On a CPU, loading beside the computation takes cores from it and makes both slower.
        workers = min(cores if torch.cuda.is_available() else max(cores - 2, 0), 8)
    # Sorted, so that training does not depend on how a table or a file system lists the images.
    samples = sorted(catalog.split("train"), key=lambda sample: sample.name)
    train = ImageDataset(
        samples, catalog.names, training_transform(preprocessing, augmentation), options.seed
    )
    weights = None
    if options.balance == "sampling":
        counts = torch.bincount(torch.tensor(train.targets)).clamp(min=1)
        weights = 1.0 / counts[torch.tensor(train.targets)]
    sampler = EpochSampler(len(train), seed=options.seed, weights=weights)
    # A few images are read sooner than workers start.
    workers = workers if len(samples) >= 4 * options.batch_size else 0
    loader = image_loader(train, sampler, batch_size=options.batch_size, workers=workers)
    return loader, _val_loader(catalog, options, preprocessing, workers)


def _val_loader(
    catalog: Catalog, options: TrainOptions, preprocessing: Preprocessing, workers: int
) -> DataLoader[Item] | None:
    samples: tuple[Sample, ...] = catalog.split("val") if "val" in catalog.splits else ()
    if not samples:
        return None
    dataset = ImageDataset(samples, catalog.names, evaluation_transform(preprocessing))
    order = EpochSampler(len(dataset), shuffle=False)
    return image_loader(
        dataset, order, batch_size=2 * options.batch_size, workers=min(workers, 2), keep_last=True
    )


def _class_weights(train: DataLoader[Item], catalog: Catalog) -> Tensor:
    """Inverse frequencies with a mean of 1 over the training images."""
    dataset = train.dataset
    assert isinstance(dataset, ImageDataset)  # made in _loaders
    counts = torch.bincount(torch.tensor(dataset.targets), minlength=len(catalog.names))
    return len(dataset) / (len(catalog.names) * counts.clamp(min=1).float())


def _trainer(
    options: TrainOptions,
    folder: Path,
    writer: RunWriter,
    ema: EMA | None,
    console: Console,
    *,
    has_val: bool,
) -> pl.Trainer:
    callbacks: list[Callback] = [ema] if ema is not None else []
    callbacks += [writer, EpochLines(console, writer), GracefulStop(console)]
    if options.patience and has_val:
        callbacks.append(EarlyStopping("val_acc", mode="max", patience=options.patience))
    show_bar = not console.quiet and sys.stderr.isatty()
    if show_bar:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return pl.Trainer(
        max_epochs=options.epochs,
        precision=options.precision,  # type: ignore[arg-type]  # checked by TrainOptions
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip or None,
        devices=1,
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


class _calm_lightning(warnings.catch_warnings):  # noqa: N801 - used like a function
    """Lightning without its advertisements, and without advice on what is chosen here."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        # Workers and small data sets are this package's choice, and it reports the waiting time.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*The number of training batches.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        # Lightning 2.6 still calls names that torch has renamed.
        warnings.filterwarnings("ignore", category=FutureWarning, module="lightning.*")
        return entered
