"""Random and damaged data: nothing but `LookcloserError` comes out, nothing hangs, nothing grows.

``LOOKCLOSER_FUZZ=10`` tries ten times as many inputs.
"""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.images import load_image, open_image
from lookcloser.data import check_data, read_data

TIMES = int(os.environ.get("LOOKCLOSER_FUZZ", "1"))
Attempt = Callable[[random.Random], None]
TryAll = Callable[[int, Attempt], int]
Damage = Callable[[bytes, random.Random], bytes]

LABELS = (
    "a",
    "b",
    "7",
    "NA",
    "é",
    "e\u0301",
    "a;b",
    "",
    " ",
    "\x1b[31m",
    "x" * 300,
    "0",
    "1",
    "-1",
    "['a' 'b']",
    "('a')",
    "{'b', 'a'}",
    '["a;b", null]',
    "[[a",
)
FILES = (
    "0.jpg",
    "1.jpg",
    "0",
    "im/2.jpg",
    "../0.jpg",
    "/etc/passwd",
    "C:\\0.jpg",
    "",
    "a\0b",
    "9.jpg",
)
FILES += ("http://x/0.jpg", "im\\2.jpg", ".", "0.JPG", "\udcff.jpg", "n" * 5000)
HEADERS = ("image", "label", "labels", "caption", "id", "filename", "class", "split", "bbox", "x0")
HEADERS += ("y0", "x1", "y1", "w", "h", "x", "y", "a", "", "Image ", "text", "tags", "word")

