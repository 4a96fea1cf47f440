"""The object people hold: a trained model that answers with evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.hooks import evaluating
from lookcloser.core.images import ImageSource, find_images, load_image
from lookcloser.core.types import Evaluation, Kind, Label, Output, Prediction, Region, Task
from lookcloser.data import Catalog, read_data
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import Model, Package, load_package, save_package
from lookcloser.recognizer.answering import (
    Promise,
    evidence_kind,
    label_scores,
    predictions,
)
from lookcloser.recognizer.captioning import evaluate_captions
from lookcloser.recognizer.derivatives import VIEW, moved_regions
from lookcloser.recognizer.evaluation import evaluate_split
from lookcloser.recognizer.evidence import map_regions, scale_regions
from lookcloser.recognizer.moves import move_scores
from lookcloser.recognizer.multilabel import evaluate_multilabel
from lookcloser.recognizer.rating import ViewScores, rate_split
from lookcloser.recognizer.supervision import read_source
from lookcloser.recognizer.views import check_task, look
from lookcloser.training.files import MODEL_FILE

EVALUATIONS: dict[Task, Callable[..., Evaluation]] = {
    "classification": evaluate_split,
    "multilabel": evaluate_multilabel,
    "captioning": evaluate_captions,
}


class Recognizer:
    """A trained model with its names and preprocessing.

    Made by `load` and `train`. Calls may come from several threads; the model is not changed.

    Args:
        model: The network, in evaluation mode.
        package: What belongs to it.
        device: Where it runs; None takes a GPU where there is one.
        folder: The run it was loaded from, if any.
    """

    def __init__(
        self,
        model: Model,
        package: Package,
        *,
        device: str | torch.device | None = None,
        folder: Path | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.eval().to(self.device)
        self.package = package
        self.folder = folder
        self._prepare = evaluation_transform(package.preprocessing)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index; of a captioner its vocabulary."""
        return self.package.names

    def __repr__(self) -> str:
        named = "words" if self.package.task == "captioning" else "classes"
        return (
            f"Recognizer({self.package.method}, {self.package.arguments.get('backbone')}, "
            f"{len(self.names)} {named}, {self.device})"
        )

    def predict(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        top: int = 5,
        batch_size: int = 16,
        coverage: float | None = None,
        sets: str = "lac",
    ) -> list[Prediction]:
        """Answer images, with evidence, in order.

        Args:
            images: One or several of: a file, a folder (all images below it), a glob, an array
                (H, W, 3) uint8 or float in [0, 1], a PIL image, the bytes of a file.
            top: How many labels, and maps, each answer holds.
            batch_size: Images per forward pass.
            coverage: Also name, as ``candidates``, the classes that may be true, so that of images
                like those of training this share has its class among them.
            sets: Kind of these sets: "lac", the smallest, some may be empty; "aps", never empty.

        Returns:
            One `Prediction` per image. An image that cannot be read has ``error`` set and no
            labels; the others are answered.

        Raises:
            LookcloserError: For a path that does not exist (near names are offered) or a URL, and
                for a coverage that this model cannot promise.
        """
        given = {"top": top, "batch_size": batch_size}
        return list(self.stream(images, **given, coverage=coverage, sets=sets))

    def stream(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        top: int = 5,
        batch_size: int = 16,
        coverage: float | None = None,
        sets: str = "lac",
    ) -> Iterator[Prediction]:
        """As `predict`, one after the other, with one batch in memory at a time."""
        sources, session = _expand(images), self.model.session()
        promise = None if coverage is None else Promise(coverage, sets)
        for start in range(0, len(sources), batch_size):
            yield from self._answer(sources[start : start + batch_size], top, session, promise)

    def evaluate(self, data: str | Path | Catalog, split: str = "test") -> dict[str, float]:
        """Scores on one split; see `assess` for names, conventions and errors."""
        return dict(self.assess(data, split).metrics)

    def assess(
        self,
        data: str | Path | Catalog,
        split: str = "test",
        *,
        threshold_from: str = "val",
        batch_size: int = 32,
        workers: int = 0,
    ) -> Evaluation:
        """Everything measured on one split: scores, intervals, and each answer with its evidence.

        Args:
            data: A data set of any layout, or a `Catalog`.
            split: Which part of it.
            threshold_from: Whose boxes the localisation thresholds are chosen on: those of "val" (a
                separate split; a data set without one falls back to "split"), of "few:N" images of
                val, of "split" (the scored one, as in the published protocol; optimistic), or
                "none", which fixes them. The settings say what was used.
            batch_size: Images per forward pass.
            workers: Loading processes.

        Raises:
            LookcloserError: For data that cannot be read, a split or a class that is not there.
        """
        catalog = self._catalog(data)
        read_source(threshold_from)
        found = EVALUATIONS[self.package.task](
            self.model,
            self.package,
            catalog,
            split,
            device=self.device,
            threshold_from=threshold_from,
            batch_size=batch_size,
            workers=workers,
        )
        moved = move_scores([answer.prediction for answer in found.answers])
        return replace(found, metrics={**found.metrics, **moved})

    def rate_views(
        self,
        data: str | Path | Catalog,
        split: str = "test",
        views: Sequence[str] | None = None,
        *,
        images: int = 24,
        seed: int = 0,
        batch_size: int = 32,
    ) -> dict[str, ViewScores]:
        """Whether views point at what the answers depend on, and depend on the weights themselves.

        Each image is explained for its best class; true answers are not used. The scores are those
        of `lookcloser.metrics`: `deletion` and `insertion` in 20 steps from and to a picture of its
        own mean colour, `road` at 4 shares, and `sanity_check` with all weights random. For each
        image and view this takes 50 forward passes, and 3 times the view itself.

        Args:
            data: As in `assess`.
            split: Which part of it.
            views: As in `explain`.
            images: How many, drawn from the split; all where it has no more. Those that cannot be
                read are left out.
            seed: Of the draw, of random maps and weights, and of the order of equal pixels.
            batch_size: Images per forward pass, and in memory.

        Returns:
            Means by view, then of random maps of each resolution that the views have, as the
            reference: "random map WIDTH × HEIGHT". Compare a view with the one of its resolution.

        Raises:
            LookcloserError: As `assess` and `explain`, also for a captioner, and for ``images``
                below 1.
        """
        given = self.model, self.package, self._catalog(data), self.device
        return rate_split(*given, split, views, images=images, seed=seed, batch_size=batch_size)

    def explain(
        self,
        image: ImageSource,
        views: Sequence[str] | None = None,
        *,
        target: str | None = None,
    ) -> dict[str, Region]:
        """Look at one image in several ways.

        Args:
            image: As in `predict`, one.
            views: Names in `lookcloser.explain.VIEWS`; None takes cam, gradcam and saliency, and
                "all" every view, both without those that this network does not have.
            target: The class to explain by name; None takes the best one. `explain_labels` takes
                several.

        Returns:
            A "map" region per view. Of an answer that looked into boxes, "derivative" also gives a
            "scale" region per box, with the way in which the derivatives would move it.

        Raises:
            LookcloserError: For an unknown view or class, an image that cannot be read, and a
                captioner, whose `predict` gives a map for each word.
        """
        wanted = [] if target is None else self._indices([target])
        picture, batch, output = self._asked(image)
        wanted = wanted or [int(output.logits[0].argmax())]
        maps = self._views(batch, output, wanted, views)
        found = {
            view: self._regions(own, output, wanted, picture.size)[0] for view, own in maps.items()
        }
        if VIEW in maps and output.boxes is not None:
            (label,) = self._labels(output, wanted)
            scales = scale_regions(output, 0, label, picture.size)
            found |= moved_regions(maps[VIEW][0, 0], output.boxes[0], scales)
        return found

    def explain_labels(
        self,
        image: ImageSource,
        views: Sequence[str] | None = None,
        *,
        labels: Sequence[str] | None = None,
    ) -> dict[str, tuple[Region, ...]]:
        """Look at one image in several ways, for several labels at once.

        Of a sequence of labels each is seen at its own step, so that the evidence is seen to shift
        from one to the next; see `Model.following`.

        Args:
            image: As in `predict`, one.
            views: As in `explain`; all labels share the passes of a view.
            labels: Their names; None takes every label of the answer, in its order.

        Returns:
            Per view one region per label: "step" regions for a sequence of answered labels, "map"
            regions otherwise.

        Raises:
            LookcloserError: As `explain`, and for an answer without any label.
        """
        wanted = self._indices(labels or ())
        picture, batch, output = self._asked(image)
        kind: Kind = "map"
        if labels is None:
            assert output.tokens is not None  # of an answer
            wanted = output.tokens[0][output.tokens[0] >= 0].tolist()
            kind = evidence_kind(self.package)
        if not wanted:
            raise LookcloserError(
                "the answer has no label to explain",
                fix="Name one: `--target LABEL`; in Python `labels=[...]`",
            )
        return {
            view: self._regions(own, output, wanted, picture.size, kind)
            for view, own in self._views(batch, output, wanted, views).items()
        }

    def save(self, path: str | Path) -> Path:
        """Write the model to one .safetensors file that `load` reads; returns the path."""
        return save_package(path, self.model.state_dict(), self.package)

    def _catalog(self, data: str | Path | Catalog) -> Catalog:
        """A data set for the task of this model."""
        catalog = data if isinstance(data, Catalog) else read_data(data)
        if catalog.task != self.package.task:
            raise LookcloserError(
                f"{catalog.root}: a data set for {catalog.task}",
                allowed=f"This model answers {self.package.task}.",
            )
        return catalog

    def _answer(
        self,
        sources: Sequence[ImageSource],
        top: int,
        session: AbstractContextManager[None],
        promise: Promise | None,
    ) -> Iterator[Prediction]:
        pictures = [_try_load(source) for source in sources]
        read = [picture for picture in pictures if isinstance(picture, Image.Image)]
        rows: Iterator[Prediction] = iter(())
        if read:
            batch = torch.stack([self._prepare(picture) for picture in read]).to(self.device)
            # The contexts are left before anything is yielded: they would hold for the caller, too.
            with torch.inference_mode(), evaluating(self.model), session:
                output = self.model.answer(batch, top)
            sizes = [picture.size for picture in read]
            rows = predictions(output, self.package, sizes, top, promise)
        for source, picture in zip(sources, pictures, strict=True):
            path = Path(source) if isinstance(source, str | Path) else None
            if isinstance(picture, str):
                yield Prediction(self.package.task, (), (), (0, 0), path, error=picture)
                continue
            yield replace(next(rows), path=path, image=None if path else picture)

    def _indices(self, names: Sequence[str]) -> list[int]:
        for name in names:
            if name not in self.names:
                raise unknown(name, "class", self.names)
        return [self.names.index(name) for name in names]

    def _asked(self, image: ImageSource) -> tuple[Image.Image, Tensor, Output]:
        """An image to look at, the same as a batch, and the answer for it."""
        check_task(self.package)
        picture = load_image(image)
        batch = self._prepare(picture)[None].to(self.device)
        with torch.inference_mode(), evaluating(self.model):
            return picture, batch, self.model.answer(batch, 1)

    def _views(
        self, batch: Tensor, output: Output, wanted: Sequence[int], views: Sequence[str] | None
    ) -> dict[str, Tensor]:
        """Maps (1, K, h, w) of the wanted labels by view."""
        network = self.model if output.tokens is None else self.model.following(output.tokens[0])
        return look(network, batch, torch.tensor([wanted], device=self.device), views)

    def _labels(self, output: Output, wanted: Sequence[int]) -> list[Label]:
        scores = label_scores(output.logits, self.package)[0]
        return [Label(self.names[index], float(scores[index]), index) for index in wanted]

    def _regions(
        self,
        maps: Tensor,
        output: Output,
        wanted: Sequence[int],
        size: tuple[int, int],
        kind: Kind = "map",
    ) -> tuple[Region, ...]:
        labels, grid = self._labels(output, wanted), self.package.preprocessing.size
        return map_regions(maps[0], labels, size, grid, self.package.box_threshold, kind=kind)


