"""The object people hold: a trained model that answers with evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.hooks import evaluating
from lookcloser.core.images import ImageSource, find_images, load_image
from lookcloser.core.types import Evaluation, Label, Prediction, Region, Task
from lookcloser.data import Catalog, read_data
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import Model, Package, load_package, save_package
from lookcloser.recognizer.answering import label_scores, predictions
from lookcloser.recognizer.captioning import evaluate_captions
from lookcloser.recognizer.evaluation import evaluate_split
from lookcloser.recognizer.evidence import map_regions
from lookcloser.recognizer.multilabel import evaluate_multilabel
from lookcloser.recognizer.views import look
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
    ) -> list[Prediction]:
        """Answer images, with evidence, in order.

        Args:
            images: One or several of: a file, a folder (all images below it), a glob, an array
                (H, W, 3) uint8 or float in [0, 1], a PIL image, the bytes of a file.
            top: How many labels, and maps, each answer holds.
            batch_size: Images per forward pass.

        Returns:
            One `Prediction` per image. An image that cannot be read has ``error`` set and no
            labels; the others are answered.

        Raises:
            LookcloserError: For a path that does not exist (near names are offered) or a URL.
        """
        return list(self.stream(images, top=top, batch_size=batch_size))

    def stream(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        top: int = 5,
        batch_size: int = 16,
    ) -> Iterator[Prediction]:
        """As `predict`, one after the other, with one batch in memory at a time."""
        sources = _expand(images)
        for start in range(0, len(sources), batch_size):
            yield from self._answer(sources[start : start + batch_size], top)

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
            threshold_from: Where the localisation threshold is chosen: "val" (a separate split; a
                data set without one falls back, and the settings say so) or "split" (the scored
                one, as in the published protocol; optimistic).
            batch_size: Images per forward pass.
            workers: Loading processes.

        Raises:
            LookcloserError: For data that cannot be read, a split or a class that is not there.
        """
        catalog = data if isinstance(data, Catalog) else read_data(data)
        if catalog.task != self.package.task:
            raise LookcloserError(
                f"{catalog.root}: a data set for {catalog.task}",
                allowed=f"This model answers {self.package.task}.",
            )
        if threshold_from not in {"val", "split"}:
            raise unknown(threshold_from, "place to choose the threshold", ("val", "split"))
        return EVALUATIONS[self.package.task](
            self.model,
            self.package,
            catalog,
            split,
            device=self.device,
            threshold_from=threshold_from,
            batch_size=batch_size,
            workers=workers,
        )

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
            views: Names in `lookcloser.explain.VIEWS`; None takes cam, gradcam and saliency,
                without those that this network does not have.
            target: The class to explain by name; None takes the best one.

        Returns:
            A "map" region per view.

        Raises:
            LookcloserError: For an unknown view or class, an image that cannot be read, and a
                captioner, whose `predict` gives a map for each word.
        """
        if self.package.task == "captioning":
            raise LookcloserError(
                f"{self.package.method}: writes captions, and a view is of one class",
                fix="`lookcloser predict RUN IMAGE --save FOLDER` draws where it looked for each "
                "word; in Python, `predict` gives a region for each",
            )
        if target is not None and target not in self.names:
            raise unknown(target, "class", self.names)
        picture = load_image(image)
        batch = self._prepare(picture)[None].to(self.device)
        with torch.inference_mode(), evaluating(self.model):
            scores = label_scores(self.model.answer(batch, 1).logits, self.package)[0]
        index = int(scores.argmax()) if target is None else self.names.index(target)
        label = Label(self.names[index], float(scores[index]), index)
        maps = look(self.model, batch, index, views)
        return {view: self._regions(map_, [label], picture.size)[0] for view, map_ in maps.items()}

    def save(self, path: str | Path) -> Path:
        """Write the model to one .safetensors file that `load` reads; returns the path."""
        return save_package(path, self.model.state_dict(), self.package)

    def _answer(self, sources: Sequence[ImageSource], top: int) -> Iterator[Prediction]:
        pictures = [_try_load(source) for source in sources]
        read = [picture for picture in pictures if isinstance(picture, Image.Image)]
        rows: Iterator[Prediction] = iter(())
        if read:
            batch = torch.stack([self._prepare(picture) for picture in read]).to(self.device)
            rows = self._answer_batch(batch, [picture.size for picture in read], top)
        for source, picture in zip(sources, pictures, strict=True):
            path = Path(source) if isinstance(source, str | Path) else None
            if isinstance(picture, str):
                yield Prediction(self.package.task, (), (), (0, 0), path, error=picture)
                continue
            answer = next(rows)
            yield Prediction(
                answer.task,
                answer.labels,
                answer.regions,
                answer.size,
                path,
                answer.caption,
                image=None if path else picture,
            )

    def _answer_batch(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], top: int
    ) -> Iterator[Prediction]:
        with torch.inference_mode(), evaluating(self.model):
            yield from predictions(self.model.answer(batch, top), self.package, sizes, top)

    def _regions(
        self, maps: Tensor, labels: Sequence[Label], size: tuple[int, int]
    ) -> tuple[Region, ...]:
        grid = self.package.preprocessing.size
        return map_regions(maps, labels, size, grid, self.package.box_threshold)


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
