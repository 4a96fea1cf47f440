from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Sample
from lookcloser.data.readers.files import Row, inside, keep_present, read_text, read_xml_boxes


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("./im//a.jpg", "im/a.jpg"),
        ("im/../a.jpg", "a.jpg"),
        ("im\\a.jpg", "im/a.jpg"),
        ("..a.jpg", "..a.jpg"),
        ("/data/birds/im/a.jpg", "im/a.jpg"),
        ("/data/birds/../birds/a.jpg", "a.jpg"),
    ],
)
def test_paths_inside(listed: str, name: str) -> None:
    assert inside(Path("/data/birds"), listed, "t") == (name, Path("/data/birds") / name)


@pytest.mark.parametrize(
    "listed",
    ["..", "../a.jpg", "im/../../a.jpg", "/data/a.jpg", "/data/birds2/a.jpg", "/", ".", ""],
)
def test_paths_outside(listed: str) -> None:
    with pytest.raises(
        LookcloserError, match=r"^t: .* is outside of /data/birds\. Allowed: paths relative"
    ):
        inside(Path("/data/birds"), listed, "t")


@pytest.mark.parametrize(
    "listed", ["/content/drive/im/a.jpg", "../input/a.png", "D:\\birds\\a.jpg", "../a%2ejpg"]
)
def test_a_path_of_another_computer_says_what_is_here(tmp_path: Path, listed: str) -> None:
    (tmp_path / "im").mkdir()
    (tmp_path / "im" / "a.jpg").touch()
    with pytest.raises(LookcloserError, match=r"'im/a\.jpg' is there: list it so"):
        inside(tmp_path, listed, "t")


def test_missing_files_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    (tmp_path / "other.jpg").touch()
    (tmp_path / "2").mkdir()  # a folder is no image
    rows = [Row(f"line {n}", Sample(n, tmp_path / n)) for n in "1234"]
    with pytest.raises(LookcloserError) as caught:
        keep_present(rows, False, tmp_path)
    assert str(caught.value) == "line 2: '2' not found (3 of 4). --skip-missing drops them."
    samples, skipped = keep_present(rows, True, tmp_path)
    assert [sample.name for sample in samples] == ["1"]
    assert skipped == tuple((n, f"line {n}: not found") for n in "234")


def test_text_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_text(path) == "abc"
    assert read_text(path, limit=6) == "abc"
    with pytest.raises(LookcloserError, match=r"a\.txt: 6 bytes\. Allowed: at most 5"):
        read_text(path, limit=5)
    with pytest.raises(LookcloserError, match=r"b\.txt: cannot be read: No such file"):
        read_text(tmp_path / "b.txt")


def test_entities_in_annotations_are_refused_before_parsing(tmp_path: Path) -> None:
    # Each entity is ten of the one before: a few hundred bytes would become gigabytes.
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    path = tmp_path / "bomb.xml"
    path.write_text(f'<!DOCTYPE x [<!ENTITY e0 "lol">{entities}]><x>&e9;</x>')
    with pytest.raises(LookcloserError, match="document types and entities are not read"):
        read_xml_boxes(path)
    path.write_text('<?xml version="1.0"?><!-- a comment --><annotation/>')
    assert read_xml_boxes(path) == ()
