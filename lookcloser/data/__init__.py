"""Data sets of any usual layout: recognized, split and checked. Imports no torch."""

from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.checking.check import Balance, DataReport, Problem, check_data
from lookcloser.data.checking.inspection import Duplicate
from lookcloser.data.checking.statistics import CaptionStatistics, TagPair, TagStatistics
from lookcloser.data.checking.validation import validate_for_training
from lookcloser.data.read import (
    parse_columns,
    read_as_given,
    read_as_trained,
    read_data,
    read_to_score,
)
from lookcloser.data.readers import READERS, Reader
from lookcloser.data.shards.writing import Shards, write_shards
from lookcloser.data.splits import make_splits

__all__ = [
    "READERS",
    "Balance",
    "CaptionStatistics",
    "Catalog",
    "DataReport",
    "Duplicate",
    "Problem",
    "Reader",
    "Sample",
    "Shards",
    "TagPair",
    "TagStatistics",
    "check_data",
    "make_splits",
    "parse_columns",
    "read_as_given",
    "read_as_trained",
    "read_data",
    "read_to_score",
    "validate_for_training",
    "write_shards",
]
