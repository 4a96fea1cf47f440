"""Scoring captions on a split: words against references, and where the words were looked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser import metrics
from lookcloser.core import boxes as geometry
from lookcloser.core.boxes import Boxes
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.types import Answer, Evaluation, Prediction
from lookcloser.data import Catalog, Sample
from lookcloser.data.targets import CaptionTargets
from lookcloser.data.vocabulary import NULL, UNKNOWN, Vocabulary, tokenize
from lookcloser.evaluation.answers import placed
from lookcloser.inference.engine import TorchEngine, as_arrays
from lookcloser.inference.split_loop import Skipped, SplitBatch, run_split
from lookcloser.metrics.captions import (
    DocumentFrequency,
    cider_d_per_caption,
    rouge_l_per_caption,
)
from lookcloser.models import Captioner
from lookcloser.runtime import ArrayOutput, predictions
from lookcloser.runtime.regions import Size, upsample

Words = list[str]


@dataclass(frozen=True)
class Written:
    """What the model wrote of one image.

    Attributes:
        sample: The image.
        prediction: The caption, with a region for each word.
        references: The true captions as words.
        loss: Cross-entropy of the references given the image, the mean over all their words.
    """

    sample: Sample
    prediction: Prediction
    references: list[Words]
    loss: float

    @property
    def words(self) -> Words:
        """The caption as words, of which none has a space."""
        return (self.prediction.caption or "").split()

    @property
    def exact(self) -> bool:
        """Whether the caption is one of the references, word by word."""
        return self.words in self.references


def evaluate_captions(
    engine: TorchEngine,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    batch_size: int = 32,
    workers: int = 0,
) -> Evaluation:
    """Everything measured on one split; see `Recognizer.evaluation` for the arguments.

    Metrics: BLEU-1 … BLEU-4, ROUGE-L and CIDEr-D on the words of `tokenize`; "exact caption", the
    share of captions that equal a reference; "nll", cross-entropy a word in nats; with boxes of
    words, "pointing": the share of the words said that have a box in their image where the map of
    the word is highest inside such a box.
    """
    del threshold_from  # captions have no boxes to cut
    header, model = engine.header, engine.model
    assert isinstance(model, Captioner)  # what the task in its header promises
    written, skipped = write_split(
        engine, catalog.split(split), batch_size=batch_size, workers=workers
    )
    scores, intervals = _caption_scores(written, catalog)
    pointing, boxed = _pointing(written, header.preprocessing.size)
    settings = {
        "images": f"{len(written)} of split {split}",
        **_settings(model, header, written, catalog),
    }
    if boxed:
        settings["pointing"] = f"{boxed} words said that have a box in their image"
    return Evaluation(
        task=catalog.task,
        split=split,
        names=(),
        metrics=scores | pointing,
        answers=tuple(
            Answer(
                item.prediction,
                item.sample.captions,
                tuple(box for _, box in item.sample.boxes),
                item.exact,
                loss=item.loss,
            )
            for item in written
        ),
        intervals=intervals,
        settings=settings,
        skipped=skipped,
    )


def write_split(
    engine: TorchEngine,
    samples: Sequence[Sample],
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> tuple[list[Written], tuple[tuple[str, str], ...]]:
    """Captions of samples, and (name, reason) of the images that could not be read.

    Raises:
        LookcloserError: For an image without a caption, and where no image can be read.
    """
    silent = [sample.name for sample in samples if not sample.captions]
    if silent:
        raise LookcloserError(f"{silent[0]}: no caption to compare with", fix="Leave it out")
    longest = max(len(tokenize(caption)) for sample in samples for caption in sample.captions)
    targets, model = CaptionTargets(engine.header.names, longest), engine.model
    assert isinstance(model, Captioner)  # what the task in its header promises
    written: list[Written] = []
    skipped: Skipped = []

    def ask(batch: SplitBatch) -> tuple[ArrayOutput, list[float]]:
        features = model.backbone(batch.images)
        return as_arrays(model.write(features)), _losses(model, features, batch.samples, targets)

    for batch, (output, losses) in run_split(
        engine, samples, targets, ask, skipped, batch_size=batch_size, workers=workers
    ):
        found = predictions(output, engine.header, batch.sizes, top=0)
        for sample, prediction, loss in zip(batch.samples, found, losses, strict=True):
            references = [tokenize(caption) for caption in sample.captions]
            written.append(Written(sample, placed(prediction, sample), references, loss))
    return written, tuple(skipped)


def _losses(
    model: Captioner, features: Tensor, samples: Sequence[Sample], targets: CaptionTargets
) -> list[float]:
    """The mean cross-entropy of all words of each image's references."""
    total, count = torch.zeros(2, len(samples), device=features.device)
    for number in range(max(len(sample.captions) for sample in samples)):
        rows = [row for row, sample in enumerate(samples) if number < len(sample.captions)]
        words = torch.stack([targets.of(samples[row].captions[number]) for row in rows])
        words = words.to(features.device)
        logits = model.word_logits(features[rows], words[:, :-1]).float()
        losses = F.cross_entropy(logits.transpose(1, 2), words[:, 1:], reduction="none")
        counted = words[:, 1:] != NULL
        total[rows] += (losses * counted).sum(dim=1)
        count[rows] += counted.sum(dim=1)
    mean: list[float] = (total / count).tolist()
    return mean


