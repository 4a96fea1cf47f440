from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data
from lookcloser.data.readers.tables import table as tables


@pytest.fixture
def table(write: Any) -> Any:
    """Write a table beside images im/0.jpg … im/4.jpg and return its path."""
    root = write(*(f"im/{i}.jpg" for i in range(5)))

    def make(*lines: str, name: str = "labels.csv") -> Path:
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return root / name

    return make


def read(path: Path, skip_missing: bool = False) -> Catalog:
    """As the reader gives it, before splits are made."""
    return tables.read(path, skip_missing)


def error_of(path: Path) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path)
    return str(caught.value)


def test_image_and_label(table: Any) -> None:
    path = table("image,label", "im/1.jpg,NA", "im/0.jpg,007", "./im/2.jpg, True ")
    catalog = read(path)
    assert [(s.name, s.source, s.labels, s.split) for s in catalog.samples] == [
        ("im/1.jpg", path.parent / "im/1.jpg", ("NA",), None),
        ("im/0.jpg", path.parent / "im/0.jpg", ("007",), None),
        ("im/2.jpg", path.parent / "im/2.jpg", ("True",), None),
    ]
    assert catalog.names == ("007", "NA", "True")
    assert (catalog.task, catalog.layout) == ("classification", "table")
    assert catalog.root == path.parent


@pytest.mark.parametrize("separator", [";", "|", " ; "])
def test_image_and_labels(table: Any, separator: str) -> None:
    catalog = read(
        table("image,labels", f"im/0.jpg,sky{separator}sea", "im/1.jpg,", "im/2.jpg,sea")
    )
    assert [s.labels for s in catalog.samples] == [("sky", "sea"), (), ("sea",)]
    assert catalog.task == "multilabel"
    assert catalog.names == ("sea", "sky")


def test_tags_are_another_word_for_labels(table: Any) -> None:
    catalog = read(table("image,tags,split", "im/0.jpg,sky;sea,train", "im/1.jpg,,test"))
    assert [s.labels for s in catalog.samples] == [("sky", "sea"), ()]
    assert catalog.task == "multilabel"
    assert tables.recognizes(catalog.root)


def test_tags_beside_labels_are_one_too_many(table: Any) -> None:
    assert "columns 'labels' and 'tags'" in error_of(table("image,labels,tags", "im/0.jpg,a,a"))


def test_image_and_caption(table: Any) -> None:
    lines = ('im/0.jpg,"a cat, and a dog"', "im/0.jpg,two animals", "im/1.jpg,the sea")
    catalog = read(table("image,caption", *lines))
    assert [s.captions for s in catalog.samples] == [
        ("a cat, and a dog", "two animals"),
        ("the sea",),
    ]
    assert (catalog.task, catalog.names) == ("captioning", ())


class TestBoxesOfWords:
    """A table beside the captions says where their words are."""

    def test_they_belong_to_their_image_and_word(self, table: Any) -> None:
        path = table("image,caption", "im/0.jpg,a cat on a cat", "im/1.jpg,the sea")
        table(
            "image,word,x0,y0,x1,y1", "im/0.jpg,cat,1,2,3,4", "im/0.jpg,cat,5,6,7.5,8",
            "im/1.jpg,sea,,,,", name="places.csv",
        )  # fmt: skip
        for catalog in (read(path), read(path.parent)):
            assert [sample.boxes for sample in catalog.samples] == [
                (("cat", (1.0, 2.0, 3.0, 4.0)), ("cat", (5.0, 6.0, 7.5, 8.0))),
                (),
            ]
            assert all(sample.labels == () for sample in catalog.samples)

    def test_other_tables_are_left_alone(self, table: Any) -> None:
        path = table("image,caption", "im/0.jpg,a cat")
        table("word,x0,y0,x1,y1", "cat,1,2,3,4", name="a.csv")
        table("image,word", "im/0.jpg,cat", name="b.csv")
        assert read(path).samples[0].boxes == ()

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("im/1.jpg,cat,1,2,3,4", "places.csv line 2: 'im/1.jpg' has no caption"),
            ("im/0.jpg,cat,3,2,1,4", "places.csv line 2: 3, 2, 1, 4 is not a box"),
            ("im/0.jpg,,1,2,3,4", "places.csv line 2: 'word' is empty"),
            (",cat,1,2,3,4", "places.csv line 2: 'image' is empty"),
        ],
    )
    def test_errors(self, table: Any, row: str, message: str) -> None:
        path = table("image,caption", "im/0.jpg,a cat")
        table("image,word,x0,y0,x1,y1", row, name="places.csv")
        assert message in error_of(path)


