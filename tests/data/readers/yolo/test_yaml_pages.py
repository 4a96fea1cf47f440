"""``data.yaml``: what it says, and what it may not do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers.yolo.description import Description, Part, read_names
from lookcloser.data.readers.yolo.yaml_pages import is_page, read_yaml


def read(folder: Path, text: str | bytes) -> Description:
    path = folder / "data.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def error_of(folder: Path, text: str | bytes) -> str:
    with pytest.raises(LookcloserError) as caught:
        read(folder, text)
    return str(caught.value)


PLAIN = """path: ../birds
train: images/train
val: [a, b.txt]
test: # none
names:
  0: cat
  1: no
"""


def test_parts_and_names(tmp_path: Path) -> None:
    found = read(tmp_path, PLAIN)
    assert found == Description(
        "data.yaml",
        {0: "cat", 1: "no"},
        (
            Part("train", "../birds/images/train", "data.yaml line 2"),
            Part("val", "../birds/a", "data.yaml line 3"),
            Part("val", "../birds/b.txt", "data.yaml line 3"),
        ),
    )


@pytest.mark.parametrize(
    "text",
    [PLAIN.replace("\n", "\r\n"), f"\ufeff{PLAIN}", PLAIN.encode("utf-16")],
    ids=["CRLF", "mark", "UTF-16"],
)
def test_forms_of_text(tmp_path: Path, text: str | bytes) -> None:
    assert read(tmp_path, text) == read(tmp_path, PLAIN)
    assert is_page(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("[yes, 007, ' é ', 1e3]", ["yes", "007", "é", "1e3"]),
        ("\n- a\n- 'b: c'", ["a", "b: c"]),
        ("{0: a, 1: b}", ["a", "b"]),
        ("{'1': b, '0': a}", ["b", "a"]),
        ("[null, ~]", ["null", "~"]),
    ],
)
def test_names_stay_text(tmp_path: Path, names: str, found: list[str]) -> None:
    assert list(read(tmp_path, f"train: a\nnames: {names}").names.values()) == found


def test_splits_have_several_words_and_paths_may_be_absolute(tmp_path: Path) -> None:
    text = "path: /d\nvalidation: ../v\ntest: /t\ntrain: https://a/b\nnames: [a]"
    parts = [(part.split, part.listed) for part in read(tmp_path, text).parts]
    assert parts == [("train", "https://a/b"), ("val", "/d/../v"), ("test", "/t")]


def test_names_of_another_form_are_noted(tmp_path: Path) -> None:
    found = read(tmp_path, "train: a\nnames: [caf\u00e9]".encode("latin-1"))
    assert found.names == {0: "café"}
    assert found.notes[0].startswith("data.yaml: not UTF-8, read as Windows-1252")


def test_classes_that_are_only_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "train: a\nnc: 2\ndownload: |\n  import os\n")
    assert found.names == {0: "class_0", 1: "class_1"}
    assert found.notes == (
        "data.yaml has no names: classes are called class_0, class_1 and so on",
        "data.yaml: 'download' is not run",
    )


@pytest.mark.parametrize(
    ("shape", "numbers"), [("[17, 3]", 51), ("[4, 2]", 8), ("null", 0), ("[0, 3]", None),
                           ("17", None), ("[17]", None), ("[17, 4]", None), ("[a, 3]", None)]
)  # fmt: skip
def test_key_points(tmp_path: Path, shape: str, numbers: int | None) -> None:
    text = f"train: a\nnames: [a]\nkpt_shape: {shape}"
    if numbers is None:
        assert "data.yaml line 3: kpt_shape is " in error_of(tmp_path, text)
    else:
        assert read(tmp_path, text).key_points == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "data.yaml: no keys such as train, val and names"),
        ("", "data.yaml: no keys such as train, val and names"),
        ("a\n", "data.yaml: no keys such as"),
        ("train: a\n\tnames: [a]\n", "data.yaml line 2: not YAML: "),
        ("train: a\nnames: [a\n", "data.yaml line 3: not YAML: "),
        ("train: a\n---\ntrain: b\n", "data.yaml line 2: not YAML: "),
        ("train: a\nnames: *x\n", "data.yaml line 2: not YAML: found undefined alias"),
        ("train: a\ntrain: b\n", "data.yaml line 2: 'train' is at line 1 already. Keep one"),
        ("names: {0: a, 0: b}\n", "data.yaml line 1: '0' is at line 1 already"),
        ("names: a.names\n", "data.yaml line 1: 'names' is 'a.names'. Allowed: a list"),
        ("names: []\n", "data.yaml line 1: 'names' is 'a list'"),
        ("names:\n  a: 0\n", "data.yaml line 2: 'a' is not a class number. Allowed: 0 and above"),
        ("names:\n  -1: a\n", "data.yaml line 2: '-1' is not a class number"),
        ("names:\n  ²: a\n", "data.yaml line 2: '²' is not a class number"),
        ("names: [a, '']\n", "data.yaml line 1: class 1 has no name"),
        ("names:\n- a\n- [b]\n", "data.yaml line 3: class 1 has no name"),
        ("names: [a]\nnc: 2\n", "data.yaml line 2: nc is 2, and there are 1 names. Correct the"),
        ("names: [a]\nnc: x\n", "data.yaml line 2: nc is x, and"),
        ("train: a\n", "data.yaml: no names of classes. Write them: a line such as names: [cat"),
        ("train: a\nnc: 0\n", "data.yaml line 2: no names of classes"),
        ("train: a\nnc: 999999999\n", "data.yaml line 2: no names of classes"),
        ("names: [a]\ntrain: {a: b}\n", "data.yaml line 2: 'train' is 'a mapping'. Allowed: a fol"),
        ("names: [a]\ntrain: [a, [b]]\n", "data.yaml line 2: 'train' is 'a list'"),
        ("names: [a]\ntrain: ['']\n", "data.yaml line 2: 'train' is ''"),
        ("names: [a]\npath: [b]\ntrain: a\n", "data.yaml line 2: 'path' is 'a list', not a folder"),
        ("names: [a]\nx: \x01\n", "data.yaml: not YAML: unacceptable character"),
        (b"names: \x00\x01", "data.yaml: not text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    said = error_of(tmp_path, text)
    assert message.lower() in said.lower()


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 40)
)
MERGED = "b0: &b0 {k: v}\n" + "".join(
    f"b{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}'] * 10)}]}}\n" for i in range(1, 40)
)


@pytest.mark.parametrize(
    "text",
    [BOMB + "train: *a39", MERGED + "train: *b39", "train: &t [*t]", "train: " + "[\n  " * 1000],
    ids=["aliases", "merged keys", "itself", "deep"],
)
def test_bombs_are_small(tmp_path: Path, text: str) -> None:
    began = time.process_time()
    assert error_of(tmp_path, f"{text}\nnames: [a]\n").startswith("data.yaml")
    assert time.process_time() - began < 5


def test_nothing_is_built(tmp_path: Path) -> None:
    text = "train: !!python/object/apply:os.mkdir [made]\nnames: [!!python/name:os.system a]\n"
    found = read(tmp_path, text)
    assert (found.names, [part.listed for part in found.parts]) == ({0: "a"}, ["made"])


def test_files_are_bounded(tmp_path: Path) -> None:
    assert "Allowed: at most 1,048,576" in error_of(tmp_path, PLAIN + "#" * (1 << 20))
    assert is_page(tmp_path / "data.yaml"), "so that this is said"


@pytest.mark.parametrize(
    ("name", "text", "page"),
    [
        ("birds.yaml", PLAIN, True),
        ("birds.YML", "nc: 3\nval: x", True),
        ("birds.yaml", "{names: [a], train: b}", True),
        ("data.yaml", "names: [a]", True),
        ("birds.yaml", "names: [a]", False),
        ("birds.yaml", "lr: 0.1\ntrain: x", False),
        ("birds.yaml", "surnames: [a]\ntrain: x", False),
        ("data.yaml", "train: x", False),
        ("birds.txt", PLAIN, False),
    ],
)
def test_other_yaml_is_told_apart(tmp_path: Path, name: str, text: str, page: bool) -> None:
    (tmp_path / name).write_text(text)
    assert is_page(tmp_path / name) is page


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").mkdir()
    assert not is_page(tmp_path / "data.yaml")


def test_names_by_lines(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbfcat\r\n\r\n big dog \r\n")
    assert read_names(path) == ({0: "cat", 2: "big dog"}, None)
    path.write_text("\n\n")
    with pytest.raises(LookcloserError, match="no name of a class. Allowed: one in each line"):
        read_names(path)
