"""Batches for training and validation, by the options."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch
from torch.utils.data import DataLoader

from lookcloser.core.choices import TRAITS
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.wording import count
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.dataset import (
    EpochSampler,
    ImageDataset,
    Item,
    PairBatches,
    SharedBatches,
    image_loader,
)
from lookcloser.data.samplers import ClassBalancedBatchSampler
from lookcloser.data.shared_memory import FOLDER
from lookcloser.data.targets import CaptionTargets, ClassTargets, TagTargets, Targets
from lookcloser.data.transforms import (
    Augmentation,
    evaluation_transform,
    training_transform,
)
from lookcloser.data.vocabulary import longest_caption
from lookcloser.training.options import TrainOptions
from lookcloser.training.parallel import processes

PAIR = 2  # images of each class in a batch for losses that compare images; the paper's number


def make_loaders(
    catalog: Catalog,
    options: TrainOptions,
    preprocessing: Preprocessing,
    *,
    pairs: bool,
    say: Callable[[str], None] = lambda _text: None,
) -> tuple[DataLoader[Item], DataLoader[Item] | None]:
    """The batches of the train split and, where there is one, of the val split.

    Of several processes each gets its share; together they see every image once.

    Args:
        catalog: The data.
        options: How to train.
        preprocessing: How images are made ready.
        pairs: Whether a training batch must hold several images of each class.
        say: Told where there are fewer loading processes than the options ask for.

    Raises:
        LookcloserError: For a single image, of which no batch to train on can be made, and for
            images that are to be drawn in two ways.
    """
    # Captions say what is left and right.
    flip = TRAITS[catalog.task].labels != "words" if options.flip is None else options.flip
    augmentation = Augmentation(options.augment, options.crop_area, flip=flip, erase=options.erase)
    workers = options.workers
    if workers is None:
        cores = max(1, (os.cpu_count() or 1) // processes.local_world_size())
        # On a CPU, loading beside the computation takes cores from it and makes both slower.
        workers = min(cores if torch.cuda.is_available() else max(cores - 2, 0), 8)
    # Sorted, so that training does not depend on how a table or a file system lists the images.
    samples = sorted(catalog.split("train"), key=lambda sample: sample.name)
    train_targets, val_targets = _targets(catalog, options)
    train = ImageDataset(
        samples, train_targets, training_transform(preprocessing, augmentation), options.seed
    )
    # A few images are read sooner than workers start.
    workers = workers if len(samples) >= 4 * options.batch_size else 0
    sampler = _sampler(samples, catalog, options, pairs=pairs)
    loader = image_loader(train, sampler, batch_size=options.batch_size, workers=workers)
    if not len(loader):
        raise LookcloserError(
            f"{catalog.root}: {count(len(samples), 'image')} of train makes no batch to learn from",
            fix="Add images",
        )
    if loader.num_workers < workers:
        say(
            f"{loader.num_workers} loading processes instead of {workers}: {FOLDER} is too small "
            "for more (docker run --shm-size=2g makes room)"
        )
    return loader, _val_loader(catalog, val_targets, options, preprocessing, loader.num_workers)


def _targets(catalog: Catalog, options: TrainOptions) -> tuple[Targets, Targets]:
    """Of training and of validation."""
    if TRAITS[catalog.task].labels == "words":
        length = options.own_option("max_length") or longest_caption(catalog)
        drawn = CaptionTargets(catalog.names, length, options.seed)
        return drawn, CaptionTargets(catalog.names, length)
    targets = (TagTargets if TRAITS[catalog.task].labels == "some" else ClassTargets)(catalog.names)
    return targets, targets


def _sampler(
    samples: Sequence[Sample], catalog: Catalog, options: TrainOptions, *, pairs: bool
) -> EpochSampler | PairBatches | SharedBatches:
    """The order of training: N-pair batches, drawn evenly over the classes, or shuffled."""
    share = options.share(processes.world_size())
    weights = None
    if TRAITS[catalog.task].labels == "one":
        index = {name: number for number, name in enumerate(catalog.names)}
        classes = torch.tensor([index[sample.labels[0]] for sample in samples])
        if pairs:
            if options.balance == "sampling":
                raise UsageError(
                    f"{{}} sampling: not with --method {options.method}, whose batches are made of "
                    "several images of each class",
                    allowed="none or weights",
                    option="balance",
                )
            each = options.own_option("images_per_class") or PAIR
            size = min(max(share // each, 2), len(set(classes.tolist())))
            sampler = ClassBalancedBatchSampler(classes.tolist(), size, each, seed=options.seed)
            return PairBatches(sampler)
        if options.balance == "sampling":
            weights = 1.0 / torch.bincount(classes).clamp(min=1)[classes]
    order = EpochSampler(len(samples), seed=options.seed, weights=weights)
    return _shared(order, options.batch_size, least=min(2, share))


def _shared(order: EpochSampler, batch_size: int, *, least: int) -> EpochSampler | SharedBatches:
    """``order`` for one process, this one's share of its batches for several."""
    count = processes.world_size()
    if count == 1:
        return order
    return SharedBatches(order, batch_size, rank=processes.rank(), world_size=count, least=least)


def _val_loader(
    catalog: Catalog,
    targets: Targets,
    options: TrainOptions,
    preprocessing: Preprocessing,
    workers: int,
) -> DataLoader[Item] | None:
    samples: tuple[Sample, ...] = catalog.split("val") if "val" in catalog.splits else ()
    if not samples:
        return None
    if len(samples) < processes.world_size():
        raise LookcloserError(
            f"{catalog.root}: {count(len(samples), 'image')} of val for "
            f"{processes.world_size()} processes",
            allowed="At least 1 for each",
            fix="Use fewer --devices",
        )
    dataset = ImageDataset(samples, targets, evaluation_transform(preprocessing))
    size = 2 * options.batch_size
    order = _shared(EpochSampler(len(dataset), shuffle=False), size, least=1)
    return image_loader(dataset, order, batch_size=size, workers=min(workers, 2), keep_last=True)
