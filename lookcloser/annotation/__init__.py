"""Pseudo-boxes and masks for whole folders, in the formats that detectors train on."""

from lookcloser.annotation.annotate import Annotation, annotate
from lookcloser.annotation.formats import FORMATS

__all__ = ["FORMATS", "Annotation", "annotate"]
