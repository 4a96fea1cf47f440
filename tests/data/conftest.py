from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write images below the test's folder, each with other pixels: ``write("cat/1.jpg", ...)``."""
    generator = np.random.default_rng(0)

    def write(*names: str, size: tuple[int, int] = (8, 6)) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return tmp_path

    return write
