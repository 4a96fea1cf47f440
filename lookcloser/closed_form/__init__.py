"""Heads that are solved instead of trained: features once, then linear algebra. NumPy only."""

from lookcloser.closed_form.discriminant import fit_discriminant
from lookcloser.closed_form.head import SHRINKAGES, Head, Metric
from lookcloser.closed_form.memory import LIMIT, Memory
from lookcloser.closed_form.ridge import fit_ridge
from lookcloser.closed_form.statistics import Statistics

__all__ = [
    "LIMIT",
    "SHRINKAGES",
    "Head",
    "Memory",
    "Metric",
    "Statistics",
    "fit_discriminant",
    "fit_ridge",
]
