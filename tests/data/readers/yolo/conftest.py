"""Small sets in the form of YOLO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (40, 20)
Data = Callable[..., Path]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Makes a folder with images of 40 by 20 pixels and files of text or bytes in it."""
    generator = np.random.default_rng(0)

    def data(images: str, files: Mapping[str, str | bytes] | None = None) -> Path:
        root = tmp_path / "set"
        for name in images.split():
            pixels = generator.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        for name, content in (files or {}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return data