@pytest.mark.parametrize(
    ("name", "separator"), [("t.tsv", "\t"), ("t.csv", ";"), ("t.csv", "\t"), ("T.CSV", ",")]
)
def test_the_separator_is_taken_from_the_header(table: Any, name: str, separator: str) -> None:
    lines = [separator.join(cells) for cells in (("image", "label"), ("im/0.jpg", "a|b"))]
    assert read(table(*lines, name=name)).samples[0].labels == ("a|b",)


def test_header_in_capitals_byte_order_mark_blank_and_windows_lines(table: Any) -> None:
    path = table("")
    path.write_bytes("\ufeff Image ,LABEL\r\n\r\nim\\0.jpg,käfer\r\n,\r\n".encode())
    assert [(s.name, s.labels) for s in read(path).samples] == [("im/0.jpg", ("käfer",))]


def test_splits_of_the_table_are_kept(table: Any) -> None:
    path = table("image,label,split", "im/0.jpg,a,train", "im/1.jpg,a,Valid", "im/2.jpg,a,testing")
    assert [s.split for s in read_data(path).samples] == ["train", "val", "test"]


def test_boxes_belong_to_the_image_and_carry_its_label(table: Any) -> None:
    catalog = read(
        table(
            "image,label,x0,y0,x1,y1",
            "im/0.jpg,cat,0,1,5,4.5",
            "im/1.jpg,dog,,,,",
            "im/0.jpg,cat,2,2,3,3",
        )
    )
    boxes = (("cat", (0.0, 1.0, 5.0, 4.5)), ("cat", (2.0, 2.0, 3.0, 3.0)))
    assert [s.boxes for s in catalog.samples] == [boxes, ()]
    assert catalog.samples[0].labels == ("cat",)


def test_in_a_table_of_tags_each_row_labels_its_own_box(table: Any) -> None:
    catalog = read(
        table("image,labels,x0,y0,x1,y1", "im/0.jpg,cat,0,0,2,2", "im/0.jpg,dog;cat,1,1,3,3")
    )
    (sample,) = catalog.samples
    assert sample.labels == ("cat", "dog")
    assert sample.boxes == (("cat", (0.0, 0.0, 2.0, 2.0)), (None, (1.0, 1.0, 3.0, 3.0)))


def test_a_missing_image_is_named_with_its_line(table: Any) -> None:
    path = table("image,label", "im/0.jpg,a", "", "im/9.jpg,a", "im/1.jpg,b", "im/8.jpg,b")
    assert error_of(path) == (
        "labels.csv line 4: 'im/9.jpg' not found (2 of 4). --skip-missing drops them."
    )
    catalog = read_data(path, skip_missing=True)
    assert [s.name for s in catalog.samples] == ["im/0.jpg", "im/1.jpg"]
    assert catalog.skipped == (
        ("im/9.jpg", "labels.csv line 4: not found"),
        ("im/8.jpg", "labels.csv line 6: not found"),
    )


def test_names_of_classes_that_were_skipped_altogether_are_gone(table: Any) -> None:
    path = table("image,label", "im/0.jpg,a", "im/9.jpg,b")
    assert read_data(path, skip_missing=True).names == ("a",)


