import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.data import READERS, Catalog, read_as_trained, read_data


def error_of(path: str | Path) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path)
    return str(caught.value)


def test_a_missing_folder_comes_with_a_near_name(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write("Pets/cat/1.jpg"))
    assert error_of("pets") == "pets: no such file or folder. Did you mean 'Pets'?"
    assert error_of("https://example.org/pets.zip").startswith("https://example.org/pets.zip: URLs")


def test_an_empty_folder(tmp_path: Path) -> None:
    message = error_of(tmp_path)
    assert message.startswith(
        f"{tmp_path}: the folder is empty. Give the folder that holds the images. Layouts"
    )
    assert all(reader.layout in message for reader in READERS)


@pytest.mark.parametrize("name", ["a" * 300, "~no-one-of-this-name"])
def test_a_name_that_no_disk_or_no_home_has_is_not_there(name: str) -> None:
    with pytest.raises(LookcloserError, match="no such file or folder"):
        read_data(name)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "sizes.csv").write_text("id,width\n1,8\n")
    assert (
        "no images anywhere in it (found 1 .csv; sizes.csv (columns id, width)). Give the folder"
        in error_of(tmp_path)
    )


def test_a_folder_of_images_without_labels(write: Any) -> None:
    assert "recognized, found 2 images without labels. Put the images of each class" in error_of(
        write("1.jpg", "2.jpg")
    )


def test_a_file_that_is_no_table(write: Any) -> None:
    path = write("cat.jpg") / "cat.jpg"
    assert error_of(path) == (
        f"{path}: not a list of images with labels or captions. Allowed: a folder, a table (.csv, "
        ".tsv, .tab, .jsonl, .ndjson, .json, .xlsx), COCO's .json, YOLO's data.yaml, or captions "
        "in the form of Flickr8k."
    )


def test_data_sets_further_down_are_offered(write: Any) -> None:
    root = write("birds/train/a/1.jpg", "birds/train/b/1.jpg", "cars/train/a/1.jpg", "tags.d/1.jpg")
    (root / "tags.d" / "t.csv").write_text("image,labels\n1.jpg,a\n")
    assert (
        "a folder of one or more. Give one of its folders: 'birds' (class folders), 'cars' (class "
        "folders), 'tags.d' (table). Layouts" in error_of(root)
    )


