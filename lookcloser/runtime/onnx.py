"""A trained recognizer in one .onnx file, which answers without torch."""

from __future__ import annotations

from pathlib import Path

from lookcloser.core.header import ModelHeader, with_box_rule
from lookcloser.runtime.answerer import Answerer
from lookcloser.runtime.onnx_engine import OnnxEngine
from lookcloser.runtime.onnx_file import read_onnx


class OnnxRecognizer(Answerer):
    """An exported recognizer; made by `load`.

    It gives the predictions of the `lookcloser.Recognizer` that it was exported from. Calls may
    come from several threads.

    Args:
        engine: The network.
    """

    def __init__(self, engine: OnnxEngine) -> None:
        self._engine = engine

    @property
    def engine(self) -> OnnxEngine:
        """What runs the network."""
        return self._engine

    @property
    def header(self) -> ModelHeader:
        """What belongs to the network."""
        return self.engine.header

    def __repr__(self) -> str:
        named = "words" if self.header.task == "captioning" else "classes"
        path = self.engine.file.path
        return f"OnnxRecognizer({self.header.method}, {len(self.names)} {named}, {path})"


def load(path: str | Path, *, threads: int = 0, box_rule: str | None = None) -> OnnxRecognizer:
    """An exported recognizer.

    Args:
        path: A file that `lookcloser export` wrote.
        threads: That one answer may use; 0: as many as there are cores.
        box_rule: What the threshold of a box is a share of, "range" or "max"; None as exported.

    Raises:
        LookcloserError: For a file that is missing, truncated, foreign, oversized or of a newer
            format, and where ONNX Runtime is not installed.
    """
    engine = OnnxEngine(read_onnx(path), threads=threads)
    engine.header = with_box_rule(engine.header, box_rule)
    return OnnxRecognizer(engine)