# Of JSON: what may stand where a name, a number, a box or a list is meant.
VALUES = (None, -1, 0, 1, 2, "a", "", "1234", "../x.jpg", "0.jpg", "\udcff", True, 1e308)
VALUES += (float("nan"), float("inf"), 10**400, [], {}, ["a"], ["a", "b"], [1, 2, 3, 4])
VALUES += ([1, 2, 10**400, 4], [["a", [1, 2, 10**400, 4]]], [[None, "1234"]], {"a": 1}, {"a": "b"})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of three images."""
    for name in ("0.jpg", "1.jpg", "im/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 16), (len(name), 90, 200)).save(tmp_path / name)
    return tmp_path


def read(path: Path) -> None:
    """As training and `data check` do, whose catalogs say the same."""
    catalog = read_data(path, skip_missing=True)
    known = set(catalog.names)
    for sample in catalog.samples:
        assert known.issuperset(sample.labels)
        assert sample.split in {"train", "val", "test"}
        sample.name.encode()
    json.dumps(check_data(catalog).to_dict(), ensure_ascii=False).encode()


def test_tables_of_odd_cells(images: Path, try_all: TryAll, damaged: Damage) -> None:
    def attempt(draw: random.Random) -> None:
        columns = draw.sample(HEADERS, draw.randint(1, 6))
        if draw.random() < 0.7:
            columns = [*draw.sample(("image", "filename", "id"), 1), *columns]
        sound = draw.random() < 0.5  # so that what comes after files and splits is seen, too
        if sound:
            columns = ["image", draw.choice(("label", "labels", "caption")), *columns[3:]]
        numbers = ("1", "2.5", "-3", "nan", "inf", "1e999", "[1,2,3,4]", "[1 2 3 4 5]", "[[1", "")
        cells = dict.fromkeys(("image", "filename", "id"), FILES[:4] if sound else FILES)
        cells["split"] = ("train", "test") if sound else ("train", "test", "x", "")
        rows = [
            [draw.choice(cells.get(c, LABELS if draw.random() < 0.5 else numbers)) for c in columns]
            for _ in range(draw.randint(0, 8))
        ]
        mark = draw.choice(",;\t")
        text = "\n".join(mark.join(row) for row in [columns, *rows])
        content = text.encode(draw.choice(("utf-8", "utf-16", "latin-1")), "replace")
        path = images / draw.choice(("t.csv", "t.tsv"))
        path.write_bytes(content if draw.random() < 0.6 else damaged(content, draw))
        try:
            read(draw.choice((path, images)))
        finally:
            path.unlink()

    assert try_all(150, attempt) > 0


def test_json_lines_and_spreadsheets(images: Path, try_all: TryAll, damaged: Damage) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in (("image", "label"), ("0.jpg", "a"), ("1.jpg", 7.0)):
        book.active.append(row)
    book.save(stream)
    lines = [{"file_name": "0.jpg", "label": "a"}, {"file_name": "1.jpg", "label": ["b", 2]}]
    text = "\n".join(map(json.dumps, lines)).encode()

    def attempt(draw: random.Random) -> None:
        sheet = draw.random() < 0.4
        path = images / ("t.xlsx" if sheet else "t.jsonl")
        path.write_bytes(damaged(stream.getvalue() if sheet else text, draw))
        try:
            read(path)
        finally:
            path.unlink()

    assert try_all(80, attempt) > 0


def test_shards(tmp_path: Path, try_all: TryAll, damaged: Damage) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (20, 16), (9, 90, 200)).save(picture, "JPEG")

    def attempt(draw: random.Random) -> None:
        index = {"format": 1, "complete": True, "task": "classification", "names": ["a"],
                 "parents": {}, "shards": [{"file": "s.tar", "count": 2}]}  # fmt: skip
        answer = {"name": "0.jpg", "labels": ["a"], "captions": [], "boxes": [], "split": None}
        for changed in draw.choices((index, index["shards"][0], answer), k=draw.randint(0, 2)):
            changed[draw.choice(list(changed))] = draw.choice(VALUES)
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            for number in range(2):
                told = json.dumps(answer | {"name": f"{number}.jpg"} if number else answer)
                for name, data in (("jpg", picture.getvalue()), ("json", told.encode())):
                    entry = tarfile.TarInfo(f"{number}.{name}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
        raw = json.dumps(index).encode()
        (tmp_path / "shards.json").write_bytes(raw if draw.random() < 0.7 else damaged(raw, draw))
        read(draw.choice((tmp_path, tmp_path / "s.tar")))

    assert try_all(60, attempt) > 0


def test_coco(images: Path, try_all: TryAll, damaged: Damage) -> None:
    def attempt(draw: random.Random) -> None:
        content = {
            "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(2)],
            "annotations": [
                {"id": i, "image_id": i % 2, "category_id": 1, "bbox": [1, 1, 5, 5]}
                for i in range(4)
            ],
            "categories": [{"id": 1, "name": "a"}],
        }
        for _ in range(draw.randint(0, 3)):
            entries = content[draw.choice(list(content))]
            entry = draw.choice(entries)
            entry[draw.choice(list(entry))] = draw.choice(VALUES)
        raw = json.dumps(content).encode()
        path = images / "instances.json"
        path.write_bytes(raw if draw.random() < 0.6 else damaged(raw, draw))
        try:
            read(draw.choice((path, images)))
        finally:
            path.unlink()

    assert try_all(150, attempt) > 0


def test_yolo(tmp_path: Path, try_all: TryAll, damaged: Damage) -> None:
    """Pages, lists and rows; a secret lies beside the data set, and is read by none of them."""
    Image.new("RGB", (20, 16)).save(tmp_path / "secret.jpg")
    (tmp_path / "secret.txt").write_text("0 .5 .5 .1 .1\n")
    root = tmp_path / "set"
    for name in ("images/train/0.jpg", "images/train/1.jpg", "images/val/2.jpg", "labels/x/y"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    for i, split in enumerate(("train", "train", "val")):
        Image.new("RGB", (20, 16), (i, 90, 200)).save(root / f"images/{split}/{i}.jpg")
        (root / f"labels/{split}").mkdir(exist_ok=True)
    places = ("images/train", "../images/train", "/etc", "..", "../secret.jpg", "t.txt", "", "[a]")
    places += (
        "https://x/images",
        "C:\\images\\val",
        "*a",
        "&a images",
        "'a\\0b'",
        "null",
        str(root),
    )
    names = ("[a, b]", "{0: a, 1: b}", "{0: a, 7: b}", "[]", "a", "[[a]]", "{a: 0}", "['', b]", "é")
    words = (
        "0",
        "1",
        "7",
        "-1",
        "0.5",
        "1.5",
        "nan",
        "inf",
        "1e400",
        "a",
        "0.1",
        "0.9",
        "1_0",
        "٣",
    )

    def attempt(draw: random.Random) -> None:
        page = (
            f"train: {draw.choice(places[:2])}\nval: images/val\nnames: {draw.choice(names[:3])}\n"
        )
        if draw.random() < 0.4:
            keys = draw.sample(("path", "train", "val", "test", "kpt_shape", "nc"), 3)
            page = "".join(f"{key}: {draw.choice(places)}\n" for key in keys)
            page += f"names: {draw.choice(names)}\n"
        raw = page.encode()
        (root / "data.yaml").write_bytes(damaged(raw, draw) if draw.random() < 0.2 else raw)
        listed = [draw.choice(FILES).encode("utf-8", "surrogateescape") for _ in range(3)]
        (root / "t.txt").write_bytes(b"./images/train/0.jpg\n" + b"\n".join(listed))
        for label in ("train/0.txt", "train/1.txt", "val/2.txt"):
            rows = b"0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.4 0.2 0.3 0.9\r\n"
            if draw.random() < 0.06:
                odd = [" ".join(draw.choices(words, k=draw.choice((4, 5, 5, 7)))) for _ in range(2)]
                rows += "\n".join(odd).encode()
            elif draw.random() < 0.06:
                rows = damaged(rows, draw)
            (root / "labels" / label).write_bytes(rows)
        given = draw.choice((root, root, root / "data.yaml"))
        read(given)
        assert all("secret" not in sample.name for sample in read_data(given).samples)

    assert try_all(60, attempt) > 10


def test_annotations_in_xml(images: Path, try_all: TryAll, damaged: Damage) -> None:
    text = (
        b"<annotation><filename>0.jpg</filename><object><name>a</name><bndbox><xmin>1</xmin>"
        b"<ymin>1</ymin><xmax>5</xmax><ymax>4</ymax></bndbox></object></annotation>"
    )

    def attempt(draw: random.Random) -> None:
        (images / "0.xml").write_bytes(damaged(text, draw))
        (images / "1.xml").write_bytes(text)
        read(images)

    assert try_all(80, attempt) > 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_damaged_images(kind: str, tmp_path: Path, try_all: TryAll, damaged: Damage) -> None:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    path = tmp_path / "a.png"

    def attempt(draw: random.Random) -> None:
        content = damaged(stream.getvalue(), draw)
        assert load_image(content).mode == "RGB"
        path.write_bytes(content)
        with open_image(path) as image:
            image.load()

    assert try_all(60, attempt) < 60 * TIMES


def test_bytes_that_are_no_image(try_all: TryAll) -> None:
    starts = (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM")
    starts += (b"II*\0", b"MM\0*", b"RIFF\0\0\0\0WEBP", b"P6\n9999999 9999999\n255\n", b"")

    def attempt(draw: random.Random) -> None:
        content = draw.choice(starts) + draw.randbytes(draw.randint(0, 200))
        load_image(draw.choice((content, io.BytesIO(content), bytearray(content))))

    assert try_all(200, attempt) == 0


def test_names_of_files_and_folders(tmp_path: Path, try_all: TryAll) -> None:
    signs = [b"a", b"B", b" ", b".", b"\xe9", "é".encode(), "e\u0301".encode(), b"\x1b", b"\n"]
    signs += [b"\x07", b"train", b"test", b"_", b"images", b"mask", b"[", b"*", b"'", b'"', b"\\"]
    signs += ["\u202e".encode(), "甲".encode(), b"-1", b"\xff\xfe", b"%"]
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")

    def name(draw: random.Random) -> bytes:
        made = b"".join(draw.choices(signs, k=draw.randint(1, 4)))
        return b"x" if made in (b".", b"..") else made

    def attempt(draw: random.Random) -> None:
        root = os.path.join(os.fsencode(tmp_path), b"%d" % draw.getrandbits(60))
        for _ in range(draw.randint(1, 6)):
            parts = [name(draw) for _ in range(draw.randint(0, 3))]
            folder = os.path.join(root, *parts)
            try:
                os.makedirs(folder, exist_ok=True)
                with open(os.path.join(folder, name(draw) + b".png"), "wb") as file:
                    file.write(image.getvalue())
            except OSError:  # a folder where another file is
                continue
        read(Path(os.fsdecode(root)))

    assert try_all(60, attempt) > 10


def test_odd_files_beside_images(images: Path, try_all: TryAll) -> None:
    """Pipes, links and devices where tables and lists are looked for: opened, they would hang."""
    names = ("labels.csv", "a.json", "a.jsonl", "captions.txt", "results.csv", "0.xml", "x.png")
    names += ("images.txt", "train_list.mat", "x.xlsx", "data.yaml", "metadata.csv")

    for name in ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"):
        (images / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 16)).save(images / name)

    def attempt(draw: random.Random) -> None:
        made = [images / name for name in draw.sample(names, 3)]
        for path in made:
            kind = draw.randrange(4)
            if kind == 0:
                os.mkfifo(path)
            elif kind == 1:
                path.symlink_to(draw.choice(("nowhere", path.name, "/dev/zero", "..")))
            elif kind == 2:
                path.mkdir()
            else:
                path.write_bytes(b"")
        try:
            read(images)
        finally:
            for path in made:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    assert try_all(50, attempt) > 0
