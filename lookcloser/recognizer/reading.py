"""The images of a split in batches, for every kind of evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lookcloser.core.errors import LookcloserError
from lookcloser.data import Sample
from lookcloser.data.dataset import Batch, EpochSampler, ImageDataset, image_loader
from lookcloser.data.targets import Targets
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import Package


def check_known(labels: Iterable[str], package: Package) -> None:
    """Raise a `LookcloserError` for labels of the data that the model does not know."""
    unknown = sorted(set(labels) - set(package.names))
    if unknown:
        raise LookcloserError(
            f"{unknown[0]}: a class of the data that the model does not know"
            + (f" ({len(unknown)} such)" if len(unknown) > 1 else ""),
            fix="Evaluate on data with the classes of the training",
        )


def read_batches(
    samples: Sequence[Sample],
    targets: Targets,
    package: Package,
    skipped: list[tuple[str, str]],
    *,
    batch_size: int,
    workers: int,
) -> Iterator[Batch]:
    """Batches in the order of ``samples``, each with at least one image.

    Args:
        samples: What to read.
        targets: Makes the target of a sample.
        package: How images are made ready.
        skipped: (name, reason) of images that cannot be read are added to it.
        batch_size: Images per batch.
        workers: Loading processes.

    Raises:
        LookcloserError: At the end, where no image could be read.
    """
    dataset = ImageDataset(samples, targets, evaluation_transform(package.preprocessing))
    order = EpochSampler(len(dataset), shuffle=False)
    any_read = False
    for batch in image_loader(
        dataset, order, batch_size=batch_size, workers=workers, keep_last=True
    ):
        skipped.extend(batch.skipped)
        if len(batch.targets):
            any_read = True
            yield batch
    if not any_read:
        raise LookcloserError(
            f"None of the {len(samples)} images could be read, e.g. {skipped[0][1]}",
            fix="`lookcloser data check DATA` lists what is broken",
        )
