"""Trained models as ONNX files that hold their evidence, for `lookcloser.runtime` and others."""

from lookcloser.export.check import Differences, compare
from lookcloser.export.measure import Measured, Row, side_by_side
from lookcloser.export.onnx import build_onnx, save, write_onnx
from lookcloser.export.quantize import quantized
from lookcloser.export.samples import data_images, drawn_pixels, folder_pixels

__all__ = [
    "Differences",
    "Measured",
    "Row",
    "build_onnx",
    "compare",
    "data_images",
    "drawn_pixels",
    "folder_pixels",
    "quantized",
    "save",
    "side_by_side",
    "write_onnx",
]
