"""ONNX Runtime Web: from an installed npm package, or from a pinned address.

Two of its files are needed. Each is loaded by `fetch` with its hash, which browsers then check for
every kind of file; a ``<script integrity>`` would not cover the WebAssembly that it loads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import own_path

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"  # what the tests and the hashes below are of
OLDEST = (1, 20)
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
CDN = "cdn"

_ADDRESS = f"https://cdn.jsdelivr.net/npm/{PACKAGE}@{VERSION}/dist/"
_HASHES = {
    SCRIPT: "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
    WASM: "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}
_INSTALL = f"`npm install {PACKAGE}@{VERSION}`"


@dataclass(frozen=True)
class OrtWeb:
    """The two files of ONNX Runtime Web.

    Attributes:
        version: Of the package.
        hashes: File name -> hash, as browsers take it.
        contents: File name -> bytes, which go into the folder; None where they are loaded from
            ``address``.
        address: Where they are loaded from; "ort/" of the folder itself.
    """

    version: str
    hashes: dict[str, str]
    contents: dict[str, bytes] | None = None
    address: str = "ort/"

    @property
    def outside(self) -> list[str]:
        """The addresses outside the folder that the page loads from."""
        return [] if self.contents else [self.address + name for name in (SCRIPT, WASM)]


def find_runtime(ort: str | Path | None) -> OrtWeb:
    """ONNX Runtime Web from where ``ort`` says.

    Args:
        ort: The folder of the npm package, or one in which it was installed; "cdn" for a pinned
            address; None looks in the current folder.

    Raises:
        LookcloserError: Where it is not there, or too old.
    """
    if str(ort) == CDN:
        return OrtWeb(VERSION, _HASHES, address=_ADDRESS)
    root = own_path(ort if ort is not None else ".")
    places = (root, root.parent, root / "node_modules" / PACKAGE)
    package = next((place for place in places if _is_package(place)), None)
    if package is None:
        raise LookcloserError(
            f"{root}: no {PACKAGE}, which runs the model in the browser",
            fix=f"Install it: {_INSTALL}, then give `--ort node_modules/{PACKAGE}`. Or give "
            f"`--ort {CDN}`, and visitors' browsers load it from {_ADDRESS}",
        )
    version = _version(package)
    files = {name: package / "dist" / name for name in (SCRIPT, WASM)}
    parts = re.match(r"(\d+)\.(\d+)\.", version)
    old = parts is None or (int(parts[1]), int(parts[2])) < OLDEST
    if old or not all(path.is_file() for path in files.values()):
        raise LookcloserError(
            f"{package}: {PACKAGE} {version or '?'}, which is not whole or too old",
            allowed=f"From {'.'.join(map(str, OLDEST))} on",
            fix=f"Install another one: {_INSTALL}",
        )
    contents = {name: path.read_bytes() for name, path in files.items()}
    return OrtWeb(version, {name: integrity(data) for name, data in contents.items()}, contents)


def integrity(data: bytes) -> str:
    """The hash of a file as browsers take it."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode()


def _is_package(folder: Path) -> bool:
    return _description(folder).get("name") == PACKAGE


def _version(folder: Path) -> str:
    return str(_description(folder).get("version", ""))


def _description(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
