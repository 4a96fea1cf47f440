"""The folder that answers in the browser: what is in it, and that nothing else is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.decoding import Search
from lookcloser.runtime.onnx_file import OnnxFile, Parts
from lookcloser.web import check_folder, find_runtime, write_folder
from lookcloser.web.ort import integrity

from .conftest import EVIL
from .test_page import policy_of


def test_every_file_is_there_and_has_its_hash(
    onnx_file: OnnxFile, package: Path, tmp_path: Path
) -> None:
    written = write_folder(onnx_file, tmp_path / "page", find_runtime(package), "birds")
    files = {
        path.relative_to(written.path).as_posix(): path.stat().st_size
        for path in written.path.rglob("*")
        if path.is_file()
    }
    assert files == dict(written.sizes)
    card = json.loads((written.path / "model.json").read_text())
    assert card["header"]["names"] == ["cat", EVIL]
    for part in (card["model"], card["runtime"]["script"], card["runtime"]["wasm"]):
        assert integrity((written.path / part["url"]).read_bytes()) == part["integrity"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_page_may_load_from_its_host_alone(
    onnx_file: OnnxFile, package: Path, tmp_path: Path
) -> None:
    write_folder(onnx_file, tmp_path / "page", find_runtime(package), EVIL)
    html = (tmp_path / "page" / "index.html").read_text()
    assert "<img" not in html
    policy = policy_of(html)
    assert policy["connect-src"] == ["'self'"]
    assert policy["worker-src"] == ["blob:"]
    assert "'unsafe-inline'" not in html
    assert "'unsafe-eval'" not in html


def test_a_pinned_address_is_all_that_is_added(onnx_file: OnnxFile, tmp_path: Path) -> None:
    runtime = find_runtime("cdn")
    written = write_folder(onnx_file, tmp_path / "page", runtime, "birds")
    assert not (written.path / "ort").exists()
    policy = policy_of((written.path / "index.html").read_text())
    assert policy["connect-src"] == ["'self'", *runtime.outside]
    card = json.loads((written.path / "model.json").read_text())
    urls = [card["runtime"][part]["url"] for part in ("script", "wasm")]
    assert urls == runtime.outside


def test_a_decoder_comes_with_its_graphs_and_its_random_numbers(
    onnx_file: OnnxFile, package: Path, tmp_path: Path
) -> None:
    search = Search("sample", 0, 1, 4)
    graphs = {"start": b"s", "step": b"t", "evidence": b"e"}
    file = replace(onnx_file, parts=Parts(search=search, memory=1, longest=4), graphs=graphs)
    written = write_folder(file, tmp_path / "page", find_runtime(package), "words")
    card = json.loads((written.path / "model.json").read_text())
    assert list(card["graphs"]) == ["start", "step", "evidence"]
    assert (written.path / card["graphs"]["step"]["url"]).read_bytes() == b"t"
    assert card["parts"]["search"] == {**vars(search)}
    # As the Python decoder takes them: one for each step of a batch of one image.
    generator = np.random.default_rng(0)
    assert card["draws"] == [generator.random(1)[0] for _ in range(5)]


def test_nothing_of_where_it_was_trained_is_told(
    onnx_file: OnnxFile, package: Path, tmp_path: Path
) -> None:
    written = write_folder(onnx_file, tmp_path / "page", find_runtime(package), "birds")
    assert (written.path / "model.onnx").read_bytes() == b"\x08\x0a\x3a\x03net"
    for path in written.path.rglob("*.*"):
        assert b"secret" not in path.read_bytes()


def test_an_earlier_export_is_replaced(onnx_file: OnnxFile, package: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    write_folder(onnx_file, page, find_runtime(package), "first")
    (page / "left.txt").write_text("over")
    write_folder(onnx_file, page, find_runtime("cdn"), "second")
    assert "second" in (page / "index.html").read_text()
    assert not (page / "ort").exists()
    assert not (page / "left.txt").exists()


@pytest.mark.parametrize("card", [None, "[]", "{", '{"made by": "hand"}'])
def test_anything_else_stays(
    onnx_file: OnnxFile, package: Path, tmp_path: Path, card: str | None
) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "thesis.txt").write_text("years of work")
    if card is not None:
        (page / "model.json").write_text(card)
    with pytest.raises(LookcloserError, match="something else in its place"):
        write_folder(onnx_file, page, find_runtime(package), "birds")
    assert (page / "thesis.txt").read_text() == "years of work"


def test_a_file_in_its_place_stays(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("here")
    with pytest.raises(LookcloserError, match="something else"):
        check_folder(tmp_path / "page")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LookcloserError, match="something else"):
        check_folder(tmp_path / "link")


def test_what_cannot_be_written_leaves_the_old_folder(
    onnx_file: OnnxFile, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    write_folder(onnx_file, page, find_runtime(package), "first")

    def fail(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(LookcloserError, match="No space left"):
        write_folder(onnx_file, page, find_runtime(package), "second")
    assert "first" in (page / "index.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node_modules", "page"]
