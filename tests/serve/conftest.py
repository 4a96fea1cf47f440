"""Small networks behind a whole service, in this process."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("onnxruntime", reason="the extra export is not installed")

from starlette.testclient import TestClient

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data.vocabulary import END
from lookcloser.export import write_onnx
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import build_model, save_model_file
from lookcloser.serve.app import Service
from lookcloser.serve.engines.sources import Source, read_sources
from lookcloser.serve.limits import Access, Limits

NAMES = ("ant", "<script>alert(1)</script>", "fly\r\nSet-Cookie: a=b")
WORDS = ("<NULL>", "<START>", "<END>", "<UNK>", "a", "red", "bee")
SIZE = (32, 32)
OPTIONS = {"backbone": "test_resnet", "stride": 8}


def make_engine(method: str = "cam", seed: int = 0, **options: object) -> TorchEngine:
    """A random network whose answers differ from image to image."""
    torch.manual_seed(seed)
    names = WORDS if method == "gru" else NAMES
    given = {**OPTIONS, "num_classes": len(names), **options}
    model = build_model(method, given).eval()
    task = model.tasks[0]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and parameter.shape[0] in (3, 7):
                parameter.normal_(std=2.0)
        if task == "captioning":
            model.word_bias[END] = -2.0
    kind = "word" if task == "captioning" else "map"
    header = ModelHeader(method, given, task, names, Preprocessing(SIZE), evidence_kind=kind)
    return TorchEngine(model, header, torch.device("cpu"))


def drawn(seed: int = 0, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """An image of soft blots."""
    blots = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize(size)


def file_of(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@dataclass(frozen=True)
class Models:
    """Files of models of each task; ``onnx`` is exported from ``cam``."""

    onnx: Path
    cam: Path
    tags: Path
    words: Path


@pytest.fixture(scope="session")
def files(graphs_once: None, tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("served")

    def saved(engine: TorchEngine, name: str) -> Path:
        return save_model_file(
            folder / f"{name}.safetensors", engine.model.state_dict(), engine.header
        )

    cam = make_engine()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, *SIZE), dtype=np.uint8)
    write_onnx(cam.model, cam.header, folder / "insects.onnx", reference=cam, pixels=pixels)
    tags = make_engine("sigmoid", threshold=0.3)
    words = make_engine("gru", max_length=4, hidden_size=24, embed_size=12)
    return Models(
        folder / "insects.onnx", saved(cam, "cam"), saved(tags, "tags"), saved(words, "words")
    )


Serve = Callable[..., TestClient]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a service of sources, and a client for it; all end with the test."""
    clients: list[TestClient] = []

    def start(
        *sources: Source | str | Path,
        limits: Limits | None = None,
        access: Access | None = None,
    ) -> TestClient:
        found = [
            source if isinstance(source, Source) else read_sources([str(source)])[0]
            for source in sources
        ]
        service = Service(found, limits, access)
        client = TestClient(service, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def insects(files: Models) -> Iterator[TestClient]:
    """A client of the exported file, shared by tests that change nothing."""
    with TestClient(Service(read_sources([str(files.onnx)]))) as client:
        yield client


class Drawing:
    """Images for requests."""

    @staticmethod
    def image(seed: int = 0, size: tuple[int, int] = (60, 40)) -> Image.Image:
        """Soft blots."""
        return drawn(seed, size)

    @staticmethod
    def file(seed: int = 0, size: tuple[int, int] = (60, 40), form: str = "PNG") -> bytes:
        """The same as the bytes of a file."""
        return file_of(drawn(seed, size), form)

    @staticmethod
    def url(seed: int = 0) -> str:
        """The same as a data URL."""
        return f"data:image/png;base64,{base64.b64encode(file_of(drawn(seed))).decode()}"

    @staticmethod
    def bomb(side: int) -> bytes:
        """A PNG that says that it is ``side`` pixels wide and high, without them."""
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"\0" * 20)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


@pytest.fixture(scope="session")
def drawing() -> type[Drawing]:
    return Drawing
