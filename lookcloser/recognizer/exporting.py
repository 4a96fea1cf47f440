"""A run as one ONNX file, or a folder that answers in the browser, checked against the run."""

from __future__ import annotations

import copy
import shlex
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError, UsageError, unknown
from lookcloser.core.storage.atomic import naming, replacing
from lookcloser.core.storage.files import own_path
from lookcloser.data import Catalog
from lookcloser.inference.explaining import AnyEngine
from lookcloser.inference.stock import METHOD as STOCK
from lookcloser.recognizer.run_data import data_of_run
from lookcloser.recognizer.targets import TARGETS

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
        path: The file, or the folder.
        differences: The largest between the float32 file and the run.
        images: What they were compared on, in words.
        rows: Of 8 bits what they cost, on ``measured``; empty for float32.
        measured: What that was measured on, in words.
        calibrated: What the ranges of 8 bits were taken from, in words; "" for float32.
        size: Bytes of the file, or of all files of the folder.
        shown_by: The command that shows it; "" of a file that `lookcloser.load` takes.
    """

    path: Path
    differences: Differences
    images: str
    rows: tuple[Row, ...] = ()
    measured: str = ""
    calibrated: str = ""
    size: int = 0
    shown_by: str = ""


def export_run(
    recognizer: Recognizer,
    out: str | Path | None,
    *,
    int8: bool,
    calibrate: str | Path | None,
    form: str,
    ort: str | Path | None,
) -> ExportResult:
    """See `lookcloser.Recognizer.export`."""
    if form not in TARGETS:
        raise unknown(form, "format", TARGETS)
    _require_extra()
    if calibrate is not None and not int8:
        raise UsageError("--calibrate without --int8", fix="Give --int8 as well")
    return TARGETS[form].load()(recognizer, out, int8, calibrate, ort)


def export_onnx(
    recognizer: Recognizer,
    out: str | Path | None,
    int8: bool,
    calibrate: str | Path | None,
    ort: str | Path | None,
) -> ExportResult:
    """One file."""
    if ort is not None:
        raise UsageError("--ort without --format web", fix="Give --format web as well")
    return _export_file(recognizer, _path(recognizer, out), int8, calibrate)


def export_web(
    recognizer: Recognizer,
    out: str | Path | None,
    int8: bool,
    calibrate: str | Path | None,
    ort: str | Path | None,
) -> ExportResult:
    """A folder; what is missing or in the way is said before the work."""
    from lookcloser.runtime.onnx_file import read_onnx
    from lookcloser.web import check_folder, find_runtime, write_folder

    if out is None and recognizer.folder is None:
        raise _no_folder()
    folder = check_folder(out if out is not None else Path(recognizer.folder or "") / "web")
    runtime = find_runtime(ort)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "model.onnx"
        with naming(file, folder):
            made = _export_file(recognizer, file, int8, calibrate)
        written = write_folder(read_onnx(made.path), folder, runtime, _title(recognizer, folder))
    server = shlex.join(["python", "-m", "http.server", "--directory", str(written.path)])
    shown_by = f"{server}, then http://localhost:8000"
    size = sum(written.sizes.values())
    return replace(made, path=written.path, size=size, shown_by=shown_by)


def _title(recognizer: Recognizer, out: Path) -> str:
    """How a page names the model: as its run; a stock network as timm does."""
    if recognizer.folder is not None:
        return recognizer.folder.resolve().name
    stock = recognizer.header.method == STOCK
    return str(recognizer.header.arguments["backbone"]) if stock else out.resolve().name


def _export_file(
    recognizer: Recognizer, path: Path, int8: bool, calibrate: str | Path | None
) -> ExportResult:
    engine = _on_cpu(recognizer.engine)
    catalog = data_of_run(recognizer)
    if int8:
        return _export_int8(engine, path, catalog, calibrate)
    from lookcloser.export import write_onnx

    checked = _images(engine, catalog, CHECKED)
    found = write_onnx(engine.model, engine.header, path, reference=engine, pixels=checked.pixels)
    return ExportResult(path, found, checked.source, size=path.stat().st_size)


def _export_int8(
    engine: AnyEngine, path: Path, catalog: Catalog | None, calibrate: str | Path | None
) -> ExportResult:
    import onnx

    from lookcloser.export import quantized, save, side_by_side, write_onnx
    from lookcloser.runtime.onnx import load

    pixels, calibrated = _calibration(engine, catalog, calibrate)
    measured = _measured(engine, catalog, calibrate)
    checked = _images(engine, catalog, CHECKED)
    with tempfile.TemporaryDirectory() as folder, replacing(path) as small:
        plain = Path(folder) / "float32.onnx"
        with naming(plain, path):
            found = write_onnx(
                engine.model, engine.header, plain, reference=engine, pixels=checked.pixels
            )
        save(quantized(onnx.load(plain), pixels), small)
        rows = side_by_side(load(plain).engine, load(small).engine, measured)
    size = path.stat().st_size
    return ExportResult(path, found, checked.source, tuple(rows), measured.source, calibrated, size)


def _require_extra() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise LookcloserError(
            f"export needs {', '.join(missing)}, which is not installed",
            fix="Install it: `pip install 'lookcloser[export]'`",
        )


def _path(recognizer: Recognizer, out: str | Path | None) -> Path:
    if out is None and recognizer.folder is None:
        raise _no_folder()
    path = own_path(out) if out is not None else Path(recognizer.folder or "") / "model.onnx"
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: not the name of an ONNX file", allowed="A name in .onnx")
    return path


def _no_folder() -> UsageError:
    return UsageError("a model from a single file has no folder of its own", fix="Give --out")


def _on_cpu(engine: AnyEngine) -> AnyEngine:
    if engine.device.type == "cpu":
        return engine
    model: Any = copy.deepcopy(engine.model).cpu()  # of the engine's own kind
    return replace(engine, model=model, device=torch.device("cpu"))


def _images(engine: AnyEngine, catalog: Catalog | None, most: int) -> Measured:
    """Of the data, as far from training as there are some; else drawn ones."""
    from lookcloser.export import Measured, data_images, drawn_pixels

    if catalog is None or not catalog.splits:
        return Measured(drawn_pixels(engine.header.preprocessing, min(most, CHECKED)))
    return data_images(catalog, catalog.splits[-1], engine.header, most)


def _measured(engine: AnyEngine, catalog: Catalog | None, folder: str | Path | None) -> Measured:
    """What 8 bits are measured on: the data, else the folder, else drawn images."""
    from lookcloser.export import Measured, folder_pixels

    if catalog is not None or folder is None:
        return _images(engine, catalog, MEASURED)
    pixels = folder_pixels(folder, engine.header.preprocessing, MEASURED)
    return Measured(pixels, source=f"{len(pixels)} images of {folder}")


def _calibration(
    engine: AnyEngine, catalog: Catalog | None, folder: str | Path | None
) -> tuple[NDArray[np.uint8], str]:
    from lookcloser.export import data_images, folder_pixels

    if folder is not None:
        pixels = folder_pixels(folder, engine.header.preprocessing, CALIBRATED)
        return pixels, f"{len(pixels)} images of {folder}"
    if catalog is None or not catalog.splits:
        raise LookcloserError(
            "8 bits need images to measure their ranges on, and the data of this run is not there",
            fix="Give a folder of images like those of the training: `--calibrate FOLDER`",
        )
    found = data_images(catalog, catalog.splits[0], engine.header, CALIBRATED)
    return found.pixels, found.source
