"""Node.js for the scripts, a server on loopback for the pages, a package that stands for npm's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.runtime.onnx import OnnxRecognizer, load
from lookcloser.runtime.onnx_file import OnnxFile, Parts
from lookcloser.web import OrtWeb, find_runtime, write_folder
from lookcloser.web.ort import SCRIPT, WASM
from lookcloser.web.page import text_of

from .loopback import Quiet, Server, start_server

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")
EVIL = '</script><img src=x onerror="alert(1)">'

needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js")


def node(scripts: tuple[str, ...], expression: str, **values: Any) -> Any:
    """The value of an expression, or of its promise, after some scripts of the page."""
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    written = "process.stdout.write(JSON.stringify(await (async () => (" + expression + "))()));"
    program = f"{text_of(*scripts)}\n{constants}\n(async () => {{ {written} }})();"
    done = subprocess.run(
        [str(NODE), "-"], input=program, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder like that of the npm package."""
    return make_package(tmp_path)


def make_package(root: Path) -> Path:
    """What `package` gives, below ``root``."""
    folder = root / "node_modules" / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text('{"name": "onnxruntime-web", "version": "1.30.0"}')
    (folder / "dist" / SCRIPT).write_bytes(b"export const env = {};")
    (folder / "dist" / WASM).write_bytes(b"\0asm")
    return folder


@pytest.fixture
def onnx_file() -> OnnxFile:
    """What an exported file holds, without a network in it."""
    header = ModelHeader(
        "cam",
        {},
        "classification",
        ("cat", EVIL),
        Preprocessing((48, 32)),
        provenance={"data": "secret/place"},
    )
    # The fields ir_version, graph and metadata_props of an ONNX file.
    model = b"\x08\x0a" + b"\x3a\x03net" + b"\x72\x06secret"
    return OnnxFile(Path("model.onnx"), model, header, Parts(), {})


@pytest.fixture(scope="session")
def installed() -> OrtWeb:
    """ONNX Runtime Web as installed by npm into the checkout, or where ORT_WEB says."""
    try:
        return find_runtime(os.environ.get("ORT_WEB", ROOT))
    except LookcloserError as error:
        pytest.skip(str(error))


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a folder, or what a handler answers, on loopback; gives the address."""
    running: list[Server] = []

    def start(folder: Path | None = None, handler: type[Quiet] = Quiet) -> str:
        running.append(start_server(folder or ROOT / "nothing", handler))
        return running[-1].address

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


Site = Callable[..., tuple[Path, OnnxRecognizer]]


@pytest.fixture(scope="session")
def site(installed: OrtWeb, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """By method: a web folder, and its file as Python opens it."""
    pytest.importorskip("onnxruntime")
    from .networks import write_network  # it needs onnx

    root = tmp_path_factory.mktemp("sites")

    @cache
    def make(method: str = "racnn") -> tuple[Path, OnnxRecognizer]:
        path = write_network(root / f"{method}.onnx", method)
        recognizer = load(path, threads=1)
        write_folder(recognizer.engine.file, path.with_suffix(""), installed, EVIL)
        return path.with_suffix(""), recognizer

    return make


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A JPEG that its EXIF data turn, one with fine detail, a PNG with transparency, a WebP."""
    rng = np.random.default_rng(4)
    paths = [tmp_path / name for name in ("turned.jpg", "fine.jpg", "clear.png")]
    images = [
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((160, 120)),
        Image.fromarray(rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)).resize((210, 270)),
        Image.fromarray(rng.integers(0, 256, (5, 5, 4), dtype=np.uint8)).resize((100, 64)),
    ]
    exif = Image.Exif()
    exif[0x0112] = 6
    images[0].save(paths[0], exif=exif)
    images[1].save(paths[1])
    images[2].save(paths[2])
    paths.append(tmp_path / "turned.webp")
    images[1].save(paths[3], exif=exif, lossless=True)
    return paths
