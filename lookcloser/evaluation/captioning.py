"""Scoring captions on a split: words against references, and where the words were looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

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
from lookcloser.core.results.scores import CENTER_BOX, Score
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Answer, Evaluation, Prediction
from lookcloser.data import Catalog, Sample
from lookcloser.data.targets import CaptionTargets
from lookcloser.data.vocabulary import NULL, tokenize
from lookcloser.evaluation.answers import placed
from lookcloser.evaluation.kept import KeptAnswers
from lookcloser.evaluation.loop import Loop
from lookcloser.evaluation.shifts import ShiftTally
from lookcloser.inference.engine import as_arrays
from lookcloser.inference.split_loop import Skipped, SplitBatch
from lookcloser.metrics.captions import (
    DocumentFrequency,
    cider_d_per_caption,
    rouge_l_per_caption,
)
from lookcloser.models import Captioner, Model
from lookcloser.runtime import ArrayOutput, predictions
from lookcloser.runtime.regions import upsample

Words = list[str]


class Written(NamedTuple):
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

    def answer(self) -> Answer:
        """The caption beside the references."""
        boxes = tuple(box for _, box in self.sample.boxes)
        return Answer(self.prediction, self.sample.captions, boxes, self.exact, loss=self.loss)


class Texts:
    """The captions of a split beside their references: words and losses, no evidence."""

    def __init__(self) -> None:
        self.said: list[Words] = []
        self.references: list[list[Words]] = []
        self.losses: list[float] = []

    def add(self, written: Sequence[Written]) -> None:
        """Remember the words of some captions."""
        self.said += [item.words for item in written]
        self.references += [item.references for item in written]
        self.losses += [item.loss for item in written]


def evaluate_captions(
    loop: Loop,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    evidence: int | None = None,
    flagged: Sequence[str] = (),
) -> Evaluation:
    """Everything measured on one split; see `Recognizer.evaluation` for the arguments.

    Metrics: BLEU-1 … BLEU-4, ROUGE-L and CIDEr-D on the words of `tokenize`; "exact caption", the
    share of captions that equal a reference; "nll", cross-entropy a word in nats; with boxes of
    words, "pointing": the share of the words said that have a box in their image where the map of
    the word is highest inside such a box.
    """
    del threshold_from  # captions have no boxes to cut
    engine = loop.engine
    assert isinstance(engine.model, Captioner)  # what the task in its header promises
    samples, skipped = catalog.split(split), Skipped()
    texts, pointing, moves = Texts(), PointingTally(engine.header.preprocessing.size), ShiftTally()
    kept = KeptAnswers(evidence, flagged)
    for written in write_split(loop, samples, skipped):
        texts.add(written)
        pointing.add(written)
        moves.add(item.prediction for item in written)
        kept.add(
            np.array([item.exact for item in written]),
            np.array([item.loss for item in written]),
            sum(bool(item.sample.boxes) for item in written),
            np.full((len(written), 1), np.nan),
            [item.answer() for item in written],
        )
    settings = {
        "images": f"{kept.count} of split {split}",
        **_settings(engine.model, engine.header, texts, catalog),
    }
    if pointing.count:
        settings["pointing"] = f"{pointing.count} words said that have a box in their image"
    shown, tally = kept.result(np.full(kept.count, np.nan), 0)
    return Evaluation(
        task=catalog.task,
        split=split,
        names=(),
        scores=_caption_scores(texts, catalog) + pointing.scores() + moves.scores(),
        answers=shown,
        settings=settings,
        skipped=tuple(skipped),
        shifts=moves.shifts(),
        tally=tally,
    )


def write_split(loop: Loop, samples: Sequence[Sample], skipped: Skipped) -> Iterator[list[Written]]:
    """Captions of samples, batch by batch; images that cannot be read are listed and left out.

    Raises:
        LookcloserError: For an image without a caption, and where no image can be read.
    """
    silent = [sample.name for sample in samples if not sample.captions]
    if silent:
        raise LookcloserError(f"{silent[0]}: no caption to compare with", fix="Leave it out")
    longest = max(len(tokenize(caption)) for sample in samples for caption in sample.captions)
    header = loop.engine.header
    targets = CaptionTargets(header.names, longest)
    for batch, (output, losses) in loop.run(samples, targets, partial(_ask, targets), skipped):
        found = predictions(output, header, batch.sizes, top=0)
        yield [
            Written(
                sample,
                placed(prediction, sample),
                [tokenize(caption) for caption in sample.captions],
                loss,
            )
            for sample, prediction, loss in zip(batch.samples, found, losses, strict=True)
        ]


def _ask(
    targets: CaptionTargets, model: Model, batch: SplitBatch
) -> tuple[ArrayOutput, list[float]]:
    """The captions, and the loss of the references."""
    assert isinstance(model, Captioner)  # what the task in its header promises
    features = model.backbone(batch.images)
    return as_arrays(model.write(features)), _losses(model, features, batch.samples, targets)


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


def _caption_scores(texts: Texts, catalog: Catalog) -> tuple[Score, ...]:
    said, references = texts.said, texts.references
    each = {
        "ROUGE-L": rouge_l_per_caption(said, references),
        "CIDEr-D": cider_d_per_caption(said, references, _frequency(texts, catalog)),
        "exact caption": np.array(
            [words in right for words, right in zip(said, references, strict=True)], dtype=float
        ),
        "nll": np.array(texts.losses),
    }
    overlaps = [
        Score(name, value, higher_is_better=True)
        for name, value in metrics.bleu(said, references).items()
    ]
    means = [
        Score(
            name, float(values.mean()), metrics.bootstrap_interval(values),
            higher_is_better=name != "nll", is_share=name not in {"nll", "CIDEr-D"},
        )
        for name, values in each.items()
    ]  # fmt: skip
    return (*overlaps, *means)


def _frequency(texts: Texts, catalog: Catalog) -> DocumentFrequency:
    """Counted on the training captions, so that the scores of all splits compare."""
    if "train" not in catalog.splits:
        return DocumentFrequency.of(texts.references)
    return DocumentFrequency.of(
        [[tokenize(caption) for caption in sample.captions] for sample in catalog.split("train")]
    )


def _settings(
    model: Captioner, header: ModelHeader, texts: Texts, catalog: Catalog
) -> dict[str, str]:
    counts = sorted(len(references) for references in texts.references)
    of = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    known = set(header.names)
    words = [word for references in texts.references for text in references for word in text]
    lacking = sum(word not in known for word in words) / max(1, len(words))
    counted_on = "the training captions" if "train" in catalog.splits else "the references"
    drawn = f"drawn at temperature {model.temperature:g}"
    return {
        "references": f"{of} an image; {lacking:.1%} of their words are not in the vocabulary",
        "captions": drawn if model.temperature > 0 else f"beam search of width {model.beam}",
        "document frequency of CIDEr-D": counted_on,
    }


class PointingTally:
    """The pointing game of the words said that have boxes, caption by caption.

    The center of the image in such a box is the baseline.

    Args:
        grid: That of the network's input, at which maps are compared.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid, self.count = grid, 0
        self._own = self._center = 0

    def add(self, written: Sequence[Written]) -> None:
        """Count the words of some captions that have a box in their image."""
        maps: list[NDArray[np.float32]] = []
        places: list[Boxes] = []
        size = self.grid.image_size
        for item in written:
            for region in item.prediction.regions:
                boxes = [
                    box for name, box in item.sample.boxes if tokenize(name or "") == [region.label]
                ]
                if boxes and region.heatmap is not None:
                    maps.append(region.heatmap)
                    places.append(geometry.scale(boxes, item.prediction.size, size))
        if not maps:
            return
        large = upsample(np.stack(maps), self.grid)
        centered = metrics.center_maps(len(maps), size)
        self._own += int(metrics.pointing_hits(large, places).sum())
        self._center += int(metrics.pointing_hits(centered, places).sum())
        self.count += len(maps)

    def scores(self) -> tuple[Score, ...]:
        """The score "pointing", where any word had a box."""
        if not self.count:
            return ()
        center = {CENTER_BOX: self._center / self.count}
        value = self._own / self.count
        return (Score("pointing", value, None, center, higher_is_better=True, of_evidence=True),)