def load(path: str | Path, *, device: str | torch.device | None = None) -> Recognizer:
    """Load a run folder or one .safetensors file.

    Raises:
        LookcloserError: For a missing, corrupt or foreign file, one of a newer version, and a run
            folder in which nothing has been saved yet.
    """
    from lookcloser.core.files import missing_path

    path = Path(path).expanduser()
    if not path.exists():
        raise missing_path(path, "run or model")
    folder = path if path.is_dir() else None
    file = path / MODEL_FILE if folder else path
    if folder and not file.is_file():
        raise LookcloserError(
            f"{path}: no {MODEL_FILE} in this folder",
            fix=f"Give a run folder; a training that broke off early goes on with "
            f"`lookcloser train --resume {path}`",
        )
    model, package = load_package(file)
    return Recognizer(model, package, device=device, folder=folder)


def _expand(images: Any) -> list[ImageSource]:
    """Paths, folders and globs become files; pictures stay as they are."""
    several = (
        list(images)
        if isinstance(images, Iterable)
        and not isinstance(images, str | Path | bytes)
        and not hasattr(images, "shape")
        and not isinstance(images, Image.Image)
        else [images]
    )
    sources: list[ImageSource] = []
    for source in several:
        sources.extend(find_images(source) if isinstance(source, str | Path) else [source])
    return sources


def _try_load(source: ImageSource) -> Image.Image | str:
    """The picture, or why it cannot be read."""
    try:
        return load_image(source)
    except LookcloserError as error:
        return str(error)
