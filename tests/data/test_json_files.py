import json
import tracemalloc
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers.json_files import (
    id_of,
    json_files,
    mentioned,
    read_json,
    records,
    text_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.json"


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.json", "a.JSON", "._b.json", "c.jsonl", "json"):
        (tmp_path / name).touch()
    (tmp_path / "folder.json").mkdir()
    assert [file.name for file in json_files(tmp_path)] == ["a.JSON", "b.json"]
    assert json_files(tmp_path / "none") == []


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n \t\r\n"])
def test_keys_are_found_without_parsing(path: Path, start: bytes) -> None:
    path.write_bytes(start + b'{"images": [{"caption" : "labels"}], broken')
    assert mentioned(path, ("images", "caption", "cap", "label")) == {"images", "caption"}


@pytest.mark.parametrize("content", [b"", b'["images"]', b'x {"images"', b"\x00"])
def test_what_is_no_object_mentions_nothing(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert mentioned(path, ("images",)) == set()
    assert mentioned(path.with_name("none.json"), ("images",)) == set()


def test_other_keys_are_dropped_at_any_depth(path: Path) -> None:
    path.write_text('\ufeff{"a": [{"a": 1, "b": [2]}, {"b": 3}], "b": 4}', encoding="utf-8")
    assert read_json(path, ("a",)) == {"a": [{"a": 1}, {}]}


def test_outlines_do_not_fill_the_memory(path: Path) -> None:
    outline = [[float(i) for i in range(2000)]]
    entries = [{"id": i, "segmentation": outline} for i in range(60)]
    path.write_text(json.dumps({"annotations": entries}))
    size = path.stat().st_size
    tracemalloc.start()
    read_json(path, ("annotations", "id"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Bytes and text of the file and one outline at a time; all outlines would be 4 MB more.
    assert peak < 2.2 * size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b"', "not JSON at line 2 column 5: Expecting ':' delimiter. Download"),
        ("", "not JSON at line 1 column 1: Expecting value"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not a data set: "),
        (f'{{"a": {"9" * 5000}}}', "not a data set: "),
    ],
)
def test_what_is_no_data_set_is_named(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(LookcloserError) as caught:
        read_json(path, ("a",))
    assert str(caught.value).startswith(f"{path}: {message}")


def test_records_are_named_by_their_place() -> None:
    content = {"a": [{"x": 1}, 2], "b": {}}
    places = records(content, "a", "t.json")
    assert next(places) == ("t.json a[0]", {"x": 1})
    with pytest.raises(LookcloserError, match=r"^t\.json a\[1\]: not an object\.$"):
        next(places)
    for key in "bc":
        with pytest.raises(LookcloserError, match=f"^t.json: no list '{key}'.$"):
            next(records(content, key, "t.json"))


def test_values_are_what_they_should_be() -> None:
    record = {"text": " a ", "empty": " ", "number": 7, "list": []}
    assert text_of(record, "text", "x") == "a"
    assert [id_of(record, key, "x") for key in ("text", "number")] == [" a ", 7]
    for key in ("number", "list", "none"):
        with pytest.raises(LookcloserError, match=f"^x: no text '{key}'.$"):
            text_of(record, key, "x")
    with pytest.raises(LookcloserError, match="^x: 'empty' is empty.$"):
        text_of(record, "empty", "x")
    with pytest.raises(LookcloserError, match="^x: no number or text 'list'.$"):
        id_of(record, "list", "x")
