"""A run as one ONNX file, checked against it, in float32 or in 8 bits."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.storage.atomic import replacing
from lookcloser.data import Catalog, read_as_trained
from lookcloser.inference.engine import TorchEngine
from lookcloser.recognizer.run import read_config

if TYPE_CHECKING:
    from lookcloser.export import Differences, Measured, Row
    from lookcloser.recognizer.recognizer import Recognizer

CHECKED = 16  # images that a file is compared on
MEASURED = 400  # images that 8 bits are measured on
CALIBRATED = 128


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        path: The file.
        differences: The largest between the float32 file and the run.
        images: What they were compared on, in words.
        rows: Of 8 bits what they cost, on ``measured``; empty for float32.
        measured: What that was measured on, in words.
        calibrated: What the ranges of 8 bits were taken from, in words; "" for float32.
    """

    path: Path
    differences: Differences
    images: str
    rows: tuple[Row, ...] = ()
    measured: str = ""
    calibrated: str = ""


def export_run(
    recognizer: Recognizer,
    out: str | Path | None,
    *,
    int8: bool,
    calibrate: str | Path | None,
) -> ExportResult:
    """See `lookcloser.Recognizer.export`."""
    _require_extra()
    path = _path(recognizer, out)
    if calibrate is not None and not int8:
        raise UsageError("--calibrate without --int8", fix="Give --int8 beside it")
    engine = _on_cpu(recognizer.trained_engine())
    catalog = _data(recognizer)
    if int8:
        return _export_int8(engine, path, catalog, calibrate)
    from lookcloser.export import write_onnx

    checked = _images(engine, catalog, CHECKED)
    found = write_onnx(engine.model, engine.header, path, reference=engine, pixels=checked.pixels)
    return ExportResult(path, found, checked.source)


def _export_int8(
    engine: TorchEngine, path: Path, catalog: Catalog | None, calibrate: str | Path | None
) -> ExportResult:
    import onnx

    from lookcloser.export import quantized, save, side_by_side, write_onnx
    from lookcloser.runtime.onnx import load

    pixels, calibrated = _calibration(engine, catalog, calibrate)
    measured = _images(engine, catalog, MEASURED)
    checked = _images(engine, catalog, CHECKED)
    with tempfile.TemporaryDirectory() as folder, replacing(path) as small:
        plain = Path(folder) / "float32.onnx"
        found = write_onnx(
            engine.model, engine.header, plain, reference=engine, pixels=checked.pixels
        )
        save(quantized(onnx.load(plain), pixels), small)
        rows = side_by_side(load(plain).engine, load(small).engine, measured)
    return ExportResult(path, found, checked.source, tuple(rows), measured.source, calibrated)


def _require_extra() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise LookcloserError(
            f"export needs {', '.join(missing)}, which is not installed",
            fix="Install it: `pip install 'lookcloser[export]'`",
        )


def _path(recognizer: Recognizer, out: str | Path | None) -> Path:
    if out is None and recognizer.folder is None:
        raise UsageError("a model from a single file has no folder of its own", fix="Give --out")
    path = Path(out) if out is not None else Path(recognizer.folder or "") / "model.onnx"
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: not the name of an ONNX file", allowed="A name in .onnx")
    return path


def _on_cpu(engine: TorchEngine) -> TorchEngine:
    if engine.device.type == "cpu":
        return engine
    return TorchEngine(copy.deepcopy(engine.model).cpu(), engine.header, torch.device("cpu"))


def _data(recognizer: Recognizer) -> Catalog | None:
    """The data that the run was trained on, where it is still there."""
    if recognizer.folder is None:
        return None
    try:
        catalog = read_as_trained(read_config(recognizer.folder)[0], recognizer.header)
    except LookcloserError:
        return None
    return catalog if catalog.task == recognizer.header.task else None


def _images(engine: TorchEngine, catalog: Catalog | None, most: int) -> Measured:
    """Of the data, as far from training as there are some; else drawn ones."""
    from lookcloser.export import Measured, data_images, drawn_pixels

    if catalog is None or not catalog.splits:
        return Measured(drawn_pixels(engine.header.preprocessing, min(most, CHECKED)))
    return data_images(catalog, catalog.splits[-1], engine.header, most)


def _calibration(
    engine: TorchEngine, catalog: Catalog | None, folder: str | Path | None
) -> tuple[NDArray[np.uint8], str]:
    from lookcloser.export import data_images, folder_pixels

    if folder is not None:
        pixels = folder_pixels(folder, engine.header.preprocessing, CALIBRATED)
        return pixels, f"{len(pixels)} images of {folder}"
    if catalog is None or not catalog.splits:
        raise LookcloserError(
            "8 bits need images to take their ranges from, and the data of this run is not there",
            fix="Give a folder of images like those of the training: `--calibrate FOLDER`",
        )
    found = data_images(catalog, catalog.splits[0], engine.header, CALIBRATED)
    return found.pixels, found.source
