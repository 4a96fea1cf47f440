"""What every recognizer can do, whatever runs its network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from lookcloser.core.images import ImageSource
from lookcloser.core.types import Prediction
from lookcloser.runtime.answering import Promise
from lookcloser.runtime.outputs import Engine
from lookcloser.runtime.stream import stream


class Answerer(ABC):
    """Base of the recognizers: images in, predictions out."""

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """What runs the network."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index; of a captioner its vocabulary."""
        return self.engine.header.names

    def predict(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        top: int = 5,
        batch_size: int = 16,
        workers: int = 0,
        coverage: float | None = None,
        sets: str = "lac",
    ) -> list[Prediction]:
        """Classify, tag or caption images, with evidence, in order.

        Args:
            images: One or several of: a file, a folder (all images below it), a glob, an array
                (H, W, 3) uint8 or float in [0, 1], a PIL image, the bytes of a file.
            top: How many labels, and maps, each answer holds.
            batch_size: Images per forward pass.
            workers: Threads that decode images.
            coverage: Also name, as ``candidates``, the classes that may be true, so that of images
                like those of training this share has its class among them.
            sets: Kind of these sets: "lac", the smallest, some may be empty; "aps", never empty.

        Returns:
            One `Prediction` per image. An image that cannot be read has ``error`` set and no
            labels; the others are answered.

        Raises:
            LookcloserError: For a path that does not exist (near names are offered), a URL, and a
                coverage that this model cannot promise.
        """
        how = {"top": top, "batch_size": batch_size, "workers": workers}
        return list(self.stream(images, **how, coverage=coverage, sets=sets))

    def check(self, *, top: int = 5, coverage: float | None = None, sets: str = "lac") -> None:
        """Answer one gray image, so that what the network cannot do is said before the work.

        Args:
            top: As in `predict`, like the rest.
            coverage: As there.
            sets: As there.

        Raises:
            LookcloserError: As `predict`.
        """
        gray = np.full((8, 8, 3), 127, np.uint8)
        self.predict(gray, top=top, coverage=coverage, sets=sets)

    def stream(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        top: int = 5,
        batch_size: int = 16,
        workers: int = 0,
        coverage: float | None = None,
        sets: str = "lac",
    ) -> Iterator[Prediction]:
        """As `predict`, one after the other, with two batches in memory at most."""
        promise = None if coverage is None else Promise(coverage, sets)
        how = {"top": top, "batch_size": batch_size, "workers": workers}
        return stream(self.engine, images, **how, promise=promise)
