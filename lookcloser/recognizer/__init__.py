"""Load, train, predict, evaluate, explain: the object people hold."""

from lookcloser.recognizer.adding import add
from lookcloser.recognizer.annotation import Annotation, annotate
from lookcloser.recognizer.auditing import audit
from lookcloser.recognizer.foreign import explain_timm
from lookcloser.recognizer.rating import ViewScores
from lookcloser.recognizer.recognizer import Recognizer, load
from lookcloser.recognizer.reporting import write_run_audit, write_run_report
from lookcloser.recognizer.run import TrainResult, read_command, read_config, run_training, train

__all__ = [
    "Annotation",
    "Recognizer",
    "TrainResult",
    "ViewScores",
    "add",
    "annotate",
    "audit",
    "explain_timm",
    "load",
    "read_command",
    "read_config",
    "run_training",
    "train",
    "write_run_audit",
    "write_run_report",
]
