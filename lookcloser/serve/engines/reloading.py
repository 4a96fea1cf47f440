"""Models whose files were replaced are loaded while the old ones go on answering."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lookcloser.serve.engines.served import Served


class Reloader:
    """Looks at the files of all models now and then.

    Args:
        models: Whose.
        seconds: Between two looks.
    """

    def __init__(self, models: Sequence[Served], seconds: float = 1.0) -> None:
        self._models = models
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="reloader", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a model that is being loaded is loaded to its end."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(self._seconds):
            for model in self._models:
                model.look_for_replacement()
