"""Everything that may be named as a source, in the same order each time."""

import gzip
import os
import tarfile

import pytest

from lookcloser.batch.sources import Item, Part, images_of, parts
from lookcloser.core import LookcloserError
from lookcloser.core.archives import Packed
from lookcloser.data import read_as_given, write_shards

NAMES = ["b/2.png", "a/1.jpg", "a/0.JPG"]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    for name in [*NAMES, "a/notes.md", ".hidden.png"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def found(*sources):
    return [str(source) for source in images_of([str(source) for source in sources])]


def test_folders_files_and_globs(folder):
    every = {str(folder / name) for name in NAMES}
    assert set(found(folder)) == every
    assert found(folder) == found(folder), "in the same order"
    assert found(folder / "b/2.png", folder / "a") == [
        str(folder / "b/2.png"), str(folder / "a/0.JPG"), str(folder / "a/1.jpg"),
    ]  # fmt: skip
    assert len(found(f"{folder}/*/*.jpg")) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "b/2.png\n\na/1.jpg\n"),
        ("list.csv", "label,Path\n3,b/2.png\n,a/1.jpg\n"),
        ("list.csv", 'file;n\n"b/2.png";1\na/1.jpg;2\n'),
        ("list.tsv", "\ufeffimage\tn\nb/2.png\t1\na/1.jpg\t2\n"),
    ],
)
def test_lists_are_relative_to_their_folder(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    assert found(folder / name) == [str(folder / "b/2.png"), str(folder / "a/1.jpg")]
    (folder / "more.txt").write_text(f"{folder}/a/1.jpg\n" * 2)
    assert found(folder / "more.txt") == [str(folder / "a/1.jpg")] * 2, "twice where listed twice"


def test_a_tilde_that_is_no_home_folder_is_part_of_a_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "~draft.jpg").write_bytes((folder / "a/1.jpg").read_bytes())
    (folder / "list.txt").write_text("~draft.jpg\n")
    assert found("list.txt") == found("~draft.jpg") == ["~draft.jpg"]


def test_parquet(folder):
    arrow = pytest.importorskip("pyarrow", reason="of the extra scale")
    from pyarrow import parquet

    parquet.write_table(arrow.table({"n": [1, 2], "path": ["b/2.png", None]}), folder / "l.parquet")
    assert found(folder / "l.parquet") == [str(folder / "b/2.png")]
    (folder / "l.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(LookcloserError, match=r"l.parquet: not a Parquet file"):
        found(folder / "l.parquet")
    parquet.write_table(arrow.table({"n": [1]}), folder / "l.parquet")
    with pytest.raises(LookcloserError, match=r"l.parquet: no column of paths \(found n\)"):
        found(folder / "l.parquet")


def test_shards_by_folder_file_braces_and_glob(squares, tmp_path):
    out = tmp_path / "shards"
    write_shards(read_as_given(squares), out, per_shard=40)
    sources = list(images_of([str(out)]))
    assert len(sources) == 78
    assert all(isinstance(source, Packed) for source in sources)
    assert list(images_of([f"{out}/shard-{{000000..000001}}.tar"])) == sources
    assert list(images_of([f"{out}/shard-*.tar"])) == sources
    assert list(images_of([f"{out}/shard-000001.tar"])) == sources[40:]
    with pytest.raises(LookcloserError, match=r"shard-000002.tar: no such shard"):
        found(f"{out}/shard-{{000000..000002}}.tar")
    (tmp_path / "a-9.tar").write_bytes((out / "shard-000000.tar").read_bytes())
    (tmp_path / "a-10.tar").write_bytes((out / "shard-000001.tar").read_bytes())
    assert len(found(f"{tmp_path}/a-{{9..10}}.tar")) == 78, "without leading zeros"


def test_images_without_an_answer_are_a_source(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("1.jpg"))
    assert found(tmp_path / "a.tar") == [f"{tmp_path}/a.tar/1.jpg"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("phots", "no such file or folder.*photos"),
        ("empty", "empty: no images"),
        ("no.txt", "no.txt: no such list"),
        ("bad.csv", r"bad.csv: no column of paths \(found a, b\)"),
        ("url.txt", "https://x/a.jpg: URLs are not read"),
        ("none.txt", "none.txt: no images"),
    ],
)
def test_what_is_no_source_is_said(folder, name, message):
    root = folder.parent
    (root / "empty").mkdir()
    (root / "bad.csv").write_text("a,b\n1,2\n")
    (root / "url.txt").write_text("https://x/a.jpg\n")
    (root / "none.txt").write_text("\n\n")
    with pytest.raises(LookcloserError, match=message):
        found(root / name)
    with pytest.raises(LookcloserError, match="URLs are not read"):
        found("https://example.org/a.jpg")


