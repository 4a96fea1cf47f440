"""Trained models as ONNX files that hold their evidence, for `lookcloser.runtime` and others."""

from lookcloser.export.check import Differences, compare
from lookcloser.export.onnx import build_onnx, write_onnx

__all__ = ["Differences", "build_onnx", "compare", "write_onnx"]
