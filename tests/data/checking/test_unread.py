import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from lookcloser.cli.data import app
from lookcloser.data import check_data, read_data


def problems(root: Path) -> list[str]:
    return [problem.text for problem in check_data(read_data(root)).problems]


@pytest.fixture
def classes(write: Any) -> Path:
    root: Path = write(*(f"{c}/{i}.jpg" for c in ("cat", "dog") for i in range(10)))
    return root


def test_files_of_other_kinds_and_folders_without_images(classes: Path) -> None:
    for folder in ("fox", "cat"):
        (classes / folder).mkdir(exist_ok=True)
        for i in range(3):
            (classes / folder / f"{i}.tga").write_bytes(b"x")
    (classes / "empty").mkdir()
    found = problems(classes)
    assert "6 files that are no image this program reads (.tga)." in found
    assert "2 folders without images: 'empty', 'fox'." in found


def test_a_single_file_of_another_kind(classes: Path) -> None:
    (classes / "cat" / "x.cr2").write_bytes(b"x")
    assert problems(classes) == ["1 file that is no image this program reads (.cr2)."]


def test_tables_and_lists_that_stand_beside(classes: Path) -> None:
    (classes / "extra.csv").write_text("place,height\nx,1\n")
    (classes / "README.md").write_text("x")
    assert problems(classes) == ["extra.csv (columns place, height) is not read."]


def test_images_that_no_table_lists(write: Any) -> None:
    root = write(*(f"im/{i}.jpg" for i in range(6)))
    (root / "t.csv").write_text("image,label\nim/0.jpg,a\nim/1.jpg,b\nim/2.jpg,a\nim/3.jpg,b\n")
    assert any(
        "2 images ('im/4.jpg', 'im/5.jpg') not in the data set" in text for text in problems(root)
    )


def test_images_far_smaller_than_the_others(write: Any) -> None:
    root = write(*(f"{c}/{i}.png" for c in "ab" for i in range(10)), size=(200, 150))
    Image.new("RGB", (10, 12)).save(root / "a/icon.png")
    assert "1 image ('a/icon.png') far smaller than the others: there is little to see." in (
        problems(root)
    )


class TestCommand:
    def shown(self, *arguments: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["check", *map(str, arguments)], env={"COLUMNS": "120"})
        assert result.exit_code == code, result.output
        return str(result.stdout)

    def test_classes_are_printed_with_their_groups(self, write: Any) -> None:
        names = ("cats/lion", "cats/tiger", "dogs/wolf", "dogs/fox")
        shown = self.shown(write(*(f"{n}/{i}.jpg" for n in names for i in range(10))))
        for name in names:
            group, label = name.split("/")
            (line,) = (row for row in shown.splitlines() if row.startswith(f"│ {label} "))
            assert group in line

    def test_no_name_commands_the_terminal(self, classes: Path) -> None:
        os.rename(classes / "cat", classes / "\x1b]0;pwned\x07")
        (classes / "dog" / "\x1b[31mbroken.png").write_bytes(b"x")
        shown = self.shown(classes, code=3)
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\\x1b]0;pwned\\x07" in shown

    def test_columns_are_passed_on(self, write: Any) -> None:
        root = write("0.jpg", "1.jpg", "2.jpg", "3.jpg")
        (root / "t.csv").write_text("image,tone\n0.jpg,a\n1.jpg,b\n2.jpg,a\n3.jpg,b\n")
        assert "classification, 2 classes" in self.shown(root, "--columns", "label=tone")

    def test_a_file_that_is_missing_is_told_with_its_line(self, write: Any) -> None:
        root = write("0.jpg", "1.jpg", "2.jpg", "3.jpg")
        rows = "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(5))
        (root / "t.csv").write_text("image,label\n" + rows)
        assert "missing: 4.jpg: t.csv line 6: not found" in self.shown(root, code=3)


def test_a_table_beside_the_one_that_was_read(write: Any) -> None:
    root = write(*(f"{i}.jpg" for i in range(6)))
    rows = "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(6))
    (root / "labels.csv").write_text(f"image,label\n{rows}")
    assert not any("is not read" in text for text in problems(root))
    (root / "parts.csv").write_text("part,fold\n0.jpg,1\n")
    assert "parts.csv (columns part, fold) is not read." in problems(root)


def test_images_without_an_ending_and_annotations(classes: Path) -> None:
    (classes / "cat" / "photo").write_bytes((classes / "cat" / "0.jpg").read_bytes())
    (classes / "cat" / "README").write_text("about cats")
    (classes / "cat" / "0.xml").write_text("<annotation></annotation>")
    found = problems(classes)
    assert "Not read, as their names have no ending such as .jpg: 1 image ('cat/photo')." in found
    assert "Not read beside class folders: 1 annotation (.xml)." in found
