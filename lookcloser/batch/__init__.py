"""Answers for more images than fit in memory, or on one machine.

A source is cut into parts; each part becomes one file, written at once. So what is there is whole,
what is not there is done again, and it does not matter who died.
"""

from lookcloser.batch.job import FORMATS, How, Job
from lookcloser.batch.predicting import BatchResult, predict_source
from lookcloser.batch.spreading import RaySpread

__all__ = ["FORMATS", "BatchResult", "How", "Job", "RaySpread", "predict_source"]
