"""Tables as people have them: other names of columns, one column a class, a table a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data import Catalog, parse_columns, read_data


@pytest.fixture
def table(write: Any) -> Any:
    """Write a table beside images 0.jpg … 5.jpg of 40 × 30 pixels; returns its folder."""
    root = write(*(f"{i}.jpg" for i in range(6)), size=(40, 30))

    def make(*lines: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("\n".join(lines) + "\n", encoding=encoding)
        return root

    return make


def labels(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {sample.name: sample.labels for sample in catalog.samples}


def error_of(path: Path, **options: Any) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path, **options)
    return str(caught.value)


class TestNamesOfColumns:
    @pytest.mark.parametrize(
        "header",
        ["filename,class", "file_name,species", "Image Path,Category", "image_id,breed", "id,dx"],
    )
    def test_usual_names_are_understood_and_said(self, table: Any, header: str) -> None:
        catalog = read_data(table(header, "0.jpg,owl", "1.jpg,wren", "2.jpg,owl"))
        assert labels(catalog) == {"0.jpg": ("owl",), "1.jpg": ("wren",), "2.jpg": ("owl",)}
        image, label = header.lower().split(",")
        assert f"'{image}' is the image, '{label}' is the label" in catalog.notes[0]

    def test_the_user_is_believed_over_names(self, table: Any) -> None:
        root = table("image,label,bird", "0.jpg,A,owl", "1.jpg,B,wren")
        assert read_data(root).names == ("A", "B")
        catalog = read_data(root, columns={"label": "Bird"})
        assert catalog.names == ("owl", "wren")
        assert any("columns not read: 'label'" in note for note in catalog.notes)

    def test_roles_and_columns_that_are_not_there(self, table: Any) -> None:
        root = table("image,label", "0.jpg,a", "1.jpg,b")
        with pytest.raises(UsageError, match="color: unknown role of a column. Allowed: image"):
            read_data(root, columns={"color": "label"})
        with pytest.raises(UsageError, match="no column 'kind'. There are: image, label"):
            read_data(root, columns={"label": "kind"})

    def test_the_option_of_the_command_line(self) -> None:
        assert parse_columns("image=file name, label=kind") == {
            "image": "file name",
            "label": "kind",
        }
        for text in ("", "image", "image=", "=a"):
            with pytest.raises(UsageError, match="not columns of a table"):
                parse_columns(text)

    def test_of_a_number_and_a_name_that_say_the_same_the_name_is_taken(self, table: Any) -> None:
        root = table("image,class_id,class_name", "0.jpg,0,owl", "1.jpg,1,wren", "2.jpg,0,owl")
        assert read_data(root).names == ("owl", "wren")

    def test_two_that_differ_are_refused(self, table: Any) -> None:
        root = table("image,species,category", "0.jpg,owl,a", "1.jpg,wren,a")
        assert "columns 'category', 'species' may be the label, and differ" in error_of(root)

    def test_labels_beside_captions_are_refused(self, table: Any) -> None:
        message = error_of(table("image,species,text", "0.jpg,owl,an owl", "1.jpg,wren,a wren"))
        assert "--columns label=species or --columns caption=text" in message

    def test_columns_that_are_not_read_are_said(self, table: Any) -> None:
        catalog = read_data(table("image,label,fold", "0.jpg,a,1", "1.jpg,b,2"))
        assert "labels.csv: columns not read: 'fold'" in catalog.notes

    def test_a_split_under_another_name(self, table: Any) -> None:
        catalog = read_data(table("image,label,Set", "0.jpg,a,train", "1.jpg,b,test"))
        assert [sample.split for sample in catalog.samples] == ["train", "test"]
        assert "labels.csv: 'set' is the split" in catalog.notes

    def test_a_form_for_answers_is_no_table(self, table: Any) -> None:
        root = table("image,label", "0.jpg,a", "1.jpg,b")
        table("image,label", "2.jpg,a", name="sample_submission.csv")
        assert set(labels(read_data(root))) == {"0.jpg", "1.jpg"}


class TestOneColumnAClass:
    def test_one_class_an_image(self, table: Any) -> None:
        catalog = read_data(table("image,MEL,NV", "0.jpg,1.0,0.0", "1.jpg,0.0,1.0"))
        assert (catalog.task, catalog.names) == ("classification", ("MEL", "NV"))
        assert labels(catalog) == {"0.jpg": ("MEL",), "1.jpg": ("NV",)}

    def test_several_are_tags(self, table: Any) -> None:
        catalog = read_data(table("image_id, Bald, Smiling", "0.jpg, -1, 1", "1.jpg, 1, 1"))
        assert catalog.task == "multilabel"
        assert labels(catalog) == {"0.jpg": ("Smiling",), "1.jpg": ("Bald", "Smiling")}

    def test_any_other_number_is_none(self, table: Any) -> None:
        message = error_of(table("image,age,smokes", "0.jpg,40,1", "1.jpg,50,0"))
        assert "no column 'label'" in message

    def test_minus_one_beside_zero_is_refused(self, table: Any) -> None:
        message = error_of(table("image,edema,fracture", "0.jpg,-1,1", "1.jpg,0,1"))
        assert "-1 may mean 'not known'" in message

    def test_a_table_without_a_header_is_told_apart(self, table: Any) -> None:
        message = error_of(table("0.jpg,owl", "1.jpg,wren"))
        assert "first line is no header but an image (0.jpg, owl)" in message
        assert "Write a line of names above it in labels.csv, such as image,label" in message

    def test_one_column_is_not_enough(self, table: Any) -> None:
        message = error_of(table("image,has_cactus", "0.jpg,1", "1.jpg,0"))
        assert message.endswith("--columns label=has_cactus.")


class TestBoxes:
    @pytest.mark.parametrize(
        ("header", "cells"),
        [
            ("xmin,ymin,xmax,ymax", "2,3,12,23"),
            ("x_min,y_min,x_max,y_max", "2,3,12,23"),
            ("x1,y1,x2,y2", "2,3,12,23"),
            ("left,top,right,bottom", "2,3,12,23"),
            ("x,y,w,h", "2,3,10,20"),
            ("bbox_x,bbox_y,bbox_width,bbox_height", "2,3,10,20"),
            ("bbox", '"[2, 3, 10, 20]"'),
        ],
    )
    def test_usual_names(self, table: Any, header: str, cells: str) -> None:
        catalog = read_data(table(f"image,label,{header}", f"0.jpg,a,{cells}", "1.jpg,b"))
        assert catalog.samples[0].boxes == (("a", (2.0, 3.0, 12.0, 23.0)),)
        assert any("are boxes" in note for note in catalog.notes)

    def test_sizes_of_images_beside_corners_are_no_boxes(self, table: Any) -> None:
        header = "filename,width,height,class,xmin,ymin,xmax,ymax"
        catalog = read_data(table(header, "0.jpg,40,30,a,2,3,12,23", "1.jpg,40,30,b,1,1,5,5"))
        assert catalog.samples[0].boxes == (("a", (2.0, 3.0, 12.0, 23.0)),)

    def test_corners_in_one_column_are_known_by_the_size_of_the_image(self, table: Any) -> None:
        root = table("image,label,bbox", '0.jpg,a,"[5, 5, 38, 29]"', '1.jpg,b,"[1, 1, 9, 9]"')
        catalog = read_data(root)
        assert catalog.samples[0].boxes == (("a", (5.0, 5.0, 38.0, 29.0)),)
        assert "'bbox' is read as x0, y0, x1, y1" in catalog.notes

    def test_neither_is_refused(self, table: Any) -> None:
        root = table("image,label,bbox", '0.jpg,a,"[30, 5, 20, 9]"', '1.jpg,b,"[1, 1, 9, 9]"')
        assert "neither x0, y0, x1, y1 nor x, y, width, height" in error_of(root)

    def test_several_in_one_cell_and_none(self, table: Any) -> None:
        root = table("image,label,bbox", '0.jpg,a,"[[9, 2, 3, 4], [5, 6, 7, 8]]"', "1.jpg,b,[]")
        boxes = [sample.boxes for sample in read_data(root).samples]
        assert boxes == [(("a", (9.0, 2.0, 12.0, 6.0)), ("a", (5.0, 6.0, 12.0, 14.0))), ()]

    def test_shares_of_the_image_are_said(self, table: Any) -> None:
        root = table("image,label,xmin,ymin,xmax,ymax", "0.jpg,a,.1,.1,.5,.5", "1.jpg,b,0,0,1,1")
        catalog = read_data(root)
        assert all(sample.boxes == () for sample in catalog.samples)
        assert any("shares of the image" in note for note in catalog.notes)

    def test_objects_of_several_classes_are_tags(self, table: Any) -> None:
        header = "filename,class,xmin,ymin,xmax,ymax"
        catalog = read_data(
            table(header, "0.jpg,a,2,3,12,23", "0.jpg,b,1,1,5,5", "1.jpg,a,1,1,2,2")
        )
        assert catalog.task == "multilabel"
        assert labels(catalog)["0.jpg"] == ("a", "b")
        assert [label for label, _ in catalog.samples[0].boxes] == ["a", "b"]


class TestTags:
    @pytest.mark.parametrize(
        "cells",
        [
            ("sky;sea", "sea"),
            ("sky|sea", "sea"),
            ('"sky, sea"', "sea"),
            ("\"['sky', 'sea']\"", "['sea']"),
            ('"[""sky"", ""sea""]"', "[]"),
            ("sky sea", "sea"),
        ],
    )
    def test_usual_separators(self, table: Any, cells: tuple[str, str]) -> None:
        catalog = read_data(table("image,tags", f"0.jpg,{cells[0]}", f"1.jpg,{cells[1]}"))
        assert labels(catalog)["0.jpg"] == ("sky", "sea")

    def test_words_of_one_tag_stay_together(self, table: Any) -> None:
        catalog = read_data(table("image,tags", "0.jpg,golden retriever", "1.jpg,cat"))
        assert catalog.names == ("cat", "golden retriever")

    def test_a_separator_in_one_class_is_said(self, table: Any) -> None:
        catalog = read_data(table("image,label", "0.jpg,a;b", "1.jpg,b"))
        assert catalog.task == "classification"
        assert "'a;b' is one class; tags stand under 'labels'" in catalog.notes


class TestWhereImagesAre:
    def test_in_a_folder_below(self, write: Any) -> None:
        root = write("images/0.jpg", "images/1.jpg")
        (root / "t.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n")
        catalog = read_data(root)
        assert labels(catalog) == {"images/0.jpg": ("a",), "images/1.jpg": ("b",)}
        assert "2 names looked up: '0.jpg' is 'images/0.jpg'" in catalog.notes

    @pytest.mark.parametrize("names", [("0", "1"), ("0.JPG", "1.JPG"), ("0.jpg", "1.jpg")])
    def test_without_ending_or_in_another_case(self, write: Any, names: tuple[str, ...]) -> None:
        root = write("0.jpg", "1.jpg")
        (root / "t.csv").write_text(f"image,label\n{names[0]},a\n{names[1]},b\n")
        assert labels(read_data(root)) == {"0.jpg": ("a",), "1.jpg": ("b",)}

    def test_decomposed_accents(self, write: Any) -> None:
        root = write("Ka\u0308fer.jpg", "K\u00e4fer2.jpg")
        (root / "t.csv").write_text("image,label\nK\u00e4fer.jpg,a\nKa\u0308fer2.jpg,b\n", "utf-8")
        assert [sample.source.name for sample in read_data(root).samples] == [
            "Ka\u0308fer.jpg",
            "K\u00e4fer2.jpg",
        ]

    def test_in_several_folders(self, write: Any) -> None:
        root = write("part_1/a.jpg", "part_2/b.jpg")
        (root / "t.csv").write_text("image_id,dx\na,nv\nb,mel\n")
        assert labels(read_data(root)) == {"part_1/a.jpg": ("nv",), "part_2/b.jpg": ("mel",)}

    def test_a_name_that_may_be_two_images_is_refused(self, write: Any) -> None:
        root = write("day/0.jpg", "night/0.jpg", "day/1.jpg", "night/1.jpg")
        (root / "t.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n")
        assert "'0.jpg' may be 'day/0.jpg', 'night/0.jpg'" in error_of(root / "t.csv")

    def test_the_split_decides_between_two(self, write: Any) -> None:
        root = write(*(f"{part}_images/{i}.jpg" for part in ("train", "test") for i in range(4)))
        (root / "train.csv").write_text("image_id,label\n0.jpg,a\n1.jpg,b\n2.jpg,a\n3.jpg,b\n")
        assert all(name.startswith("train_images/") for name in labels(read_data(root)))

    def test_all_missing_is_told_even_if_missing_ones_are_skipped(self, write: Any) -> None:
        root = write("images/0.png")
        (root / "t.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n")
        expected = "t.csv line 2: '0.jpg' not found (2 of 2); 'images/0.png' is there."
        assert error_of(root, skip_missing=True) == expected

    @pytest.mark.parametrize(
        ("listed", "message"),
        [
            ("https://x.org/0.jpg", "is a URL, and nothing is downloaded"),
            ("C:\\\\data\\\\0.jpg", "a path of another computer"),
            ("D:/0.jpg", "'0.jpg' is there: list it so"),
        ],
    )
    def test_places_elsewhere(self, table: Any, listed: str, message: str) -> None:
        assert message in error_of(table("image,label", f"{listed},a"))


class TestForms:
    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-8-sig", "cp1252"])
    def test_encodings(self, table: Any, encoding: str) -> None:
        root = table("image,label", "0.jpg,grün", "1.jpg,rot", encoding=encoding)
        catalog = read_data(root)
        assert catalog.names == ("grün", "rot")
        guessed = any("Windows-1252" in note for note in catalog.notes)
        assert guessed is (encoding in {"latin-1", "cp1252"})

    def test_json_lines(self, table: Any) -> None:
        rows = [{"file_name": "0.jpg", "label": 7}, {"file_name": "1.jpg", "label": "b"}]
        catalog = read_data(table(*map(json.dumps, rows), name="metadata.jsonl"))
        assert labels(catalog) == {"0.jpg": ("7",), "1.jpg": ("b",)}

    @pytest.mark.parametrize("line", ["{", "[1]", '"text"', "[" * 100_000])
    def test_json_lines_that_are_none(self, table: Any, line: str) -> None:
        root = table('{"image": "0.jpg", "label": "a"}', line, name="m.jsonl")
        assert "m.jsonl line 2: not" in error_of(root / "m.jsonl")

    def test_a_spreadsheet(self, table: Any) -> None:
        openpyxl = pytest.importorskip("openpyxl")
        root, book = table(name="x.txt"), openpyxl.Workbook()
        for row in (("image", "label"), ("0.jpg", 7.0), ("1.jpg", "b"), (None, None)):
            book.active.append(row)
        book.save(root / "t.xlsx")
        assert labels(read_data(root)) == {"0.jpg": ("7",), "1.jpg": ("b",)}
        (root / "t.xlsx").write_bytes((root / "t.xlsx").read_bytes()[:200])
        assert "not a spreadsheet that can be read" in error_of(root / "t.xlsx")


class TestATableASplit:
    def test_beside_each_other(self, write: Any) -> None:
        root = write(*(f"{part}/{i}.jpg" for part in ("train", "test") for i in range(4)))
        for part in ("train", "test"):
            rows = "".join(f"{part}/{i}.jpg,{i % 2}\n" for i in range(4))
            (root / f"{part}.csv").write_text(f"image,label\n{rows}")
        catalog = read_data(root)
        assert len(catalog.samples) == 8
        assert all(sample.name.startswith(f"{sample.split}/") or sample.split == "val"
                   for sample in catalog.samples)  # fmt: skip

    @pytest.mark.parametrize("name", ["metadata.csv", "_classes.csv", "metadata.jsonl"])
    def test_in_the_folder_of_each(self, write: Any, name: str) -> None:
        root = write(*(f"{part}/{i}.jpg" for part in ("train", "valid") for i in range(4)))
        for part in ("train", "valid"):
            if name == "metadata.jsonl":
                rows = [
                    json.dumps({"file_name": f"{i}.jpg", "label": "ab"[i % 2]}) for i in range(4)
                ]
            elif name == "metadata.csv":
                rows = ["file_name,label", *(f"{i}.jpg,{'ab'[i % 2]}" for i in range(4))]
            else:
                rows = ["filename, a, b", *(f"{i}.jpg, {1 - i % 2}, {i % 2}" for i in range(4))]
            (root / part / name).write_text("\n".join(rows))
        catalog = read_data(root)
        assert (catalog.task, catalog.names) == ("classification", ("a", "b"))
        assert labels(catalog)["valid/1.jpg"] == ("b",)
        assert {s.split for s in catalog.samples if s.name.startswith("valid/")} == {"val"}

    def test_a_test_table_without_answers_is_left_out(self, write: Any) -> None:
        root = write(*(f"im/{i}.jpg" for i in range(6)))
        (root / "train.csv").write_text("id,breed\n0,a\n1,b\n2,a\n3,b\n")
        (root / "test.csv").write_text("id\n4\n5\n")
        assert set(labels(read_data(root))) == {f"im/{i}.jpg" for i in range(4)}

    def test_an_image_in_two_splits_is_refused(self, write: Any) -> None:
        root = write("0.jpg", "1.jpg")
        for part in ("train", "test"):
            (root / f"{part}.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n")
        message = error_of(root)
        assert message.startswith("train.csv line 2: '0.jpg' is in another split than at test.csv")


class TestWhatElseMaySeparateTags:
    @pytest.mark.parametrize("mark", ["/", " / ", "+", " & ", "\t", " "])
    def test_it_does_where_parts_stand_alone_in_other_cells(self, table: Any, mark: str) -> None:
        cells = [f"0.jpg|cat{mark}dog", "1.jpg|cat", f"2.jpg|dog{mark}sun", "3.jpg|dog"]
        root = table("image,labels", *(cell.replace("|", ',"') + '"' for cell in cells))
        catalog = read_data(root)
        assert catalog.names == ("cat", "dog", "sun")
        assert labels(catalog)["2.jpg"] == ("dog", "sun")
        assert any(note.startswith("Tags are separated by") for note in catalog.notes)

    @pytest.mark.parametrize("name", ["either/or", "C++", "salt & pepper"])
    def test_it_is_a_part_of_names_else(self, table: Any, name: str) -> None:
        root = table("image,labels", f"0.jpg,{name}", "1.jpg,sun", "2.jpg,moon", "3.jpg,sun")
        assert set(read_data(root).names) == {name, "sun", "moon"}


class TestClassesBesideOtherColumns:
    def test_one_class_an_image_beside_numbers(self, table: Any) -> None:
        root = table("id,width,fold,cat,dog", "0,40,1,1,0", "1,40,2,0,1", "2,40,1,1,0")
        catalog = read_data(root)
        assert (catalog.task, catalog.names) == ("classification", ("cat", "dog"))
        assert any("columns not read: 'width', 'fold'" in note for note in catalog.notes)

    def test_many_tags_beside_one_number(self, table: Any) -> None:
        root = table("id,age,a,b,c", "0,40,1,1,0", "1,41,0,1,0", "2,42,0,0,1")
        catalog = read_data(root)
        assert (catalog.task, catalog.names) == ("multilabel", ("a", "b", "c"))

    @pytest.mark.parametrize(
        "lines",
        [
            ("id,kind,dark,big", "0,owl,1,0", "1,wren,0,1", "2,owl,1,0"),
            ("id,age,weight,dark,big", "0,4,9,1,1", "1,5,8,0,1", "2,6,7,0,0"),
        ],
        ids=["beside words", "a few among many"],
    )
    def test_a_few_yes_and_no_alone_may_be_about_anything(self, table: Any, lines: Any) -> None:
        assert "a table without known columns" in error_of(table(*lines))

    def test_yes_and_no(self, table: Any) -> None:
        root = table("file,cat,dog", "0.jpg,Yes,no", "1.jpg,No,yes", "2.jpg,yes,no")
        assert labels(read_data(root)) == {"0.jpg": ("cat",), "1.jpg": ("dog",), "2.jpg": ("cat",)}


def test_a_list_without_a_header_is_named(table: Any) -> None:
    root = table("0.jpg 3", "1.jpg 4", name="train.txt")
    said = error_of(root)
    assert "a list of images without a header (train.txt: '0.jpg 3')" in said
    assert "train.csv with a first line image,label" in said


def test_an_index_column_of_pandas_says_nothing(table: Any) -> None:
    catalog = read_data(table(",image,label", "0,0.jpg,a", "1,1.jpg,b"))
    assert labels(catalog) == {"0.jpg": ("a",), "1.jpg": ("b",)}


def test_lists_of_tags_in_json_lines_keep_what_separates_elsewhere(table: Any) -> None:
    rows = [{"file_name": "0.jpg", "tags": ["a;b", "c, d"]}, {"file_name": "1.jpg", "tags": []}]
    catalog = read_data(table(*map(json.dumps, rows), name="metadata.jsonl"))
    assert labels(catalog) == {"0.jpg": ("a;b", "c, d"), "1.jpg": ()}
