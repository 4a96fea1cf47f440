"""What every floor shares: answers, boxes, errors. Imports no torch."""

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Answer, Evaluation, Label, Output, Prediction, Region

__all__ = ["Answer", "Evaluation", "Label", "LookcloserError", "Output", "Prediction", "Region"]