def test_a_line_number_counts_the_lines_of_a_quoted_cell(table: Any) -> None:
    path = table("image,caption", 'im/0.jpg,"two', 'lines"', "im/9.jpg,x")
    assert error_of(path).startswith("labels.csv line 4: 'im/9.jpg' not found (1 of 2)")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("image,width", "im/0.jpg,8"),
            "no column 'label', 'labels' (or 'tags') or 'caption'; columns found: ",
        ),
        (("place,label", "far/0.jpg,a"), "no column 'image'; columns found: place, label. A table"),
        (("image,label,caption", "im/0.jpg,a,b"), "columns 'label' and 'caption'; the task"),
        (("image,label,x0,y0", "im/0.jpg,a,1,2"), "a box needs columns x0, y0, x1, y1; columns"),
        (("image,label,Label", "im/0.jpg,a,b"), "column 'label' comes twice"),
        (("",), "the table is empty"),
        (("image,label", ",a"), "labels.csv line 2: 'image' is empty"),
        (("image,label", "im/0.jpg,"), "labels.csv line 2: 'label' is empty"),
        (("image,label", "im/0.jpg"), "labels.csv line 2: 'label' is empty"),
        (("image,caption", "im/0.jpg, "), "labels.csv line 2: 'caption' is empty"),
        (("image,label", "im/0.jpg,a,b"), "labels.csv line 2: 3 cells under 2 columns. Quote"),
        (("image,label", 'im/0.jpg,"a'), "labels.csv line 2: not a row: unexpected end of data"),
        (("image,label", '"im/0.jpg"x,a'), "labels.csv line 2: not a row: ',' expected after"),
        (
            ("image,label", "im/0.jpg,a", "im/1.jpg,b", "im/./0.jpg,b"),
            "labels.csv line 4: 'im/0.jpg' is 'b' here, 'a' at labels.csv line 2.",
        ),
        (
            ("image,label,split", "im/0.jpg,a,train", "im/0.jpg,a,test"),
            "labels.csv line 3: 'im/0.jpg' is in another split than at labels.csv line 2.",
        ),
        (
            ("image,label,split", "im/0.jpg,a,extra"),
            "line 2: 'extra' is not a split. Allowed: train",
        ),
        (
            ("image,label,split", "im/0.jpg,a,train", "im/1.jpg,a,"),
            "labels.csv line 3: 'split' is empty. Fill it in on every line.",
        ),
        (("image,label,x0,y0,x1,y1", "im/0.jpg,a,1,2,3,x"), "line 2: 1, 2, 3, x is not a box"),
        (("image,label,x0,y0,x1,y1", "im/0.jpg,a,1,2,,4"), "line 2: 1, 2, , 4 is not a box"),
        (("image,label,x0,y0,x1,y1", "im/0.jpg,a,3,2,3,4"), "numbers x0 < x1 and y0 < y1"),
        (("image,label,x0,y0,x1,y1", "im/0.jpg,a,0,0,1,nan"), "is not a box"),
        (("image,label,x0,y0,x1,y1", "im/0.jpg,a,0,0,inf,1"), "is not a box"),
        (("image,label",), "table without any image"),
    ],
)
def test_what_is_wrong_is_named(table: Any, lines: tuple[str, ...], message: str) -> None:
    assert message in error_of(table(*lines))


@pytest.mark.parametrize(
    "listed", ["../secret.jpg", "im/../../secret.jpg", "..\\secret.jpg", "/etc/passwd", "."]
)
def test_nothing_outside_of_the_data_is_read(table: Any, listed: str) -> None:
    path = table("image,label", "im/0.jpg,a", f"{listed},a")
    (path.parent.parent / "secret.jpg").touch()
    assert f"labels.csv line 3: '{listed}' is outside of {path.parent}" in error_of(path)


def test_absolute_paths_and_links_inside_of_the_data_are_fine(table: Any, tmp_path: Path) -> None:
    path = table("image,label", f"{tmp_path}/im/0.jpg,a", "linked/1.jpg,b")
    (tmp_path / "linked").symlink_to(tmp_path / "im")
    assert [s.name for s in read(path).samples] == ["im/0.jpg", "linked/1.jpg"]


