"""A data set in shards is the data set: samples, splits, order, and the weights learned from it."""

import io
import json
import os
import pickle
import shutil
import tarfile
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lookcloser.core import LookcloserError
from lookcloser.core.archives import Packed
from lookcloser.core.archives.members import members
from lookcloser.core.images import load_image
from lookcloser.data import (
    Catalog,
    Sample,
    check_data,
    read_as_given,
    read_data,
    write_shards,
)
from lookcloser.data.scenes import write_scenes
from lookcloser.training.callbacks.record import record_of
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options


@pytest.fixture(scope="module")
def sharded(squares, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards") / "out"
    write_shards(read_as_given(squares), out, per_shard=30)
    return out


def known(sample):
    return (sample.name, sample.labels, sample.captions, sample.boxes, sample.split)


def test_the_catalog_is_that_of_the_files(squares, sharded):
    files, shards = read_data(squares), read_data(sharded)
    assert (shards.task, shards.names) == (files.task, files.names)
    assert [*map(known, shards.samples)] == [*map(known, files.samples)]
    assert any(sample.boxes for sample in shards.samples)
    for one, other in zip(files.samples, shards.samples, strict=True):
        assert one.source.read_bytes() == other.source.read()
    assert asdict(record_of(files)) == asdict(record_of(shards)), "a run resumes on either"
    assert shards.layout == "WebDataset shards"


@pytest.mark.parametrize("kind", ["tags", "captions"])
def test_tags_and_captions_too(tmp_path, kind):
    root = write_scenes(tmp_path / kind, kind, train=6, val=2, test=2)
    catalog = read_as_given(root)
    write_shards(catalog, tmp_path / "out", per_shard=4)
    found = read_as_given(tmp_path / "out")
    assert (found.task, found.names) == (catalog.task, catalog.names)
    assert [*map(known, found.samples)] == [*map(known, catalog.samples)]


def test_training_on_shards_gives_the_weights_of_training_on_files(
    squares, sharded, tmp_path, quick
):
    """Bit by bit, in one process and with workers that open the archives themselves."""
    weights = {}
    for name, data, workers in (
        ("files", squares, 0),
        ("shards", sharded, 0),
        ("more", sharded, 1),
    ):
        options = make_options(**{**quick, "epochs": 2, "workers": workers, "augment": "crop"})
        fit(read_data(data), options, tmp_path / name, quiet=True)
        weights[name] = load_file(tmp_path / name / "model.safetensors")
    for name in ("shards", "more"):
        assert weights["files"].keys() == weights[name].keys()
        for key, tensor in weights["files"].items():
            assert torch.equal(tensor, weights[name][key]), (name, key)


def test_splits_that_the_data_lacks_are_made_as_of_files(squares, tmp_path):
    files = read_as_given(squares / "train")
    plain = Catalog(
        files.root, files.layout, files.task, files.names,
        tuple(Sample(s.name, s.source, s.labels) for s in files.samples),
    )  # fmt: skip
    write_shards(plain, tmp_path / "out")
    assert read_as_given(tmp_path / "out").splits == ()
    shards = read_data(tmp_path / "out", split_seed=3, test_share=0.3)
    assert set(shards.splits) == {"train", "val", "test"}


def test_the_bytes_follow_from_the_data_alone(squares, sharded, tmp_path):
    write_shards(read_as_given(squares), tmp_path / "again", per_shard=30)
    for file in sorted(sharded.iterdir()):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name
    write_shards(read_as_given(sharded), tmp_path / "from shards", per_shard=30)
    first = "shard-000000.tar"
    assert (tmp_path / "from shards" / first).read_bytes() == (sharded / first).read_bytes()


def test_each_shard_is_a_mixture(sharded):
    catalog = read_data(sharded)
    by_shard = {}
    for sample in catalog.samples:
        by_shard.setdefault(sample.source.archive.name, set()).update(sample.labels)
    assert len(by_shard) == 3
    assert all(labels == {"red", "green", "blue"} for labels in by_shard.values())


def test_pixels_that_were_never_a_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 8), dtype=np.uint8)
    samples = tuple(Sample(f"{n}.png", pixels + n, (str(n % 2),)) for n in range(4))
    write_shards(Catalog(tmp_path, "arrays", "classification", ("0", "1"), samples), tmp_path / "o")
    for sample, other in zip(samples, read_as_given(tmp_path / "o").samples, strict=True):
        assert (np.asarray(load_image(sample.source)) == np.asarray(load_image(other.source))).all()


def test_a_break_is_gone_on_from_and_not_read(squares, tmp_path):
    catalog, out = read_as_given(squares), tmp_path / "out"

    def stops(done, _total):
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(catalog, out, per_shard=20, progress=stops)
    with pytest.raises(LookcloserError, match="not written to the end"):
        read_data(out)
    write_shards(catalog, out, per_shard=50)
    assert sorted(file.name for file in out.iterdir()) == [
        "shard-000000.tar", "shard-000001.tar", "shards.json",
    ]  # fmt: skip
    assert len(read_data(out).samples) == 78
    with pytest.raises(LookcloserError, match="not empty"):
        write_shards(catalog, out)


