"""Load, train, predict, evaluate, explain: the object people hold."""

from lookcloser.recognizer.loading import load
from lookcloser.recognizer.recognizer import Recognizer
from lookcloser.recognizer.run import TrainResult, read_command, read_config, run_training, train

__all__ = [
    "Recognizer",
    "TrainResult",
    "load",
    "read_command",
    "read_config",
    "run_training",
    "train",
]
