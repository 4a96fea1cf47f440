"""The web folder in a second browser, Firefox, with no network but loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookcloser.runtime.onnx import load
from lookcloser.web import find_runtime, write_folder

from ..firefox import FIREFOX, Firefox
from .conftest import Serve, Site
from .networks import write_network
from .visits import answers, give, require_same

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(FIREFOX is None, reason="needs Firefox")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """One for all tests: it takes seconds to start."""
    opened = Firefox(tmp_path_factory.mktemp("firefox") / "profile")
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("method", ["racnn", "sigmoid", "lstm"])
def test_answers_are_those_of_python(
    site: Site, serve: Serve, firefox: Firefox, photos: list[Path], method: str
) -> None:
    folder, recognizer = site(method)
    firefox.open(serve(folder))
    assert give(firefox, *photos) == ""
    found = answers(firefox)
    for path in photos:
        # Firefox rounds once more where it puts what is half transparent on white.
        heat = 3e-2 if path.name == "clear.png" else 5e-3
        require_same(found[path.name], recognizer.predict(path)[0].to_dict(), heat)


def test_a_broken_file_costs_nothing_else(
    site: Site, serve: Serve, firefox: Firefox, photos: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    whole = photos[1].read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])  # Firefox would show this half
    firefox.open(serve(site()[0]))
    assert "broken.jpg: This JPEG file is damaged or cut off" in give(firefox, broken)
    assert give(firefox, photos[0]) == ""


def test_images_stay_in_the_browser(
    site: Site, serve: Serve, firefox: Firefox, photos: list[Path]
) -> None:
    address, other = serve(site()[0]), serve(photos[0].parent)
    firefox.open(address)
    assert give(firefox, photos[0]) == ""
    asked = firefox.value("performance.getEntriesByType('resource').map((e) => e.name)")
    assert all(url.startswith((address, "blob:", "data:")) for url in asked)
    send = f"fetch('{other}fine.jpg', {{ mode: 'no-cors' }}).then(() => 'sent', () => 'kept')"
    assert firefox.value(send) == "kept"


def test_a_runtime_whose_host_cannot_be_reached_is_said(
    serve: Serve, firefox: Firefox, photos: list[Path], tmp_path: Path
) -> None:
    file = load(write_network(tmp_path / "model.onnx", "racnn"), threads=1).engine.file
    write_folder(file, tmp_path / "page", find_runtime("cdn"), "far away")
    firefox.open(serve(tmp_path / "page"))
    assert "Is this device online?" in give(firefox, photos[0])
