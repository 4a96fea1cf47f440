"""The class maps that pseudo-boxes are cut from, picture by picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import evaluating
from lookcloser.core.types import Output
from lookcloser.data import Sample
from lookcloser.data.dataset import Batch, EpochSampler, ImageDataset, image_loader
from lookcloser.data.targets import index_of
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import Model, Package
from lookcloser.recognizer.answering import label_scores

_MOST_TAGS = 20  # of one picture's answer


@dataclass(frozen=True, eq=False)
class Looked:
    """One picture with the maps of some classes.

    Attributes:
        sample: The picture.
        size: (width, height), upright.
        classes: Which classes.
        scores: Of each in [0, 1].
        maps: (K, h, w), raw.
    """

    sample: Sample
    size: tuple[int, int]
    classes: tuple[int, ...]
    scores: tuple[float, ...]
    maps: Tensor


Failed = tuple[Sample, str]


class _NoTargets:
    """Pictures without an answer."""

    def __call__(self, sample: Sample, epoch: int, index: int) -> Tensor:
        del sample, epoch, index
        return torch.tensor(0)


def look(
    model: Model,
    package: Package,
    samples: Sequence[Sample],
    *,
    given: bool,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[list[Looked | Failed]]:
    """Run the model over pictures, a batch at a time.

    Args:
        model: In any mode; it is left as it was.
        package: What belongs to it.
        samples: The pictures.
        given: Whether the maps are those of each sample's own labels, or of the model's answer.
        device: Where the model is.
        batch_size: Pictures per forward pass.
        workers: Loading processes.

    Yields:
        What was seen on each picture of a batch, or why it could not be read.

    Raises:
        LookcloserError: For a method without class maps.
    """
    dataset = ImageDataset(samples, _NoTargets(), evaluation_transform(package.preprocessing))
    order = EpochSampler(len(dataset), shuffle=False)
    loader = image_loader(dataset, order, batch_size=batch_size, workers=workers, keep_last=True)
    by_name = {sample.name: sample for sample in samples}
    index, session = index_of(package.names), model.session()
    for batch in loader:
        found: list[Looked | Failed] = [(by_name[name], why) for name, why in batch.skipped]
        if len(batch.images):
            own = [samples[row] for row in batch.indices.tolist()]
            tokens = _tokens(own, index) if given else None
            with torch.inference_mode(), evaluating(model), session:
                found += _of_batch(model, package, batch, own, tokens, device)
        yield found


def _tokens(samples: Sequence[Sample], index: Mapping[str, int]) -> Tensor:
    """(B, K) classes of each sample's labels, filled up with -1."""
    most = max(1, *(len(sample.labels) for sample in samples))
    tokens = torch.full((len(samples), most), -1)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample.labels)] = torch.tensor([index[name] for name in sample.labels])
    return tokens


def _of_batch(
    model: Model,
    package: Package,
    batch: Batch,
    samples: Sequence[Sample],
    tokens: Tensor | None,
    device: torch.device,
) -> Iterator[Looked]:
    images = batch.images.to(device)
    if tokens is None:
        output: Output = model.answer(images, 1 if package.task == "classification" else _MOST_TAGS)
        tokens = output.tokens
    else:
        output = model(images, targets=tokens.clamp(min=0).to(device))
    if output.maps is None or tokens is None:
        raise LookcloserError(
            f"{package.method}: gives no class maps, and boxes are cut from them",
            fix="Train another method; `lookcloser methods` lists them",
        )
    scores = label_scores(output.logits, package).cpu()
    maps, tokens = output.maps.float().cpu(), tokens.cpu()
    for row, (sample, size) in enumerate(zip(samples, batch.sizes, strict=True)):
        kept = torch.nonzero(tokens[row] >= 0)[:, 0]
        classes = tokens[row, kept]
        yield Looked(
            sample,
            size,
            tuple(classes.tolist()),
            tuple(scores[row, classes].tolist()),
            maps[row, kept],
        )
