"""An exported file as a folder that any static host serves and that answers in the browser."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.storage.atomic import refused
from lookcloser.core.storage.files import own_path
from lookcloser.runtime.onnx_file import OnnxFile, network_alone
from lookcloser.web.ort import SCRIPT, WASM, OrtWeb, integrity
from lookcloser.web.page import COMMON, WORKER, page_assets, text_of

CARD = "model.json"
_MADE_BY = "lookcloser web folder"


@dataclass(frozen=True)
class WebFolder:
    """What was written.

    Attributes:
        path: The folder.
        sizes: File -> bytes, all that a visitor's browser may load from it.
    """

    path: Path
    sizes: Mapping[str, int]


def check_folder(out: str | Path) -> Path:
    """The place for a folder: free, empty, or one that `write_folder` wrote before.

    Raises:
        LookcloserError: For anything else there.
    """
    path = own_path(out)
    if path.is_dir() and (not any(path.iterdir()) or _is_ours(path)):
        return path
    if path.exists() or path.is_symlink():
        raise LookcloserError(
            f"{path}: there is something else in its place",
            allowed="A new folder, an empty one, or one from an earlier export",
            fix="Choose another place",
        )
    return path


def write_folder(file: OnnxFile, out: str | Path, runtime: OrtWeb, name: str) -> WebFolder:
    """Write the page of an exported file, whole or not at all.

    Args:
        file: What `lookcloser.runtime.onnx_file.read_onnx` gives.
        out: The folder; one from an earlier export is replaced.
        runtime: What runs the model in the browser.
        name: Of the model, as the page says it.

    Raises:
        LookcloserError: If something else is in its place, or it cannot be written.
    """
    path = check_folder(out)
    contents = folder_files(file, runtime, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".lookcloser-", dir=path.parent))
    except OSError as error:
        raise refused(path, error) from error
    try:
        for part, data in contents.items():
            target = made / "new" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        if path.exists():
            path.rename(made / "old")
        try:
            (made / "new").rename(path)
        except OSError:
            with suppress(OSError):
                (made / "old").rename(path)
            raise
    except OSError as error:
        raise refused(path, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return WebFolder(path, {part: len(data) for part, data in contents.items()})


def folder_files(file: OnnxFile, runtime: OrtWeb, name: str) -> dict[str, bytes]:
    """File name -> content of the folder."""
    policy = {
        # The worker is made of the page's own text (blob:), so that this policy holds in it too;
        # WebAssembly is what runs the model.
        "script-src": ["'self'", "blob:", "'wasm-unsafe-eval'"],
        "worker-src": ["blob:"],
        "connect-src": ["'self'", *runtime.outside],
    }
    page = page_assets(
        name,
        settings={"engine": "local", "model": CARD},
        scripts=(*COMMON, "local.js", "page.js"),
        policy=policy,
        promise="The model runs in your browser. Your images never leave this device.",
    )
    loaded = {"model.onnx": network_alone(file)}
    loaded |= {f"{part}.onnx": data for part, data in file.graphs.items()}
    files = {part: asset.content for part, asset in page.items()}
    loaded["worker.js"] = text_of(*WORKER).encode()
    files |= loaded
    files |= {f"ort/{part}": data for part, data in (runtime.contents or {}).items()}
    card = _card(file, runtime, name, loaded)
    files[CARD] = json.dumps(card, allow_nan=False, indent=1).encode()
    return files


def _card(
    file: OnnxFile, runtime: OrtWeb, name: str, loaded: Mapping[str, bytes]
) -> dict[str, Any]:
    """What the script needs to know: the header, how an answer is made, and where all files are."""
    files = {part: {"url": part, "integrity": integrity(data)} for part, data in loaded.items()}
    ort = {
        key: {"url": runtime.address + part, "integrity": runtime.hashes[part]}
        for key, part in (("script", SCRIPT), ("wasm", WASM))
    }
    size = sum(len(data) for data in (*loaded.values(), *(runtime.contents or {}).values()))
    search = file.parts.search
    # What `numpy.random.default_rng(0)` gives a batch of one image, for a decoder that draws.
    draws: Iterable[float] = ()
    if search is not None and search.decoder == "sample":
        draws = np.random.default_rng(0).random(search.longest + 1)
    return {
        "made by": _MADE_BY,
        "name": name,
        "bytes": size,
        "header": _header(file.header),
        "parts": {**vars(file.parts), "search": None if search is None else vars(search)},
        "draws": list(map(float, draws)),
        "model": files["model.onnx"],
        "worker": files["worker.js"],
        "graphs": {part: files[f"{part}.onnx"] for part in file.graphs},
        "runtime": {"version": runtime.version, **ort},
    }


def _header(header: ModelHeader) -> dict[str, Any]:
    """What answers need of a header; not where it was trained, on what and by whom."""
    calibration = header.calibration
    return {
        "task": header.task,
        "names": list(header.names),
        "preprocessing": asdict(header.preprocessing),
        "box_threshold": header.box_threshold,
        "box_rule": header.box_rule,
        "evidence_kind": header.evidence_kind,
        "box_kind": header.box_kind,
        "parents": dict(header.parents),
        "calibration": {
            "temperature": calibration.temperature,
            "lac": list(calibration.lac),
            "evidence": calibration.evidence,
            "distance": calibration.distance,
        },
    }


def _is_ours(folder: Path) -> bool:
    try:
        found = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("made by") == _MADE_BY
