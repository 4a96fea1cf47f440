"""The page of a model on the hub, written from what its run knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from lookcloser.core.choices import TRAITS
from lookcloser.core.header import ModelHeader
from lookcloser.core.results.scores import Score
from lookcloser.core.wording import count, printable
from lookcloser.version import __version__

NO_LICENSE = "unknown"  # an identifier of the hub's own
_MOST_NAMES = 100
_METRICS = {"top1": "accuracy"}  # ours -> the hub's


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside the header of the model.

    Attributes:
        repository: "OWNER/NAME".
        license: An identifier of the hub.
        summary: What the method is, in a few words.
        data: The name of the data set; "" where it is not at hand.
        images: How many images each split has, by its name.
        split: The split that ``scores`` are of; "" for those of the training's own validation.
        scores: What was measured.
        image: The file of an image with its evidence, in the same folder; None without.
        remembered: How many images the file keeps the features of.
    """

    repository: str
    license: str = NO_LICENSE
    summary: str = ""
    data: str = ""
    images: Mapping[str, int] = field(default_factory=dict)
    split: str = ""
    scores: Sequence[Score] = ()
    image: str | None = None
    remembered: int = 0


def model_card(header: ModelHeader, facts: CardFacts) -> str:
    """README.md: a YAML head that the hub reads, and Markdown for people.

    Names of classes and data are anybody's: in the head YAML quotes them, in the text every sign
    that Markdown or HTML could obey is a character reference.
    """
    head = yaml.safe_dump(_head(header, facts), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {escaped(facts.repository)}",
        _summary(header, facts),
        *([f"![An image, and where the model looked]({facts.image})"] if facts.image else []),
        _usage(facts.repository),
        _scores(facts),
        _training(header, facts),
        _limits(header, facts),
        _names(header),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """``text`` as one line of Markdown that shows it and obeys nothing in it."""
    return _SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", printable(text))


# ASCII that is no letter, digit, blank or comma; - and _ only where they are inside a word.
_SIGNS = re.compile(r"(?!(?<=[^\W_])[-_](?=[^\W_]))[\x21-\x2b\x2d-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]")


def _head(header: ModelHeader, facts: CardFacts) -> dict[str, Any]:
    backbone = header.arguments.get("backbone")
    tags = ["lookcloser", header.method, *([printable(str(backbone))] if backbone else [])]
    task = TRAITS[header.task].pipeline
    head: dict[str, Any] = {
        "library_name": "lookcloser",
        "pipeline_tag": task,
        "license": facts.license,
        "tags": list(dict.fromkeys(tags)),
    }
    metrics = [
        {
            "type": _METRICS.get(score.name, _slug(score.name)),
            "name": score.name,
            "value": round(score.value, 4),
        }
        for score in facts.scores
    ]
    if metrics and facts.split:
        dataset = {"type": _slug(facts.data), "name": printable(facts.data), "split": facts.split}
        result = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
        head["model-index"] = [{"name": facts.repository.split("/")[1], "results": [result]}]
    return head


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "data"


def _summary(header: ModelHeader, facts: CardFacts) -> str:
    known = count(len(header.names), "word" if TRAITS[header.task].labels == "words" else "label")
    answer = TRAITS[header.task].answer.format(known)
    method = escaped(header.method) + (f" ({escaped(facts.summary)})" if facts.summary else "")
    return (
        f"Answers with {answer}, and shows for every answer where in "
        f"the image it looked. Method: {method}. Trained with [lookcloser]"
        f"(https://github.com/lookcloser/lookcloser) {escaped(header.version or __version__)} from "
        "image-level labels alone."
    )


def _usage(repository: str) -> str:
    return "\n".join(
        [
            "## How to use",
            "",
            "```python",
            "import lookcloser",
            "",
            f'recognizer = lookcloser.load("hub:{repository}")',
            '(answer,) = recognizer.predict("photo.jpg")',
            "print(answer.labels, answer.caption)",
            'answer.save("evidence.png")',
            "```",
            "",
            f"Or `lookcloser predict hub:{repository} photos/ --save evidence/`. Loading runs no "
            "code of this repository.",
        ]
    )


def _scores(facts: CardFacts) -> str:
    if not facts.scores:
        return ""
    where = (
        f"On {escaped(facts.split)} of {escaped(facts.data)}"
        if facts.split
        else ("On images that were left out of the training")
    )
    rows = [
        f"| {escaped(score.name)} | {score.value:.4f} | {_interval(score)} | {_guesses(score)} |"
        for score in facts.scores
    ]
    table = ["| | score | 95 % interval | guessing |", "|---|---|---|---|", *rows]
    return "\n".join(["## Scores", "", f"{where}:", "", *table])


def _interval(score: Score) -> str:
    return "" if score.interval is None else " … ".join(f"{end:.4f}" for end in score.interval)


def _guesses(score: Score) -> str:
    found = (f"{escaped(name)} {value:.4f}" for name, value in score.baselines.items())
    return ", ".join(found)


def _training(header: ModelHeader, facts: CardFacts) -> str:
    height, width = header.preprocessing.size
    images = ", ".join(f"{number:,} {escaped(split)}" for split, number in facts.images.items())
    given = {
        "Data": escaped(facts.data) + (f" ({images} images)" if images else ""),
        "Backbone": _text(header.arguments.get("backbone")),
        "First weights": _text(header.provenance.get("weights")),
        "Recipe": _text(header.provenance.get("recipe")),
        "Seed": _text(header.provenance.get("seed")),
        "Input": f"the whole image, resized to {width} × {height} px",
    }
    return _listed("## Training", (f"{name}: {text}" for name, text in given.items() if text))


def _text(value: Any) -> str:
    """A value of a header; of a path the name alone, as folders are nobody's business."""
    text = "" if value is None else str(value)
    return escaped(re.split(r"[/\\]", text)[-1])


def _limits(header: ModelHeader, facts: CardFacts) -> str:
    known = "words" if TRAITS[header.task].labels == "words" else "labels"
    limits = [
        f"It knows the {known} it was trained on and no others; an image of something else may "
        "get one of them all the same.",
        "Maps and boxes are evidence for an answer, found without any box in the training. They "
        "say what the answer was made from, not where an object ends.",
        "Scores hold for images like those they were measured on.",
    ]
    if header.calibration.images:
        limits.append(
            f"Scores of answers are calibrated on {count(header.calibration.images, 'image')} "
            f"(temperature {header.calibration.temperature:.3g})."
        )
    else:
        limits.append("Scores of answers are not calibrated.")
    if facts.remembered:
        limits.append(
            f"The file keeps the features of {count(facts.remembered, 'training image')}, from "
            "which something of those images may be guessed."
        )
    if facts.license == NO_LICENSE:
        limits.append("Its owner has named no license: ask before you use it.")
    return _listed("## Limits", limits)


def _names(header: ModelHeader) -> str:
    names = header.names[:_MOST_NAMES]
    more = len(header.names) - len(names)
    listed = ", ".join(escaped(name) for name in names) + (f" and {more:,} more" if more else "")
    title = "## Words" if TRAITS[header.task].labels == "words" else "## Labels"
    return f"{title}\n\n{listed}"


def _listed(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, "", *(f"- {line}" for line in lines)])
