"""Recurrent attention CNN; see README.md."""

from lookcloser.models.racnn.model import RACNN

__all__ = ["RACNN"]
