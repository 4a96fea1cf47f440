"""Words that options choose from and functions take: one spelling for both, and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What is answered about an image.
Task = Literal["classification", "multilabel", "captioning"]


@dataclass(frozen=True)
class TaskTraits:
    """What most rooms ask about a task; what is done for one task alone stands in its own files.

    Attributes:
        labels: What the truth of an image is: "one" label, "some" labels or none, or "words".
        noun: One thing that is told apart.
        method: By which it is trained where nobody names a method.
        answer: What a model answers with, ``{}`` being what it knows.
        right: What a right answer is.
        pipeline: The hub's name for it.
    """

    labels: Literal["one", "some", "words"]
    noun: str
    method: str
    answer: str
    right: str
    pipeline: str


TRAITS: dict[Task, TaskTraits] = {
    "classification": TaskTraits(
        labels="one",
        noun="class",
        method="cam",
        answer="one class of {} for an image",
        right="the right class",
        pipeline="image-classification",
    ),
    "multilabel": TaskTraits(
        labels="some",
        noun="tag",
        method="cnnrnn",
        answer="the tags of an image, of {}",
        right="just the right labels",
        pipeline="image-classification",
    ),
    "captioning": TaskTraits(
        labels="words",
        noun="word",
        method="lstm",
        answer="a sentence about an image, of {}",
        right="a caption that is one of their references",
        pipeline="image-to-text",
    ),
}

# Of `layers`.
GradientMode = Literal["grid", "mask", "saliency"]
ProposalHead = Literal["light", "paper"]
OsmeHead = Literal["pooled", "flattened"]
Merge = Literal["concat", "sum"]
Gate = Literal["sigmoid", "relu"]

# Of `metrics`: what the threshold of a box is a share of.
BoxRule = Literal["max", "range"]
BoxKind = Literal["scale", "place"]  # of boxes that an answer looked into

# Of `losses`.
Reduction = Literal["paper", "mean"]
MamcForm = Literal["npair", "hinge"]
RankingForm = Literal["probability", "log"]
