"""The attention feedback network; see README.md."""

from lookcloser.models.feedback.model import FeedbackNet

__all__ = ["FeedbackNet"]
