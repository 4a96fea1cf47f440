"""The forms in which a model leaves, by the name that ``--format`` takes; imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lookcloser.recognizer.exporting import ExportResult
    from lookcloser.recognizer.recognizer import Recognizer

    Writer = Callable[
        [Recognizer, str | Path | None, bool, str | Path | None, str | Path | None], ExportResult
    ]


@dataclass(frozen=True)
class Target:
    """A form in which a model leaves.

    Attributes:
        summary: What is written, in a few words of the help.
        writer: Where the function is that writes it, as "module:function"; imported when it is
            first needed. It takes the recognizer and the arguments ``out``, ``int8``, ``calibrate``
            and ``ort`` of `lookcloser.Recognizer.export`.
    """

    summary: str
    writer: str

    def load(self) -> Writer:
        """The function; this imports torch."""
        module, _, name = self.writer.partition(":")
        found: Writer = getattr(import_module(module), name)
        return found


TARGETS = {
    "onnx": Target("one file", "lookcloser.recognizer.exporting:export_onnx"),
    "web": Target(
        "a folder that answers in the browser", "lookcloser.recognizer.exporting:export_web"
    ),
}
