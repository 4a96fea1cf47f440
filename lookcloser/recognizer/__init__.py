"""Load, train, predict, evaluate, explain: the object people hold.

Names are imported on first use: an exported file is loaded without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookcloser.first_use import on_first_use

if TYPE_CHECKING:
    from lookcloser.recognizer.adding import add
    from lookcloser.recognizer.loading import load
    from lookcloser.recognizer.opening import load_run
    from lookcloser.recognizer.recognizer import Recognizer
    from lookcloser.recognizer.run import (
        TrainResult,
        read_command,
        read_config,
        run_training,
        train,
    )

_HOME = {
    "Recognizer": "recognizer",
    "TrainResult": "run",
    "add": "adding",
    "load": "loading",
    "load_run": "opening",
    "read_command": "run",
    "read_config": "run",
    "run_training": "run",
    "train": "run",
}

__all__ = [
    "Recognizer",
    "TrainResult",
    "add",
    "load",
    "load_run",
    "read_command",
    "read_config",
    "run_training",
    "train",
]


__getattr__ = on_first_use(__name__, _HOME)
