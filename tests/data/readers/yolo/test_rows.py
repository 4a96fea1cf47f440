"""Lines of a label file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers.yolo import rows
from lookcloser.data.readers.yolo.rows import RowFindings, is_row, read_rows

KNOWN = {0: "cat", 1: "dog", 2: "owl"}
BOX = "0 0.5 0.5 0.2 0.4"
CORNERS = pytest.approx((0.4, 0.3, 0.6, 0.7))


def read(
    folder: Path, content: str | bytes, key_points: int = 0, findings: RowFindings | None = None
) -> list[rows.Thing]:
    path = folder / "1.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_rows(path, "labels/1.txt", KNOWN, key_points, findings or RowFindings())


@pytest.mark.parametrize(
    "content",
    [
        BOX,
        f"{BOX}\r\n",
        f"\n  \n{BOX.replace(' ', chr(9))}\t\n\n",
        f"\ufeff{BOX}\r",
        f"{BOX}\n".encode("utf-16"),
        "0.0 5e-1 .5 +0.2 0.40",
    ],
    ids=["plain", "CRLF", "tabs", "mark", "UTF-16", "numbers"],
)
def test_a_box_is_center_and_size(tmp_path: Path, content: str | bytes) -> None:
    ((number, box),) = read(tmp_path, content)
    assert (number, box) == (0, CORNERS)


@pytest.mark.parametrize(
    ("line", "corners"),
    [
        # An outline, and four corners of an oriented box.
        ("1 0.1 0.2 0.5 0.3 0.3 0.9", (0.1, 0.2, 0.5, 0.9)),
        ("1 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5", (0.1, 0.1, 0.9, 0.9)),
    ],
)
def test_the_box_around_corners(tmp_path: Path, line: str, corners: rows.Box) -> None:
    assert read(tmp_path, line) == [(1, corners)]


def test_boxes_between_outlines_stay_boxes(tmp_path: Path) -> None:
    things = read(tmp_path, f"1 0.1 0.2 0.5 0.3 0.3 0.9\n{BOX}")
    assert things[1] == (0, CORNERS)


@pytest.mark.parametrize(("size", "points"), [(2, "0.1 0.1 0 0"), (3, "0.1 0.1 2 0 0 0")])
def test_of_key_points_the_box_before_them_is_taken(tmp_path: Path, size: int, points: str) -> None:
    things = read(tmp_path, f"{BOX} {points}\n2 0.5 0.5 0.2 0.4", key_points=2 * size)
    assert things == [(0, CORNERS), (2, CORNERS)]


def test_what_reaches_outside_is_cut(tmp_path: Path) -> None:
    findings = RowFindings()
    things = read(tmp_path, "0 0.1 0.5 0.4 1.0\n1 1.005 -0.005 0.5 0.5", findings=findings)
    assert things == [
        (0, pytest.approx((0.0, 0.0, 0.3, 1.0))), (1, pytest.approx((0.755, 0.0, 1.0, 0.245)))
    ]  # fmt: skip
    assert list(findings.notes()) == ["2 boxes partly outside of the image, cut at its edge"]


def test_rounding_is_not_told(tmp_path: Path) -> None:
    findings = RowFindings()
    ((_, box),) = read(tmp_path, "0 0.333333 0.5 0.666667 1.000000", findings=findings)
    assert box == pytest.approx((0.0, 0.0, 0.6666665, 1.0))
    assert box[0] >= 0
    assert not list(findings.notes())


def test_what_is_odd_is_counted(tmp_path: Path) -> None:
    findings = RowFindings()
    content = f"{BOX}\n0  0.50 0.5 0.2 0.4\n1 0.5 0.5 0.2 0.4\n2 0.5 0.5 0 0.4\n2 0.5 0.5 0.1 -0.01"
    things = read(tmp_path, content, findings=findings)
    assert things == [(0, CORNERS), (1, CORNERS), (2, None)]
    assert list(findings.notes()) == [
        "2 objects with a box without area: the tag is kept",
        "1 repeated row left out",
    ]


SHARE = r"0 to 1: pixels over the width or height of the image"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 .5 .5 .2 .4", r"line 2: '3' is not the number of a class\. Allowed: 0 to 2\. Add"),
        ("-1 .5 .5 .2 .4", "line 2: '-1' is not the number"),
        ("1.5 .5 .5 .2 .4", "line 2: '1.5' is not the number"),
        ("nan .5 .5 .2 .4", "line 2: 'nan' is not the number"),
        ("1e999 .5 .5 .2 .4", "line 2: '1e999' is not the number"),
        ("1_0 .5 .5 .2 .4", "line 2: '1_0' is not the number"),
        ("cat .5 .5 .2 .4", "line 2: 'cat' is not the number"),
        (f"{'9' * 5000} .5 .5 .2 .4", f"line 2: '{'9' * 60}' is not the number"),
        ("0 .5 .5 .2 nan", f"line 2: 'nan' is not a share of the image. Allowed: {SHARE}"),
        ("0 .5 inf .2 .4", "line 2: 'inf' is not a share"),
        ("0 320 240 64 96", f"line 2: '320' is not a share of the image. Allowed: {SHARE}"),
        ("0 .5 .5 1.02 .4", "line 2: '1.02' is not a share"),
        ("0 .5 -.02 .2 .4", "line 2: '-.02' is not a share"),
        ("0 .5,.5,.2,.4 1 1 1", "line 2: '.5,.5,.2,.4' is not a share"),
        ("0", "line 2: 0 numbers behind the class. Allowed: 4"),
        ("0 .5 .5 .2", "line 2: 3 numbers behind the class. Allowed: 4 .a box., or 6 and more"),
        ("0 .5 .5 .2 .4 .9", "line 2: 5 numbers"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "line 2: 7 numbers .*key points need kpt_shape in data.yaml"),
        ("\x1b[31m .5 .5 .2 .4", r"line 2: '\\x1b\[31m' is not the number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(LookcloserError, match=f"^[Ll]abels/1.txt {message}"):
        read(tmp_path, f"{BOX}\n{line}\n")


def test_key_points_have_one_length(tmp_path: Path) -> None:
    with pytest.raises(
        LookcloserError, match=r"6 numbers.*Allowed: 4 \(a box\), or 10 \(a box and"
    ):
        read(tmp_path, f"{BOX} 0.1 0.1", key_points=6)


def test_numbers_with_gaps(tmp_path: Path) -> None:
    path = tmp_path / "1.txt"
    path.write_text("4 .5 .5 .2 .4")
    with pytest.raises(LookcloserError, match="'4' is not .* Allowed: those with a name"):
        read_rows(path, "1.txt", {3: "a", 5: "b"}, 0, RowFindings())


def test_files_are_bounded_and_ordinary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_MOST_BYTES", 10)
    with pytest.raises(LookcloserError, match=r"1\.txt: 17 bytes\. Allowed: at most 10"):
        read(tmp_path, BOX)
    for kind, made in (("a folder", Path.mkdir), ("a link", lambda p: p.symlink_to("gone"))):
        path = tmp_path / kind
        made(path)
        with pytest.raises(LookcloserError):
            read_rows(path, "x", KNOWN, 0, RowFindings())
    with pytest.raises(LookcloserError, match="not UTF-8 text|not text"):
        read(tmp_path, b"\x00\x01\x9d")


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (b"0 .5 .5 .2 .4", True),
        (b"\xef\xbb\xbf\r\n\n12 0.5\t0.5 0.2 0.4 0.1 0.", True),
        (b"0 320 240 64 96", True),
        (BOX.encode("utf-16"), True),
        (b"", False),
        (b"0 .5 .5 .2", False),
        (b"0.5 .5 .5 .2 .4", False),
        (b"cat .5 .5 .2 .4", False),
        (b"images/1.jpg 1 2 3 4", False),
        (b"inf 1 2 3 4", False),
        (b"\xff\xfe\x00", False),
    ],
)
def test_rows_are_told_from_other_text(head: bytes, row: bool) -> None:
    assert is_row(head) is row
