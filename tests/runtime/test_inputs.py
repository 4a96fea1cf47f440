"""Images of any kind, ready for a network, some at a time."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.runtime import inputs
from lookcloser.runtime.inputs import list_sources, load_batches

PREPROCESSING = Preprocessing(Grid(6, 8))


def test_one_image_in_any_form_is_one_source(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    raw = path.read_bytes()
    with path.open("rb") as file:
        sources = (raw, bytearray(raw), memoryview(raw), io.BytesIO(raw), file, np.zeros((4, 4, 3)))
        for source in sources:
            assert len(list_sources(source)) == 1
        assert len(list_sources(list(sources))) == len(sources)
    assert list_sources(str(path)) == list_sources([path]) == [path]


def test_an_array_of_four_dimensions_is_a_batch() -> None:
    batch = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    first, second = list_sources(batch)
    np.testing.assert_array_equal(first, batch[0])
    np.testing.assert_array_equal(second, batch[1])
    assert len(list_sources(batch[0])) == len(list_sources(batch[0, 0])) == 1


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five images of different sizes, the third of which is broken."""
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        Image.new("RGB", (10 + number, 7), (40 * number, 0, 0)).save(path)
    paths[2].write_bytes(b"no image")
    return paths


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order_with_what_is_broken_in_its_place(
    files: list[Path], workers: int
) -> None:
    batches = list(load_batches(files, PREPROCESSING, batch_size=2, workers=workers))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    loaded = [item for batch in batches for item in batch]
    sizes = [item.size for item in loaded]
    assert sizes == [(10, 7), (11, 7), (0, 0), (13, 7), (14, 7)]
    assert isinstance(sizes[0], ImageSize)
    assert loaded[2].pixels is None
    assert "2.png" in str(loaded[2].error)
    for number in (0, 1, 3, 4):
        with Image.open(files[number]) as image:
            wanted = input_pixels(image, PREPROCESSING)
        np.testing.assert_array_equal(loaded[number].pixels, wanted)
        assert loaded[number].error is None


def test_without_workers_a_batch_is_read_when_it_is_asked_for(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    load = inputs.load_image

    def counted(source: object) -> Image.Image:
        read.append(source)
        return load(source)  # type: ignore[arg-type]  # of this test's own

    monkeypatch.setattr(inputs, "load_image", counted)
    stream = load_batches(files, PREPROCESSING, batch_size=2)
    assert not read
    next(stream)
    assert read == files[:2]
    next(stream)
    assert read == files[:4]


def test_with_workers_the_next_batch_is_read_meanwhile_and_no_more(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    second, read = threading.Event(), []
    load = inputs.load_image

    def counted(source: object) -> Image.Image:
        read.append(source)
        if len(read) == 4:
            second.set()
        return load(source)  # type: ignore[arg-type]  # of this test's own

    monkeypatch.setattr(inputs, "load_image", counted)
    stream = load_batches(files, PREPROCESSING, batch_size=2, workers=1)
    next(stream)
    assert second.wait(30), "the second batch is read while the first is worked on"
    assert set(read) == set(files[:4])
    assert len(list(stream)) == 2


def test_an_image_in_memory_is_kept_for_drawing_and_a_file_is_not(files: list[Path]) -> None:
    array = np.zeros((4, 9, 3), np.uint8)
    ((one, other),) = load_batches([array, files[0]], PREPROCESSING, batch_size=2)
    assert one.image is not None
    assert one.image.size == one.size == (9, 4)
    assert other.image is None


def test_no_sources_are_no_batches() -> None:
    for workers in (0, 2):
        assert not list(load_batches([], PREPROCESSING, batch_size=2, workers=workers))
