"""A trained recognizer in one .onnx file, which answers without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lookcloser.core.header import ModelHeader
from lookcloser.core.images import ImageSource
from lookcloser.core.types import Prediction
from lookcloser.runtime.answering import Promise
from lookcloser.runtime.onnx_engine import OnnxEngine
from lookcloser.runtime.onnx_file import read_onnx
from lookcloser.runtime.stream import stream


class OnnxRecognizer:
    """An exported recognizer; made by `load`.

    It gives the predictions of the `lookcloser.Recognizer` that it was exported from. Calls may
    come from several threads.

    Args:
        engine: The network.

    Attributes:
        engine: The network.
    """

    def __init__(self, engine: OnnxEngine) -> None:
        self.engine = engine

    @property
    def header(self) -> ModelHeader:
        """What belongs to the network."""
        return self.engine.header

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index; of a captioner its vocabulary."""
        return self.header.names

    def __repr__(self) -> str:
        named = "words" if self.header.task == "captioning" else "classes"
        path = self.engine.file.path
        return f"OnnxRecognizer({self.header.method}, {len(self.names)} {named}, {path})"

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
        """Answer images, with evidence, in order; see `lookcloser.Recognizer.predict`."""
        how = {"top": top, "batch_size": batch_size, "workers": workers}
        return list(self.stream(images, **how, coverage=coverage, sets=sets))

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


def load(path: str | Path, *, threads: int = 0) -> OnnxRecognizer:
    """An exported recognizer.

    Args:
        path: A file that `lookcloser export` wrote.
        threads: That one answer may use; 0: as many as there are cores.

    Raises:
        LookcloserError: For a file that is missing, truncated, foreign, oversized or of a newer
            format, and where ONNX Runtime is not installed.
    """
    return OnnxRecognizer(OnnxEngine(read_onnx(path), threads=threads))
