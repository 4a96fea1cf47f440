"""The labeling interface of a Label Studio project: which answers it has a place for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from lookcloser.core.types import Label, Prediction
from lookcloser.runtime.label_studio import BOXES, IMAGE, entry, rectangle
from lookcloser.serve.http.problems import Problem

# What a tag takes -> the tags of its choices.
_KINDS = {"RectangleLabels": "Label", "Choices": "Choice", "TextArea": None}
_MAPS = ("map", "step")


@dataclass(frozen=True)
class Control:
    """A tag that takes answers.

    Attributes:
        kind: "RectangleLabels", "Choices" or "TextArea".
        name: That answers give.
        values: Label -> how the project calls it; None takes any.
    """

    kind: str
    name: str
    values: Mapping[str, str] | None = None

    def called(self, label: str) -> str | None:
        """What the project calls a label; None where it has no place for it."""
        return label if self.values is None else self.values.get(label)


@dataclass(frozen=True)
class Interface:
    """What a project labels.

    Attributes:
        image: The name of its image tag.
        field: The field of a task's data that holds the image.
        controls: What takes answers about it.
    """

    image: str = IMAGE
    field: str = "image"
    controls: tuple[Control, ...] = (Control("RectangleLabels", BOXES),)

    def results(self, prediction: Prediction) -> list[dict[str, Any]]:
        """The entries of one image, all of them in one list."""
        found: list[tuple[float, str, str, dict[str, Any]]] = []
        for control in self.controls:
            found += _VALUES[control.kind](control, prediction)
        size = prediction.size
        return [
            entry(number, score, size, kind=kind, control=control, value=value, image=self.image)
            for number, (score, kind, control, value) in enumerate(found, 1)
        ]


def read_interface(text: str | None) -> Interface:
    """The interface of a project from its XML; the one that `annotate` writes where none is given.

    Raises:
        Problem: 422 for XML that cannot be read, or that has no image or nothing that takes answers
            about it.
    """
    if not text or not text.strip():
        return Interface()
    root = _parsed(text)
    image = next(root.iter("Image"), None)
    if image is None:
        raise Problem(422, "The labeling interface has no Image.")
    name, field = image.get("name", IMAGE), image.get("value", "$image").lstrip("$")
    controls = tuple(
        Control(tag.tag, tag.get("name", ""), _values(tag))
        for tag in root.iter()
        if tag.tag in _KINDS and name in tag.get("toName", "").split(",")
    )
    if not controls:
        raise Problem(
            422,
            f"The labeling interface has none of {', '.join(_KINDS)} for its image, which are "
            "what this server fills in.",
        )
    return Interface(name, field, controls)


def _parsed(text: str) -> ElementTree.Element:
    if "<!" in text.replace("<!--", ""):
        raise Problem(422, "The labeling interface declares entities or a document type.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise Problem(422, "The labeling interface is not XML.") from error


def _values(tag: ElementTree.Element) -> dict[str, str] | None:
    """The choices of a tag; None where they come from each task, and for free text."""
    choice = _KINDS[tag.tag]
    if choice is None or tag.get("value"):
        return None
    values = {}
    for child in tag.iter(choice):
        label = child.get("value", "")
        values[label] = child.get("alias") or label
    return values


Entry = tuple[float, str, str, dict[str, Any]]


def _boxes(control: Control, prediction: Prediction) -> list[Entry]:
    found = []
    for region in prediction.regions:
        label = control.called(region.label)
        if region.kind in _MAPS and region.box is not None and label is not None:
            value = rectangle(label, region.box, prediction.size)
            found.append((region.score, "rectanglelabels", control.name, value))
    return found


def _choices(control: Control, prediction: Prediction) -> list[Entry]:
    called = [(label, control.called(label.name)) for label in _answered(prediction)]
    known = [(label.score, name) for label, name in called if name is not None]
    if not known:
        return []
    value = {"choices": [name for _, name in known]}
    return [(max(score for score, _ in known), "choices", control.name, value)]


def _text(control: Control, prediction: Prediction) -> list[Entry]:
    if not prediction.caption:
        return []
    scores = [region.score for region in prediction.regions] or [0.0]
    value = {"text": [prediction.caption]}
    return [(sum(scores) / len(scores), "textarea", control.name, value)]


def _answered(prediction: Prediction) -> tuple[Label, ...]:
    single = prediction.task == "classification"
    return prediction.labels[:1] if single else prediction.labels


_VALUES = {"RectangleLabels": _boxes, "Choices": _choices, "TextArea": _text}