def test_a_shard_that_is_missing_or_cut_is_said(squares, tmp_path):
    out = tmp_path / "out"
    write_shards(read_as_given(squares), out, per_shard=40)
    whole = (out / "shard-000001.tar").read_bytes()
    (out / "shard-000001.tar").unlink()
    with pytest.raises(LookcloserError, match=r"shard-000001.tar is not there \(1 of 2"):
        read_data(out)
    some = list(members(out / "shard-000000.tar"))[4]
    (out / "shard-000001.tar").write_bytes(whole[: some.offset - 512])
    with pytest.raises(
        LookcloserError, match="shard-000001.tar: 2 images, and shards.json says 38"
    ):
        read_data(out)
    assert len(read_data(out / "shard-000000.tar").samples) == 40, "one shard alone"


def plain_shard(path, entries):
    with tarfile.open(path, "w") as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def test_shards_of_others(tmp_path):
    """`.cls` and `.txt` beside images, in the order of the archive; folders are part of the key."""
    path = plain_shard(
        tmp_path / "a.tar",
        [("x/1.jpg", b"1"), ("x/1.cls", b"7\n"), ("y/1.cls", b"3"), ("y/1.seg.png", b"2")],
    )
    catalog = read_as_given(path)
    assert [(s.labels, s.source.read()) for s in catalog.samples] == [
        (("7",), b"1"),
        (("3",), b"2"),
    ]
    assert (catalog.task, catalog.names) == ("classification", ("3", "7"))
    assert catalog.samples[0].name == "a.tar/x/1.jpg"
    path = plain_shard(tmp_path / "b.tar", [("1.jpg", b"1"), ("1.txt", b"ein Hund")])
    assert read_as_given(path).samples[0].captions == ("ein Hund",)
    assert read_as_given(path).task == "captioning"
    foreign = json.dumps({"sha256": "0", "caption": "no field of ours"}).encode()
    path = plain_shard(tmp_path / "c.tar", [("1.jpg", b"1"), ("1.cls", b"5"), ("1.json", foreign)])
    assert read_as_given(path).samples[0].labels == ("5",)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"name": "../../etc/passwd", "labels": ["a"]}, "leads out of the data set"),
        ({"name": "/etc/passwd", "labels": ["a"]}, "leads out of the data set"),
        ({"name": "a\0b", "labels": ["a"]}, "leads out of the data set"),
        ({"labels": "a"}, "no list of texts"),
        ({"labels": [1]}, "no list of texts"),
        ({"labels": ["a"], "split": "dev"}, "split 'dev'"),
        ({"labels": ["a"], "boxes": [["a", [1, 2, 3]]]}, "'boxes' cannot be read"),
        ({"labels": ["a"], "boxes": [["a", [1, 2, 3, 1e999]]]}, "'boxes' cannot be read"),
        ([1], "not a JSON object"),
        (b"{", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b" " * (1 << 20) + b"{}", "1,048,578 bytes"),
    ],
)
def test_answers_that_cannot_be_right_end_in_a_sentence(tmp_path, answer, message):
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    path = plain_shard(tmp_path / "a.tar", [("1.jpg", b"1"), ("1.json", content)])
    with pytest.raises(LookcloserError, match=message):
        read_as_given(path)


def test_images_without_answers_are_no_data_set(tmp_path):
    with pytest.raises(LookcloserError, match="no answer beside it"):
        read_as_given(plain_shard(tmp_path / "a.tar", [("1.jpg", b"1")]))
    with pytest.raises(LookcloserError, match="no images in 1 archive"):
        read_as_given(plain_shard(tmp_path / "a.tar", [("1.bin", b"1")]))


def test_data_check_names_a_broken_image_in_a_shard(tmp_path):
    entries = [
        (f"{n}.{kind}", b"7" if kind == "cls" else b"x")
        for n in range(2)
        for kind in ("png", "cls")
    ]
    report = check_data(read_data(plain_shard(tmp_path / "a.tar", entries)))
    assert len(report.broken) == 2
    assert "not an image that can be read" in report.broken[0][1]


def test_a_data_set_beside_the_archive_it_came_from_stays_what_it_is(squares, tmp_path):
    shutil.copytree(squares / "test", tmp_path / "both")
    plain_shard(tmp_path / "both" / "squares.tar", [("1.jpg", b"1"), ("1.cls", b"1")])
    assert read_data(tmp_path / "both").layout == "class folders"


def test_a_member_is_small_to_send(sharded):
    source = read_data(sharded).samples[0].source
    assert isinstance(source, Packed)
    assert pickle.loads(pickle.dumps(source)) == source


def test_an_image_that_cannot_be_read_is_left_out_and_said(squares, tmp_path):
    shutil.copytree(squares / "train", tmp_path / "data")
    link, pipe = (tmp_path / "data" / name for name in ("red/link.png", "green/pipe.png"))
    link.symlink_to("nowhere")
    os.mkfifo(pipe)
    catalog = read_as_given(tmp_path / "data")
    shards = write_shards(catalog, tmp_path / "out", per_shard=20)
    assert shards.images == len(catalog.samples) - 2
    assert sorted(name for name, _ in shards.skipped) == ["green/pipe.png", "red/link.png"]
    assert len(read_as_given(tmp_path / "out").samples) == shards.images


def test_where_no_image_can_be_read_nothing_is_claimed(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).symlink_to("nowhere")
    with pytest.raises(LookcloserError, match="cannot be read"):
        write_shards(read_as_given(tmp_path / "data"), tmp_path / "out")
