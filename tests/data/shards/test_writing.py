"""What writing shards refuses, and what it leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data import Catalog, read_as_given, write_shards
from lookcloser.data.shards import writing


@pytest.fixture
def catalog(write: Any) -> Catalog:
    return read_as_given(write(*(f"data/{c}/{i}.JPEG" for c in "ab" for i in range(4))) / "data")


def test_what_was_written(catalog: Catalog, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    out = tmp_path / "new" / "out"
    found = write_shards(catalog, out, per_shard=3, progress=lambda *n: told.append(n))
    names = ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    assert [file.name for file in found.files] == names
    assert {path.name for path in out.iterdir()} == {*names, "shards.json"}
    assert (found.folder, found.images) == (out, 8)
    assert found.bytes == sum(file.stat().st_size for file in found.files)
    assert told == [(3, 8), (6, 8), (8, 8)]
    assert all(sample.source.name.endswith(".jpeg") for sample in read_as_given(out).samples)


def test_an_ending_that_readers_do_not_know_becomes_one_that_they_do(
    catalog: Catalog, tmp_path: Path
) -> None:
    first, *others = catalog.samples
    odd = tmp_path / "image"
    odd.write_bytes(first.source.read_bytes())
    write_shards(replace(catalog, samples=(replace(first, source=odd), *others)), tmp_path / "out")
    again = read_as_given(tmp_path / "out").samples[0]
    assert again.name == first.name
    assert again.source.read() == odd.read_bytes()


@pytest.mark.parametrize("per_shard", [0, -1])
def test_a_shard_holds_an_image(catalog: Catalog, tmp_path: Path, per_shard: int) -> None:
    with pytest.raises(UsageError, match=f"per_shard {per_shard}: not possible. Allowed: 1 or"):
        write_shards(catalog, tmp_path / "out", per_shard=per_shard)
    assert not (tmp_path / "out").exists()


def test_a_break_with_smaller_shards_leaves_none_of_them(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(catalog, tmp_path / "out", per_shard=1, progress=stop)
    assert len(list((tmp_path / "out").glob("*.tar"))) == 6
    write_shards(catalog, tmp_path / "out", per_shard=5)
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2
    assert len(read_as_given(tmp_path / "out").samples) == 8


def test_a_folder_with_anything_else_is_left_alone(catalog: Catalog, tmp_path: Path) -> None:
    for name, text in (("mine.txt", "x"), ("shards.json", '{"complete": true}')):
        out = tmp_path / name.partition(".")[0]
        out.mkdir()
        (out / name).write_text(text)
        with pytest.raises(LookcloserError, match=str(out)):
            write_shards(catalog, out)
        assert [path.name for path in out.iterdir()] == [name]


@pytest.mark.parametrize(
    ("limit", "message"),
    [("LARGEST_MEMBER", r"JPEG: \d+ bytes. Allowed: at most 60"),
     ("LARGEST_JSON", "a/0.JPEG: its answer is larger than 1 MiB")],
)  # fmt: skip
def test_bounds(
    catalog: Catalog, tmp_path: Path, limit: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, limit, 60)
    with pytest.raises(LookcloserError, match=message):
        write_shards(catalog, tmp_path / "out", per_shard=99)
    assert list((tmp_path / "out").glob("*.tar")) == [], "no half of an archive"


def test_an_image_that_has_gone_is_left_out_and_said(catalog: Catalog, tmp_path: Path) -> None:
    Path(str(catalog.samples[2].source)).unlink()
    shards = write_shards(catalog, tmp_path / "out")
    assert [name for name, _ in shards.skipped] == [catalog.samples[2].name]
    assert len(read_as_given(tmp_path / "out").samples) == shards.images == len(catalog.samples) - 1


def test_data_that_has_gone_ends_the_work(catalog: Catalog, tmp_path: Path) -> None:
    for sample in catalog.samples:
        Path(str(sample.source)).unlink()
    with pytest.raises(LookcloserError, match=r"JPEG: cannot be read: No such file"):
        write_shards(catalog, tmp_path / "out")
    with pytest.raises(LookcloserError, match="not written to the end"):
        read_as_given(tmp_path / "out")