def test_a_relative_root_has_absolute_paths_inside_too(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table("image,label", f"{tmp_path}/im/0.jpg,a")
    monkeypatch.chdir(tmp_path)
    (sample,) = read(Path("labels.csv")).samples
    assert (sample.name, sample.source) == ("im/0.jpg", Path("im/0.jpg"))


def test_a_folder_is_read_by_its_only_table(table: Any) -> None:
    path = table("image,labels", "im/0.jpg,a;b")
    (path.parent / "other.csv").write_text("id,score\n1,2\n")
    (path.parent / "sizes.csv").write_text("image,width\nim/0.jpg,8\n")
    assert read_data(path.parent).task == "multilabel"


def test_of_two_tables_one_must_be_given(table: Any) -> None:
    path = table("image,label", "im/0.jpg,a", name="a.csv")
    table("image,label", "im/0.jpg,a", name="b.tsv")
    assert "several tables of images (a.csv, b.tsv). Give one of them." in error_of(path.parent)


def test_a_folder_whose_table_lacks_the_answer_names_the_columns(table: Any) -> None:
    path = table("image,width", "0.jpg,8")
    for image in (path.parent / "im").iterdir():
        image.rename(path.parent / image.name)
    message = error_of(path.parent)
    assert "columns found: image, width" in message
    assert message.endswith("Say which it is, such as --columns label=width.")


@pytest.mark.parametrize("text", [b"image,label\nim/0.jpg,K\x01\xe4fer\n", b"\x00\xff\xfe"])
def test_what_is_no_text_is_named(table: Any, text: bytes) -> None:
    path = table("")
    path.write_bytes(text)
    assert f"{path}: not UTF-8 text" in error_of(path)


class TestBesideClassFolders:
    def test_a_table_that_covers_the_images_gives_boxes(self, write: Any) -> None:
        root = write("train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg")
        rows = ("train/a/1.jpg,a,train", "train/b/1.jpg,b,train", "test/a/2.jpg,a,test")
        text = "".join(f"{row},0,0,4,4\n" for row in rows)
        (root / "boxes.csv").write_text("image,label,split,x0,y0,x1,y1\n" + text)
        catalog = read_data(root)
        assert catalog.layout == "table"
        assert all(s.boxes == ((s.labels[0], (0.0, 0.0, 4.0, 4.0)),) for s in catalog.samples)

    def test_a_table_of_some_images_adds_its_boxes_to_the_folders(self, write: Any) -> None:
        root = write("a/1.jpg", "a/2.jpg", "b/1.jpg")
        (root / "boxes.csv").write_text("image,label,x0,y0,x1,y1\na/2.jpg,a,1,1,4,4\n")
        catalog = read_data(root)
        assert catalog.layout == "class folders"
        assert {s.name: s.boxes for s in catalog.samples} == {
            "a/1.jpg": (),
            "a/2.jpg": (("a", (1.0, 1.0, 4.0, 4.0)),),
            "b/1.jpg": (),
        }
        assert catalog.notes[0].startswith("boxes.csv lists 1 of 3 images")

    def test_a_table_that_says_something_else_is_believed(self, write: Any) -> None:
        # Folders by photographer; the table knows the birds.
        root = write("anna/1.jpg", "anna/2.jpg", "ben/1.jpg")
        (root / "birds.csv").write_text("image,label\nanna/1.jpg,wren\nben/1.jpg,owl\n")
        assert read_data(root).names == ("owl", "wren")

    def test_a_table_of_captions_is_believed(self, write: Any) -> None:
        root = write("a/1.jpg", "b/1.jpg")
        (root / "captions.csv").write_text("image,caption\na/1.jpg,a wren\n")
        assert read_data(root).task == "captioning"

    def test_a_table_without_an_answer_is_none(self, write: Any) -> None:
        root = write("a/1.jpg", "b/1.jpg")
        (root / "sizes.csv").write_text("image,width\na/1.jpg,8\n")
        assert read_data(root).layout == "class folders"

    def test_several_tables_decide_nothing(self, write: Any) -> None:
        root = write("a/1.jpg", "b/1.jpg")
        for name in ("train.csv", "test.csv"):
            (root / name).write_text("image,label\na/1.jpg,a\n")
        assert read_data(root).layout == "class folders"


def test_a_folder_without_a_table_and_tables_of_other_answers(write: Any) -> None:
    root = write("0.jpg", "1.jpg")
    with pytest.raises(LookcloserError, match=f"{root}: no table in this folder"):
        tables.read(root, skip_missing=False)
    (root / "train.csv").write_text("image,label\n0.jpg,a\n")
    (root / "test.csv").write_text("image,caption\n1.jpg,a dog\n")
    with pytest.raises(LookcloserError, match="tables test.csv, train.csv have different columns"):
        tables.read(root, skip_missing=False)
