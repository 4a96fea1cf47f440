"""Where ONNX Runtime Web comes from, and that what is pinned is what was tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.web import OrtWeb, find_runtime
from lookcloser.web.ort import SCRIPT, VERSION, WASM, integrity


@pytest.mark.parametrize("place", ["", "..", "../.."])
def test_the_package_is_found_where_npm_puts_it(package: Path, place: str) -> None:
    found = find_runtime(package / place)
    assert found.version == "1.30.0"
    assert found.contents is not None
    assert found.contents[WASM] == b"\0asm"
    assert found.hashes[SCRIPT] == integrity(found.contents[SCRIPT])
    assert found.outside == []


def test_it_is_looked_for_in_the_current_folder(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(package.parents[1])
    assert find_runtime(None).contents is not None


def test_what_is_missing_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(LookcloserError, match="no onnxruntime-web") as error:
        find_runtime(tmp_path)
    assert f"npm install onnxruntime-web@{VERSION}" in str(error.value)
    assert "--ort cdn" in str(error.value)


@pytest.mark.parametrize(
    "description", ["[]", "{", '{"name": "other", "version": "1.30.0"}', '{"version": "1.30.0"}']
)
def test_another_package_is_none(package: Path, description: str) -> None:
    (package / "package.json").write_text(description)
    with pytest.raises(LookcloserError, match="no onnxruntime-web"):
        find_runtime(package)


@pytest.mark.parametrize("version", ["1.19.2", "0.9.0", "soon", ""])
def test_an_old_one_is_refused(package: Path, version: str) -> None:
    text = json.dumps({"name": "onnxruntime-web", "version": version})
    (package / "package.json").write_text(text)
    with pytest.raises(LookcloserError, match="too old"):
        find_runtime(package)


def test_half_a_package_is_refused(package: Path) -> None:
    (package / "dist" / WASM).unlink()
    with pytest.raises(LookcloserError, match="not whole"):
        find_runtime(package)


def test_the_address_is_pinned() -> None:
    found = find_runtime("cdn")
    assert found.contents is None
    assert all(f"@{VERSION}/" in address for address in found.outside)
    assert [address.rsplit("/", 1)[1] for address in found.outside] == [SCRIPT, WASM]


def test_the_hashes_of_the_address_are_those_of_the_package(installed: OrtWeb) -> None:
    if installed.version != VERSION:
        pytest.skip(f"onnxruntime-web {installed.version} is installed, not {VERSION}")
    assert find_runtime("cdn").hashes == installed.hashes
