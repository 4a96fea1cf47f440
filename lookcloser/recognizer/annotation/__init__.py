"""Pseudo-boxes and masks for whole folders, in the formats that detectors train on."""

from lookcloser.recognizer.annotation.annotate import Annotation, annotate
from lookcloser.recognizer.annotation.formats import FORMATS

__all__ = ["FORMATS", "Annotation", "annotate"]
