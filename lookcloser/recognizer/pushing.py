"""A run with its model card, sent to the hub."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.images import ImageSource
from lookcloser.core.results.scores import Score
from lookcloser.core.storage.atomic import replacing
from lookcloser.core.storage.files import own_path
from lookcloser.core.types import Prediction
from lookcloser.data import Catalog, Sample
from lookcloser.hub import check_repository
from lookcloser.hub.card import NO_LICENSE, CardFacts, model_card
from lookcloser.hub.upload import upload
from lookcloser.models import METHODS
from lookcloser.recognizer.run_data import data_of_run

if TYPE_CHECKING:
    from lookcloser.recognizer.recognizer import Recognizer

CARD, MODEL, IMAGE = "README.md", "model.safetensors", "evidence.png"
_TRIED = 16  # images, of which one is shown
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,49}")


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be.

    Attributes:
        url: Of the commit; "" where nothing was sent.
        card: The text of README.md.
        files: Names of what was sent.
        scored: What the scores of the card were measured on, in words.
        shown: The image that is shown with its evidence; None without.
    """

    url: str
    card: str
    files: tuple[str, ...]
    scored: str
    shown: str | None = None


class PushKeywords(TypedDict, total=False):
    """What `lookcloser.Recognizer.push` takes.

    Attributes:
        data: What the scores of the card are measured on; None takes the run's data, where it is
            still there, else the card has the scores of the training.
        split: Which part of it; None takes test, else val, and never what was trained on.
        image: What the card shows with its evidence; None takes one of the scored images, which is
            then public too; False shows none.
        license: An identifier of the hub, e.g. "apache-2.0"; None says that there is none.
        private: Whether nobody else shall see it.
        dry_run: Whether to make everything and send nothing.
        out: Of ``dry_run``: a folder for the files.
        progress: Told (done, total) images while they are scored.
    """

    data: str | Path | Catalog | None
    split: str | None
    image: ImageSource | Literal[False] | None
    license: str | None
    private: bool
    dry_run: bool
    out: str | Path | None
    progress: Callable[[int, int], None] | None


def push_run(
    recognizer: Recognizer,
    repository: str,
    *,
    data: str | Path | Catalog | None = None,
    split: str | None = None,
    image: ImageSource | Literal[False] | None = None,
    license: str | None = None,
    private: bool = False,
    dry_run: bool = False,
    out: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pushed:
    """See `lookcloser.Recognizer.push`."""
    check_repository(repository)
    _check_license(license)
    place = _place(out, dry_run)
    recognizer.trained_engine()  # a stock classifier is refused before the work
    catalog = data_of_run(recognizer) if data is None else recognizer.catalog(data)
    found = _Found.of(recognizer, catalog, split, progress)
    answer = _shown(recognizer, found, image)
    facts = _facts(recognizer, repository, license, catalog, found)
    facts = facts if answer is None else replace(facts, image=IMAGE)
    card = model_card(recognizer.header, facts)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recognizer.save(folder / MODEL)
        if answer is not None:
            answer.save(folder / IMAGE)
        (folder / CARD).write_text(card, encoding="utf-8")
        files = tuple(sorted(file.name for file in folder.iterdir()))
        if place is not None:
            _copy(folder, files, place)
        url = "" if dry_run else upload(folder, repository, private=private)
    return Pushed(url, card, files, found.words, None if answer is None else _name(answer))


@dataclass(frozen=True)
class _Found:
    """Scores for a card, and where they come from."""

    scores: tuple[Score, ...]
    split: str = ""
    catalog: Catalog | None = None

    @classmethod
    def of(
        cls,
        recognizer: Recognizer,
        catalog: Catalog | None,
        split: str | None,
        progress: Callable[[int, int], None] | None,
    ) -> _Found:
        """Measured on ``split``; those of the training where there is nothing to measure on."""
        if catalog is None and split is not None:
            raise UsageError(f"--split {split}: no data to score", fix="Give --data")
        scored = split or ("" if catalog is None else catalog.scored)
        # What the model has learned from says nothing about what comes.
        if catalog is None or (split is None and scored not in ("val", "test")):
            known = recognizer.header.scores.items()
            return cls(tuple(Score(n, v, higher_is_better=None) for n, v in known))
        found = recognizer.evaluation(catalog, scored, evidence=0, progress=progress)
        return cls(found.scores, scored, catalog)

    @property
    def words(self) -> str:
        """What was measured on."""
        if self.catalog is None:
            return "images left out of the training, without intervals"
        return f"{self.split} of {self.catalog.root}"


def _shown(
    recognizer: Recognizer, found: _Found, image: ImageSource | Literal[False] | None
) -> Prediction | None:
    """The answer whose evidence the card shows."""
    if image is False:
        return None
    if image is not None:
        (answer,) = recognizer.predict([image])
        if answer.error is not None:
            raise LookcloserError(answer.error)
        return answer
    if found.catalog is None:
        return None
    samples = found.catalog.split(found.split)
    places = np.unique(np.linspace(0, len(samples) - 1, min(_TRIED, len(samples))).astype(int))
    tried = [samples[place] for place in places.tolist()]
    answers = recognizer.predict([sample.source for sample in tried])
    good = [(_rank(a, s), at) for at, (a, s) in enumerate(zip(answers, tried, strict=True))]
    best, at = max(good, key=lambda pair: (pair[0], -pair[1]), default=(-1.0, 0))
    return answers[at] if best >= 0 else None


def _rank(answer: Prediction, sample: Sample) -> float:
    """How fit an answer is to be shown: right and sure; below 0 where there is none."""
    if answer.error is not None or not answer.regions:
        return -1.0
    if not answer.labels:
        return 0.0
    best = answer.labels[0]
    return best.score + (best.name in sample.labels)


def _facts(
    recognizer: Recognizer,
    repository: str,
    license: str | None,
    catalog: Catalog | None,
    found: _Found,
) -> CardFacts:
    header = recognizer.header
    return CardFacts(
        repository,
        license=license or NO_LICENSE,
        summary=METHODS[header.method].summary,
        data="" if catalog is None else catalog.title,
        images={} if catalog is None else {s: len(catalog.split(s)) for s in catalog.splits},
        split=found.split,
        scores=found.scores,
        remembered=int(header.arguments.get("kept", 0)),
    )


def _place(out: str | Path | None, dry_run: bool) -> Path | None:
    """The folder that the files go to, which has to be free."""
    if out is None:
        return None
    if not dry_run:
        raise UsageError("--out without --dry-run", fix="Give --dry-run beside it")
    place = own_path(out)
    if place.exists() and not _is_empty(place):
        raise UsageError(f"{out}: not an empty folder", fix="Name one that is not there")
    return place


def _check_license(license: str | None) -> None:
    if license is not None and not _LICENSE.fullmatch(license):
        raise UsageError(
            f"{license}: not an identifier of a license",
            allowed="One of the hub, in small letters: apache-2.0, mit, cc-by-nc-4.0, other",
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _copy(folder: Path, files: Sequence[str], out: Path) -> None:
    for name in files:
        with replacing(out / name) as temporary:
            shutil.copyfile(folder / name, temporary)


def _name(answer: Prediction) -> str:
    return "an image" if answer.path is None else str(answer.path)
