"""What is measured on a split: answers, evidence, how it shifts, and how far a view is trusted."""

from lookcloser.evaluation.evaluate import check_scored, evaluate_data
from lookcloser.evaluation.localization.box_threshold import measured_on_val
from lookcloser.evaluation.threshold_source import read_source
from lookcloser.evaluation.view_rating import ViewScores, rate_split

__all__ = [
    "ViewScores",
    "check_scored",
    "evaluate_data",
    "measured_on_val",
    "rate_split",
    "read_source",
]