def _caption_scores(
    written: Sequence[Written], catalog: Catalog
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    said, references = [item.words for item in written], [item.references for item in written]
    each = {
        "ROUGE-L": rouge_l_per_caption(said, references),
        "CIDEr-D": cider_d_per_caption(said, references, _frequency(written, catalog)),
        "exact caption": np.array([item.exact for item in written], dtype=float),
        "nll": np.array([item.loss for item in written]),
    }
    scores = metrics.bleu(said, references) | {n: float(v.mean()) for n, v in each.items()}
    return scores, {name: metrics.bootstrap_interval(values) for name, values in each.items()}


def _frequency(written: Sequence[Written], catalog: Catalog) -> DocumentFrequency:
    """Counted on the training captions, so that the scores of all splits compare."""
    if "train" not in catalog.splits:
        return DocumentFrequency.of([item.references for item in written])
    return DocumentFrequency.of(
        [[tokenize(caption) for caption in sample.captions] for sample in catalog.split("train")]
    )


def _settings(
    model: Captioner, header: ModelHeader, written: Sequence[Written], catalog: Catalog
) -> dict[str, str]:
    counts = sorted(len(item.references) for item in written)
    of = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    encode = Vocabulary(header.names).encode
    tokens = [t for item in written for caption in item.sample.captions for t in encode(caption)]
    lacking = tokens.count(UNKNOWN) / max(1, len(tokens))
    counted_on = "the training captions" if "train" in catalog.splits else "the references"
    drawn = f"drawn at temperature {model.temperature:g}"
    return {
        "references": f"{of} an image; {lacking:.1%} of their words are not in the vocabulary",
        "captions": drawn if model.temperature > 0 else f"beam search of width {model.beam}",
        "document frequency of CIDEr-D": counted_on,
    }


def _pointing(written: Iterable[Written], grid: Size) -> tuple[dict[str, float], int]:
    """The pointing game of the words said that have boxes, and how many there are.

    The centre of the image in such a box is the baseline.
    """
    maps: list[NDArray[np.float32]] = []
    places: list[Boxes] = []
    for item in written:
        for region in item.prediction.regions:
            boxes = [
                box for name, box in item.sample.boxes if tokenize(name or "") == [region.label]
            ]
            if boxes and region.heatmap is not None:
                maps.append(region.heatmap)
                places.append(geometry.scale(boxes, item.prediction.size, (grid[1], grid[0])))
    if not maps:
        return {}, 0
    chunks = [slice(start, start + 256) for start in range(0, len(maps), 256)]
    hits = [metrics.pointing_hits(upsample(np.stack(maps[c]), grid), places[c]) for c in chunks]
    centre = metrics.pointing_hits(metrics.centre_maps(len(maps), (grid[1], grid[0])), places)
    scores = {
        "pointing": float(np.concatenate(hits).mean()),
        "pointing centre box": float(centre.mean()),
    }
    return scores, len(maps)
