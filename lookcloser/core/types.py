"""What every method answers with: one `Prediction` per image, one `Output` per network."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.results.scores import Score, Tally, flat_scores, tally_of
from lookcloser.core.results.shifts import Shifts
from lookcloser.core.results.showing import (
    evaluation_dict,
    evaluation_html,
    evaluation_repr,
    prediction_repr,
    prediction_rows,
    region_repr,
)
from lookcloser.core.sizes import ImageSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

_EVEN = 0.9

Kind = Literal["map", "scale", "place", "part", "step", "word"]
Box = tuple[float, float, float, float]

# The setting of an evaluation that says whose boxes its thresholds have seen.
SUPERVISION = "supervision of the thresholds"


class Output(NamedTuple):
    """What a network returns, the same in training and in evaluation.

    Attributes:
        logits: (B, C) before softmax or sigmoid.
        maps: (B, K, h, w), before any normalization: one map per class, or per entry of
            ``tokens``.
        boxes: (B, S, 4) one box per scale in [-1, 1].
        tokens: (B, K) whose maps these are: classes, or the labels or words of a decoded sequence,
            padded with -1.
        token_scores: (B, K) the score in [0, 1] of each entry of a decoded sequence.
        scale_logits: (B, S, C) the logits of every scale on its own.
        part_maps: (B, P, h, w) one map per attention, for the first of ``tokens`` or the best
            class.
        features: What the method's own loss terms are computed on; its shape is the method's.
        certified: (B,) bool, whether a search proved that ``tokens`` are its most probable answer;
            None from methods and decoders that prove nothing.
        distances: (B,) squared Mahalanobis distance of each image's features to the nearest class;
            None from models that were not solved in closed form.
        vector: (B, D) the pooled features that the answer is made from.
    """

    logits: Tensor
    maps: Tensor | None = None
    boxes: Tensor | None = None
    tokens: Tensor | None = None
    token_scores: Tensor | None = None
    scale_logits: Tensor | None = None
    part_maps: Tensor | None = None
    features: Tensor | None = None
    certified: Tensor | None = None
    distances: Tensor | None = None
    vector: Tensor | None = None


@dataclass(frozen=True)
class Label:
    """A name with its score in [0, 1] and its index among the classes of the model."""

    name: str
    score: float
    index: int


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """One piece of evidence: where in the image the model looked for ``label``.

    Attributes:
        kind: What made it: a class "map", a "scale" (RA-CNN), a "place" of a second look, a "part"
            (OSME), a "step" of a label sequence, a "word" of a caption.
        label: The name the evidence is for.
        score: The score of that label in [0, 1].
        box: (x0, y0, x1, y1) in pixels of the original image, x1 and y1 exclusive, or None.
        heatmap: float32 (h, w) in [0, 1], covering the whole image, at the network's own
            resolution, or None. All zeros means that there is no positive evidence.
        step: The position in a sequence, from 0, or None. Scale 0, the whole image, has no region.
        move: (x, y, half-side), the direction, of length 1, in which the derivatives of the score
            or of a loss would move ``box``; right, down and larger are positive. None where nobody
            asked.
    """

    kind: Kind
    label: str
    score: float
    box: Box | None = None
    heatmap: NDArray[np.float32] | None = None
    step: int | None = None
    move: tuple[float, float, float] | None = None

    def __repr__(self) -> str:
        return region_repr(self)

    @property
    def says_nothing(self) -> str | None:
        """Why the heatmap points nowhere, in words; None where it does, or where there is none.

        "no evidence": it is zero everywhere. "everywhere alike": its lowest value is nearly its
        highest, as of an attention that has not learned to choose.
        """
        if self.heatmap is None:
            return None
        low, high = float(self.heatmap.min()), float(self.heatmap.max())
        if high == 0:
            return "no evidence"
        return "everywhere alike" if low > _EVEN * high else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the heatmap becomes nested lists rounded to 6 digits."""
        heatmap = None if self.heatmap is None else self.heatmap.astype(float).round(6).tolist()
        return {
            "kind": self.kind,
            "label": self.label,
            "score": self.score,
            "box": None if self.box is None else list(self.box),
            "heatmap": heatmap,
            "step": self.step,
            "move": None if self.move is None else list(self.move),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The answer for one image, with its evidence.

    Attributes:
        task: "classification", "multilabel" or "captioning".
        labels: Best first.
        caption: The sentence, for captioning.
        regions: The evidence; for classification one region per label in ``labels``.
        size: Width and height of the original image in pixels.
        path: The file, or None for an image given as an array.
        error: Why there is no answer (an unreadable file), or None. Then ``labels`` is empty.
        error_kind: Of the error, for programs: ``LookcloserError.kind``.
        candidates: The labels that may be true, best first, where a coverage was asked for: of
            images like those of training, that share has its true label among them. It may be
            empty. None where nobody asked.
        coverage: The share that ``candidates`` promise; None where nobody asked.
        refusal: Why the image may show none of the classes, in words; None where it may show one.
        group: Of classes in a hierarchy, where none is at least as probable as not: the lowest
            group that is, with the sum of their scores and -1 for its index.
        image: The image itself where there is no path; kept for `plot` only.
    """

    task: Task
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    size: ImageSize
    path: Path | None = None
    caption: str | None = None
    error: str | None = None
    image: Any = None
    candidates: tuple[Label, ...] | None = None
    coverage: float | None = None
    refusal: str | None = None
    group: Label | None = None
    error_kind: str | None = None

    def __repr__(self) -> str:
        return prediction_repr(self)

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: `plot`, or nothing where the image is not to be had."""
        buffer = io.BytesIO()
        try:
            self.plot().save(buffer, "PNG")
        except LookcloserError:
            return None
        return buffer.getvalue()

    @property
    def answered(self) -> tuple[Label, ...]:
        """The labels in the order they were answered: of a sequence its path, else best first."""
        steps = {region.label: region.step or 0 for region in self.regions if region.kind == "step"}
        return tuple(sorted(self.labels, key=lambda label: steps.get(label.name, len(steps))))

    def plot(self, regions: int | None = None) -> Image:
        """The image beside its evidence: the first ``regions`` heatmaps with boxes and labels.

        Args:
            regions: How many; None takes one of a classification and all of a sequence.

        Returns:
            A PIL image in RGB.

        Raises:
            LookcloserError: If the prediction failed, or its file is no longer there.
        """
        from lookcloser.core.drawing import plot_prediction

        if regions is None:
            regions = 1 if TRAITS[self.task].labels == "one" else len(self.regions)
        return plot_prediction(self, regions)

    def show(self, regions: int | None = None) -> None:
        """Open `plot` in the image viewer of this machine; a notebook shows an answer by itself.

        Args:
            regions: As in `plot`.

        Raises:
            LookcloserError: As `plot`, and where there is no viewer.
        """
        from lookcloser.core.drawing import show_image

        show_image(self.plot(regions))

    def save(self, path: str | Path) -> Path:
        """Write `plot` to ``path`` (format by its ending, folders made); returns the path.

        Raises:
            LookcloserError: As `plot`; also for an ending that is no image's, and when it cannot
                be written.
        """
        from lookcloser.core.drawing import save_image

        return save_image(self.plot(), path)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: strings, numbers, lists and None only."""
        return {
            "task": self.task,
            "path": None if self.path is None else str(self.path),
            "size": list(self.size),
            "labels": [asdict(label) for label in self.labels],
            "caption": self.caption,
            "regions": [region.to_dict() for region in self.regions],
            "error": self.error,
            "candidates": (
                None if self.candidates is None else [asdict(label) for label in self.candidates]
            ),
            "coverage": self.coverage,
            "refusal": self.refusal,
            "group": None if self.group is None else asdict(self.group),
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Flat rows, one per label in the order of `answered`; `pandas.DataFrame` takes them.

        Keys are "path", "rank" (from 1), "label", "score", "x0", "y0", "x1", "y1" (the box of the
        label in original pixels), "error", "candidate" (whether the label is one of `candidates`,
        all of which have a row), "refusal", "group" and "group_score"; what is missing is None. A
        caption is one row, as is an image without an answer.
        """
        return prediction_rows(self)


@dataclass(frozen=True, eq=False)
class Sight:
    """One image, seen in several ways.

    Attributes:
        prediction: Whose image it is.
        views: Name -> what that view found in it.
    """

    prediction: Prediction
    views: Mapping[str, Region]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A section of a report that shows some images, each in several ways.

    Attributes:
        title: Its heading.
        note: How to read it.
        sights: The images.
    """

    title: str
    note: str
    sights: tuple[Sight, ...]


@dataclass(frozen=True, eq=False)
class Answer:
    """A prediction beside the truth: one image of an evaluated split.

    Attributes:
        prediction: With one region for the best label and, where it differs, one for the truth.
        truth: The true label names (one for classification).
        boxes: True boxes in original pixels; empty where the data has none.
        correct: Whether the best label is true.
        iou: IoU of the box of the *true* label's map with the best matching true box; None without
            true boxes.
        loss: Cross-entropy of the truth, in nats: the worst mistakes have the highest.
    """

    prediction: Prediction
    truth: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    correct: bool = False
    iou: float | None = None
    loss: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Everything measured on one split; what `report` draws.

    Attributes:
        task: As in `Prediction`.
        split: The split's name.
        names: Class names by index.
        scores: What was measured, the most telling first.
        answers: In the order of the data: of every image, or of those that galleries show, where
            the evaluation was asked to keep a few only.
        per_class: name -> {"count", "accuracy", "precision", "recall", "f1"}.
        confusion: (C, C) counts, rows true, columns predicted; None for other tasks.
        calibration: Rows (mean confidence, accuracy, count) of equal-width confidence bins.
        settings: How the scores were taken, in words: threshold and where it was chosen, ...
        skipped: (path, reason) of images that could not be read.
        neighbors: name -> the labels that the model holds most alike, with their cosine, nearest
            first; empty for models without vectors of labels.
        shifts: How the evidence moves from step to step and from scale to scale.
        tally: Every image in numbers; None where ``answers`` has them all.
    """

    task: Task
    split: str
    names: tuple[str, ...]
    scores: tuple[Score, ...]
    answers: tuple[Answer, ...]
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    confusion: NDArray[np.int64] | None = None
    calibration: tuple[tuple[float, float, int], ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    neighbors: Mapping[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    shifts: Shifts = field(default_factory=Shifts)
    tally: Tally | None = None

    def __repr__(self) -> str:
        return evaluation_repr(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the scores as tables."""
        return evaluation_html(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with flat keys in snake case: "top1", "max_box_acc_0_5", "step_2_overlap".

        Beside the scores: "intervals" by key, "per_class" by name, "classes" and "confusion" (rows
        true, columns answered, in the order of "classes"), "settings" and "skipped". What is not
        known is None.
        """
        return evaluation_dict(self)

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by name; baselines as "NAME center box", shifts as "step 2 overlap"."""
        return flat_scores(self.scores) | self.shifts.flat

    @property
    def images(self) -> Tally:
        """Every image in numbers, whether or not its answer was kept."""
        return tally_of(self.answers) if self.tally is None else self.tally

    def score(self, name: str) -> Score:
        """The score of that name.

        Raises:
            LookcloserError: Where there is none; near names are offered.
        """
        for score in self.scores:
            if score.name == name:
                return score
        raise unknown(name, "score", [score.name for score in self.scores])
