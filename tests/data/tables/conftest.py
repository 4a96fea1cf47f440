"""A table beside images, as the reader of data sets sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookcloser.data import Catalog, read_data

Beside = Callable[..., Path]


@pytest.fixture
def beside(write: Any) -> Beside:
    """Write a file beside images 0.jpg … 5.jpg of 40 × 30 pixels; returns the folder of all."""
    root = write(*(f"{i}.jpg" for i in range(6)), size=(40, 30))

    def make(*lines: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\n".join(lines) + "\n", encoding=encoding)
        return Path(root)

    return make


@pytest.fixture
def rows(beside: Beside) -> Callable[..., Catalog]:
    """Read a table of a header and the same cells for every image, ``{i}`` and ``{c}`` in them."""

    def read(header: str, cells: str, **options: Any) -> Catalog:
        lines = (cells.format(i=i, c="ab"[i % 2]) for i in range(6))
        return read_data(beside(header, *lines, **options), val_share=0, test_share=0)

    return read