def test_parts_are_numbered_and_know_their_images(folder):
    whole = list(parts([str(folder)], 2))
    assert [(part.number, [item.index for item in part.items]) for part in whole] == [
        (0, [0, 1]), (1, [2]),
    ]  # fmt: skip
    again = [Part.from_json(part.to_json()) for part in whole]
    assert again == whole
    assert [part.digest for part in again] == [part.digest for part in whole]
    other = Part(0, (Item(0, Packed(folder, "1.jpg", 0, 5)), Item(1, Packed(folder, "2", 9, 5))))
    assert Part.from_json(other.to_json()) == other
    assert other.digest != Part(0, other.items[:1]).digest
    assert other.digest != Part(0, (other.items[0], Item(1, Packed(folder, "2", 8, 5)))).digest


def test_names_that_are_no_text(folder):
    odd = os.fsdecode(b"caf\xe9.png")
    (folder / odd).write_bytes(b"1")
    (part,) = parts([str(folder)], 9)
    assert any(odd in str(item.source) for item in part.items)
    assert Part.from_json(part.to_json()).digest == part.digest


@pytest.mark.parametrize("name", ["shard.tar", "list.txt", "table.csv"])
def test_pipes_are_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(LookcloserError, match="not an ordinary file"):
        found(tmp_path / name)


def test_paths_of_our_own_tables_are_read_back(folder, monkeypatch):
    """A name that a spreadsheet would take for a formula has an apostrophe there."""
    monkeypatch.chdir(folder)
    (folder / "=1.png").write_bytes(b"x")
    (folder / "answers.csv").write_text("path,label\n'=1.png,red\na/1.jpg,red\n")
    assert [os.path.basename(name) for name in found("answers.csv")] == ["=1.png", "1.jpg"]


def tar(path, *names):
    with tarfile.open(path, "w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return path


def test_every_image_of_an_archive_is_answered(tmp_path):
    """Whatever it is called; a mask beside its image is none."""
    names = ["a.jpg", "a.png", "a.seg.png", "i.1.jpg", "i.2.jpg", "../b.jpg", "/c.jpg"]
    path = tar(tmp_path / "a.TAR", *names)
    assert [one.name for one in images_of([str(path)])] == [
        one for one in names if one != "a.seg.png"
    ]
    assert found(tmp_path) == found(path), "as a folder of shards, too"


def test_one_of_several_shards_may_be_empty(tmp_path):
    empty, full = tar(tmp_path / "a.tar"), tar(tmp_path / "b.tar", "1.jpg")
    assert found(empty, full) == found(full, empty) == found(full)
    with pytest.raises(LookcloserError, match="a.tar: no images"):
        found(empty)
    with pytest.raises(LookcloserError, match="no images"):
        found(full, tmp_path / "c*.tar")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar.zst"])
def test_a_compressed_archive_is_not_taken_for_an_image(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(bytes(1024)).ljust(512, b"0"))
    with pytest.raises(LookcloserError, match="a compressed archive"):
        found(tmp_path / name)


@pytest.mark.parametrize("form", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_lists_of_any_unicode(folder, form):
    """What PowerShell writes is UTF-16."""
    for name, text in {
        "l.txt": "b/2.png\r\na/\u00fc.jpg\r\n",
        "l.csv": "image\nb/2.png\na/\u00fc.jpg",
    }.items():
        (folder / name).write_bytes(text.encode(form))
        assert found(folder / name) == [str(folder / "b/2.png"), str(folder / "a/\u00fc.jpg")]