def test_a_folder_that_cannot_be_listed(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write("a/1.jpg")

    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    assert error_of(root).startswith(f"{root}: cannot be read: Permission denied. Ask its owner")


def test_splits_are_made_where_there_are_none_and_a_note_says_so(write: Any) -> None:
    root = write(*(f"{label}/{i}.jpg" for label in "ab" for i in range(10)))
    catalog = read_data(root, split_seed=3)
    assert {split: len(catalog.split(split)) for split in catalog.splits} == {
        "train": 14,
        "val": 2,
        "test": 4,
    }
    assert catalog.notes == ("Made from a hash of the file names (seed 3): val, test",)
    assert read_data(root, val_share=0, test_share=0).notes == ()
    other = read_data(root, split_seed=4)
    assert [s.split for s in other.samples] != [s.split for s in catalog.samples]
    again = read_data(str(root), split_seed=3)
    assert [s.split for s in again.samples] == [s.split for s in catalog.samples]


def test_an_unreadable_image_is_kept_for_others_to_report(write: Any) -> None:
    root = write("a/1.jpg", "b/1.jpg")
    (root / "a/2.jpg").write_bytes(b"broken")
    assert len(read_data(root).samples) == 3


def test_readers_agree_with_what_they_read(write: Any) -> None:
    assert len({reader.layout for reader in READERS}) == len(READERS)
    root = write("a/1.jpg", "b/1.jpg")
    (root / "t.csv").write_text("image,label\na/1.jpg,x\n")
    for reader in READERS:
        if reader.recognizes(root):
            assert reader.read(root, False).layout == reader.layout
    assert [r.layout for r in READERS if r.recognizes(root)] == ["table", "class folders"]
    assert [r.layout for r in READERS if r.recognizes(root / "t.csv")] == ["table"]


def test_real_birds(shared_data: Any) -> None:
    root = shared_data("birds50")
    catalog = read_data(root)
    assert {split: len(catalog.split(split)) for split in catalog.splits} == {
        "train": 1_350,
        "val": 150,
        "test": 1_452,
    }
    assert len(catalog.names) == 50
    assert all(count == 3 for count in catalog.counts()["val"].values())
    for sample in catalog.samples:
        split, label, _ = sample.name.split("/")
        assert sample.labels == (label,)
        assert (sample.split == "test") == (split == "test")
        assert sample.boxes == ()  # the boxes of heads are no boxes of birds
        assert isinstance(sample.source, Path)
        assert sample.source.is_file()


def test_real_boxes(shared_data: Any) -> None:
    root = shared_data("boxes20")
    catalog = read_data(root)
    assert {split: len(catalog.split(split)) for split in catalog.splits} == {
        "train": 3_600,
        "val": 400,
        "test": 1_000,
    }
    # Read apart from the reader: no cell of this table is quoted.
    lines = (root / "boxes.csv").read_text().splitlines()[1:]
    expected = {}
    for line in lines:
        name, label, _, *box = line.split(",")
        expected[name] = ((label, tuple(map(float, box))),)
    assert {sample.name: sample.boxes for sample in catalog.samples} == expected


def test_no_torch_and_no_pandas_to_read_folders_and_tables(write: Any) -> None:
    root = write("a/1.jpg", "b/1.jpg")
    (root / "t.csv").write_text("image,label\na/1.jpg,x\nb/1.jpg,y\n")
    code = (
        "import sys, lookcloser.data as d; d.check_data(d.read_data(sys.argv[1]));"
        "sys.exit(not {'torch', 'pandas', 'scipy', 'torchvision'}.isdisjoint(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=True)


@pytest.mark.parametrize("name", ["pipe", "pipe.csv", "pipe.json"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(LookcloserError, match=f"{name}: not an ordinary file or folder"):
        read_data(tmp_path / name)


def trained(**provenance: Any) -> ModelHeader:
    return ModelHeader("cam", {}, "classification", ("a", "b"), provenance=provenance)


def splits(catalog: Catalog) -> dict[str, str | None]:
    return {sample.name: sample.split for sample in catalog.samples}


def test_data_is_split_as_the_training_split_it(write: Any) -> None:
    root = write(*(f"{c}/{i}.jpg" for c in "ab" for i in range(20)))
    stored = {"seed": 7, "val_share": 0.25, "test_share": 0.4}
    expected = read_data(root, split_seed=7, val_share=0.25, test_share=0.4)
    found = read_as_trained(root, trained(splits=stored))
    assert splits(found) == splits(expected) != splits(read_data(root))
    assert len(found.split("test")) == 16
    given = read_as_trained(root, trained(splits=stored), val_share=0, test_share=0.5)
    assert splits(given) == splits(read_data(root, split_seed=7, val_share=0, test_share=0.5))


@pytest.mark.parametrize(
    "stored",
    [None, "x", [], {}, {"seed": "1", "val_share": "0.3", "test_share": None},
     {"val_share": 1.0, "test_share": -0.1}, {"val_share": float("nan"), "test_share": 7}],
)  # fmt: skip
def test_what_no_training_can_have_stored_gives_the_usual_splits(write: Any, stored: Any) -> None:
    root = write(*(f"{c}/{i}.jpg" for c in "ab" for i in range(10)))
    assert splits(read_as_trained(root, trained(splits=stored))) == splits(read_data(root))
    assert splits(read_as_trained(root, trained())) == splits(read_data(root))


def test_columns_of_the_training_hold_where_the_data_has_them(write: Any) -> None:
    root = write("0.jpg", "1.jpg")
    header = trained(columns="image=where,label=kind")
    (root / "t.csv").write_text("image,label,where,kind\n0.jpg,a,1.jpg,x\n1.jpg,b,0.jpg,y\n")
    assert read_as_trained(root, header).names == ("x", "y")
    assert read_as_trained(root, header, columns="label=label").names == ("a", "b")
    assert read_as_trained(root, trained(columns=["image"])).names == ("a", "b")
    assert read_as_trained(root, trained(columns="no columns")).names == ("a", "b")
    (root / "t.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n")
    assert read_as_trained(root, header).names == ("a", "b"), "this table has others"
    with pytest.raises(UsageError, match="no column 'where'"):
        read_as_trained(root, header, columns="image=where,label=kind")


def test_what_is_missing_is_skipped_on_request_as_in_training(write: Any) -> None:
    root = write("0.jpg", "1.jpg")
    (root / "t.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n2.jpg,b\n")
    with pytest.raises(LookcloserError, match="--skip-missing drops them"):
        read_as_trained(root, trained())
    assert len(read_as_trained(root, trained(), skip_missing=True).samples) == 2
