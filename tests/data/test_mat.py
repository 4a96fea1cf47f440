import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from lookcloser.core import LookcloserError
from lookcloser.data.readers.files import read_mat
from lookcloser.data.readers.mat import plain


def test_values_come_as_lists_dictionaries_numbers_and_strings(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    entry = np.array([(1, "x"), (2, "yz")], dtype=[("n", object), ("name", object)])
    content = {"names": np.array(["a", "bc"], dtype=object), "entries": entry, "one": 3.5}
    savemat(path, content)
    found = read_mat(path, "names", "entries", "one")
    assert found["names"] == ["a", "bc"]
    assert found["entries"] == [{"n": 1, "name": "x"}, {"n": 2, "name": "yz"}]
    assert found["one"] == 3.5
    with pytest.raises(LookcloserError, match=r"a\.mat: has no variable 'other'"):
        read_mat(path, "other")


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("import os; os.abort()", "as a MATLAB file: its structure is damaged"),
        ("while True: pass", "not done after 1 seconds"),
    ],
)
def test_a_file_that_ends_its_reader_or_never_ends_is_named(
    tmp_path: Path, monkeypatch: Any, reader: str, said: str
) -> None:
    path, program = tmp_path / "a.mat", tmp_path / "reader.py"
    savemat(path, {"x": 1})
    program.write_text(reader)
    monkeypatch.setattr("lookcloser.data.readers.mat.__file__", str(program))
    if "while" in reader:
        monkeypatch.setattr("lookcloser.data.readers.files._MAT_SECONDS", 1)
    with pytest.raises(LookcloserError, match=said):
        read_mat(path, "x")


def test_nothing_in_the_current_folder_is_imported(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"x": 1})
    (tmp_path / "scipy.py").write_text("open('PWNED', 'w')")
    monkeypatch.chdir(tmp_path)
    assert read_mat(path, "x") == {"x": 1}
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("seed", range(6))
def test_damaged_bytes(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"file_list": np.array(["a/1.jpg", "b/2.jpg"], dtype=object)})
    content = bytearray(path.read_bytes())
    draw = np.random.default_rng(seed)
    for place in draw.integers(128, len(content), 8):
        content[place] = draw.integers(256)
    path.write_bytes(content)
    try:
        found = read_mat(path, "file_list")
    except LookcloserError as error:  # and nothing else
        found = {"file_list": [str(error)]}
    assert set(found) == {"file_list"}
    assert found["file_list"], "what can be read, or why not"


def test_the_file_of_the_reader_needs_nothing_of_the_package(tmp_path: Path) -> None:
    from lookcloser.data.readers import mat

    alone = shutil.copy(mat.__file__, tmp_path / "alone.py")
    assert "lookcloser" not in Path(alone).read_text()


class Odd:
    """Neither a number nor a text."""

    def __repr__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array(3), 3),
        (np.array("ab"), "ab"),
        (np.float64(0.5), 0.5),
        (np.array(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([], dtype=object), []),
        (np.array((1, np.array(["x", "y"], dtype=object)), dtype=[("n", object), ("l", object)]),
         {"n": 1, "l": ["x", "y"]}),
        (np.array(np.array(7), dtype=object), 7),
        (Odd(), "odd"),
        (np.array(Odd(), dtype=object), "odd"),
    ],
)  # fmt: skip
def test_what_scipy_makes_of_values_becomes_plain(value: object, expected: object) -> None:
    assert plain(value) == expected
    json.dumps(plain(value))
