import os
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Sample
from lookcloser.data.readers.files import (
    Row,
    as_list,
    decode_text,
    inside,
    is_regular,
    keep_present,
    read_bytes,
    read_head,
    read_text,
    read_xml_boxes,
)


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


@pytest.mark.parametrize(
    ("content", "text", "guessed"),
    [
        (b"ab\r\nc\rd\n", "ab\nc\nd\n", False),
        ("ä".encode("utf-8-sig"), "ä", False),
        ("aä".encode("utf-16"), "aä", False),
        ("ab\r\nä".encode("utf-16-le"), "ab\nä", False),
        ("ab\r\nä".encode("utf-16-be"), "ab\nä", False),
        (b"M\xfcnchen \x80", "München €", True),
        ("ab\nä".encode("utf-32"), "ab\nä", False),
        (b"", "", False),
    ],
)
def test_text_of_every_usual_kind(content: bytes, text: str, guessed: bool) -> None:
    found, note = decode_text(content, Path("x/t.csv"))
    assert found == text
    assert (note is not None) is guessed
    assert note is None or note.startswith("t.csv: not UTF-8, read as Windows-1252")


@pytest.mark.parametrize(
    "content",
    [b"a\0b", b"a" * 200 + b"\0", b"\xff\xfe\0\0a\0", b"\xff\xd8\xff\xe0\x00\x10JFIF",
     b"\xff\xfe" + b"\xd8" * 3 + b"\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\x81"],
)  # fmt: skip
def test_what_is_no_text(content: bytes) -> None:
    with pytest.raises(LookcloserError, match=r"^x\.csv: not .*text.* Save it as UTF-8\.$"):
        decode_text(content, Path("x.csv"))


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("pipe", "link", "dangling", ".", "x\0y", "n" * 300):
        assert not is_regular(tmp_path / name)
        assert read_head(tmp_path / name) == b""
    with pytest.raises(LookcloserError, match="pipe: not an ordinary file"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(LookcloserError, match="not an ordinary file"):
        read_text(tmp_path)
    (tmp_path / "a").write_bytes(b"abc")
    assert is_regular(tmp_path / "a")
    assert (read_head(tmp_path / "a", 2), read_bytes(tmp_path / "a", 3)) == (b"ab", b"abc")
    (tmp_path / "a").write_bytes(b"ab\xff")
    with pytest.raises(LookcloserError, match=r"a: not UTF-8 text \(byte 2\)\. Save it as UTF-8"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["im/2.JPG"], "; 'im/2.JPG' is there."),
        (["im/3.jpg"], "."),
        ([], "; there are no images in {root}."),
    ],
)
def test_where_a_missing_file_may_be_is_said(tmp_path: Path, there: list[str], said: str) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = [Row("line 7", Sample(name, tmp_path / name)) for name in ("x/2.jpg", "x\0y")]
    with pytest.raises(LookcloserError) as caught:
        keep_present(rows, True, tmp_path)
    found = f"line 7: 'x/2.jpg' not found (2 of 2){said.format(root=tmp_path)}"
    assert str(caught.value) == found, "where nothing is there, skipping does not help"


@pytest.mark.parametrize(
    ("corners", "message"),
    [("<xmin>1</xmin>", "could not convert"), ("<xmin>inf</xmin>", "a corner is not finite")],
)
def test_corners_are_four_numbers(tmp_path: Path, corners: str, message: str) -> None:
    path, rest = tmp_path / "a.xml", "<ymin>2</ymin><xmax>3.5</xmax><ymax>4</ymax>"
    path.write_text(f"<a><bndbox><xmin>1</xmin>{rest}</bndbox><part/></a>")
    assert read_xml_boxes(path) == ((1.0, 2.0, 3.5, 4.0),)
    kept = rest if "inf" in corners else rest[:-14]
    path.write_text(f"<a><bndbox>{corners}{kept}</bndbox></a>")
    with pytest.raises(LookcloserError, match=rf"a\.xml: not an annotation with boxes: {message}"):
        read_xml_boxes(path)


@pytest.mark.parametrize(("value", "squeezed"), [([1], [1]), (7, [7]), ("ab", ["ab"]), ([], [])])
def test_a_list_that_matlab_squeezed_is_one_again(value: object, squeezed: list[object]) -> None:
    assert as_list(value) == squeezed
