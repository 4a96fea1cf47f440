"""Every image is answered exactly once, as the network answers it, whatever dies on the way."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lookcloser.batch import Job, answering, predict_source
from lookcloser.batch.folder import Folder
from lookcloser.batch.predicting import Share, check_source
from lookcloser.batch.sources import parts
from lookcloser.core import LookcloserError
from lookcloser.core.storage.files import list_images

from .conftest import BROKEN, COUNT, write_network


def rows_in(out):
    files = sorted(out.glob("part-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def check_complete(out, photos, images=COUNT):
    rows = rows_in(out)
    assert Counter(row["index"] for row in rows) == Counter(range(images)), "each exactly once"
    paths = {str(photos / name) for name in list_images(photos)}
    assert {row["path"] for row in rows} == paths
    for row in rows:
        number = int(Path(row["path"]).stem)
        if number == BROKEN:
            assert "not an image" in row["error"]
            assert row["labels"] == []
        else:
            color = np.array([number % 256, number * 7 % 256, number * 13 % 256])
            scores = np.exp(color * 0.05 - (color * 0.05).max())
            scores /= scores.sum()
            assert [label["index"] for label in row["labels"]] == list(
                np.argsort(-scores, kind="stable")
            )
            for label in row["labels"]:
                assert label["score"] == pytest.approx(scores[label["index"]], rel=1e-4, abs=1e-7)


def test_a_folder_is_answered_as_the_network_answers(photos, job):
    seen = []
    result = predict_source(
        job(), [str(photos)], part_images=70, progress=lambda *given: seen.append(given)
    )
    assert (result.images, result.failed, result.resumed, result.complete) == (COUNT, 1, 0, True)
    check_complete(result.out, photos)
    assert len(list(result.out.glob("part-*"))) == 5
    assert seen[0] == (0, COUNT)
    assert seen[-1] == (COUNT, COUNT)
    assert not (result.out / ".work").exists()
    assert json.loads((result.out / "summary.json").read_text()) == {
        "images": COUNT, "failed": 1, "parts": 5,
    }  # fmt: skip
    answers = {str(p.path): p for p in job().answerer().predict(sorted(photos.glob("0/*"))[:5])}
    for row in rows_in(result.out):
        if row["path"] in answers:
            wanted = answers[row["path"]].to_dict()
            for region in wanted["regions"]:
                region["heatmap"] = None
            assert row == {"index": row["index"], **wanted}


def test_done_is_done(photos, job, monkeypatch):
    predict_source(job(), [str(photos)], part_images=70)
    monkeypatch.setattr(answering, "answer_batch", None)  # the network is not asked again
    result = predict_source(job(), [str(photos)], part_images=70)
    assert (result.images, result.failed, result.resumed) == (COUNT, 1, COUNT)


class BrokenError(Exception):
    pass


def stops_at(image):
    def progress(done, _total):
        if done >= image:
            raise BrokenError

    return progress


@pytest.mark.parametrize("torn", [b"", b'{"index": 7', b'{"index": 9999}\n', b"\0\0\0\n"])
def test_a_break_within_a_part_loses_and_doubles_nothing(photos, job, monkeypatch, torn):
    out = job().out
    with pytest.raises(BrokenError):
        predict_source(job(), [str(photos)], part_images=70, progress=stops_at(110))
    (left,) = (out / ".work").iterdir()
    with left.open("ab") as file:
        file.write(torn)
    asked = []
    real = answering.answer_batch

    def counts(engine, sources, *rest):
        asked.extend(sources)
        return real(engine, sources, *rest)

    monkeypatch.setattr(answering, "answer_batch", counts)
    result = predict_source(job(), [str(photos)], part_images=70)
    assert len(asked) == COUNT - 110, "what was answered is not answered again, 8 at a time"
    assert (result.images, result.failed, result.resumed) == (COUNT, 1, 70)
    check_complete(out, photos)


def test_a_kill_between_a_part_and_its_line_is_made_up_for(photos, job):
    out = predict_source(job(), [str(photos)], part_images=70).out
    manifest = out / "manifest-1-of-1.jsonl"
    whole = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(whole[:3]) + whole[3][:9])
    result = predict_source(job(), [str(photos)], part_images=70)
    assert (result.failed, result.complete) == (1, True)
    numbers = [json.loads(line)["number"] for line in manifest.read_text().splitlines()]
    assert numbers == [0, 1, 2, 3, 4]


def test_two_who_answer_the_same_part_leave_it_once(photos, job):
    """As after a death that was none: both write files of their own, and the last one's stays."""
    one = job()
    folder = Folder(one.out, one.writer)
    folder.begin({})
    part = next(parts([str(photos)], 40))
    answerer, other = one.answerer(), []

    def tell(_images):
        if not other:
            other.append(None)
            answering.answer_part(one, answerer, part)

    done = answering.answer_part(one, answerer, part, tell)
    assert done.images == 40
    assert [row["index"] for row in rows_in(one.out)] == list(range(40))
    assert list((one.out / ".work").iterdir()) == []


def test_another_model_option_or_source_is_refused(photos, job, tmp_path):
    out = job().out
    predict_source(job(), [str(photos)], part_images=70)

    def refused(what, changed, source=photos, size=70):
        with pytest.raises(LookcloserError, match=what):
            predict_source(changed, [str(source)], part_images=size)

    refused("another top", job(top=1))
    refused("another maps", job(maps=True))
    refused("another box_rule", job(box_rule="max"))
    refused("another format", job("csv"))
    refused("another source", job(), photos / "0")
    refused("another images of a part", job(), size=7)
    other = write_network(tmp_path / "other.onnx", 0.06)
    refused("another model", Job(str(other), out))
    predict_source(job(batch_size=3, workers=2), [str(photos)], part_images=70)


def test_a_source_that_has_changed_is_refused(photos, job, tmp_path):
    listed = tmp_path / "list.txt"
    names = [str(photos / name) for name in list_images(photos)]
    listed.write_text("\n".join(names[:200]))
    predict_source(job(), [str(listed)], part_images=70)
    listed.write_text("\n".join(names[1:201]))
    with pytest.raises(LookcloserError, match="source has changed since it was begun.*0 to 69"):
        predict_source(job(), [str(listed)], part_images=70)


def test_a_source_that_has_lost_whole_parts_is_refused_and_one_that_grew_is_gone_on_with(
    photos, job, tmp_path
):
    listed = tmp_path / "list.txt"
    names = [str(photos / name) for name in list_images(photos)]

    def answered(count):
        listed.write_text("\n".join(names[:count]))
        return predict_source(job(), [str(listed)], part_images=20)

    assert answered(40).complete
    with pytest.raises(LookcloserError, match="has changed .*part 1 is answered, and no image"):
        answered(20)
    grown = answered(60)
    assert (grown.images, grown.resumed, grown.complete) == (60, 40, True)
    assert json.loads((grown.out / "summary.json").read_text())["parts"] == 3


def test_a_part_that_somebody_took_away_is_answered_again(photos, job):
    out = predict_source(job(), [str(photos)], part_images=150).out
    first, _ = sorted(out.glob("part-*"))
    content = first.read_bytes()
    first.rename(first.with_suffix(".jsonl.gz"))
    result = predict_source(job(), [str(photos)], part_images=150)
    assert (result.images, result.resumed, result.complete) == (COUNT, 150, True)
    assert first.read_bytes() == content


def test_files_of_somebody_else_stay(photos, job):
    out = job().out
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(LookcloserError, match="not empty"):
        predict_source(job(), [str(photos)])
    assert os.listdir(out) == ["thesis.txt"]


def test_shares_of_a_source_are_the_whole(photos, job):
    for number in (2, 3, 1):
        result = predict_source(job(), [str(photos)], part_images=20, share=Share(number, 3))
        assert result.images == 100
        assert result.complete == (number == 1), "once the last is done"
    check_complete(result.out, photos)
    assert json.loads((result.out / "summary.json").read_text())["images"] == COUNT
    with pytest.raises(LookcloserError, match="shard 3/2"):
        predict_source(job(), [str(photos)], share=Share(3, 2))


def test_csv_and_parquet_hold_the_same(photos, job):
    arrow = pytest.importorskip("pyarrow.parquet", reason="of the extra scale")
    outs = {
        form: predict_source(job(form, form, maps=form != "csv"), [str(photos)], part_images=160)
        for form in ("jsonl", "csv", "parquet")
    }
    assert {result.failed for result in outs.values()} == {1}
    rows = rows_in(outs["jsonl"].out)
    files = sorted(outs["parquet"].out.glob("part-*.parquet"))
    columns = [row for file in files for row in arrow.read_table(file).to_pylist()]
    assert len(columns) == COUNT
    for row, other in zip(rows, columns, strict=True):
        assert [other.pop("width"), other.pop("height")] == row.pop("size")
        for one, two in zip(row["regions"], other["regions"], strict=True):
            assert np.allclose(one.pop("heatmap"), two.pop("heatmap"))
        assert row == other
    files = sorted(outs["csv"].out.glob("part-*.csv"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    cells = [row for text in texts for row in csv.DictReader(io.StringIO(text))]
    assert Counter(int(row["index"]) for row in cells) == {
        row["index"]: len(row["labels"]) or 1 for row in rows
    }
    assert [row["label"] for row in cells if row["index"] == "5"] == [
        label["name"] for label in rows[5]["labels"]
    ]


# A program that is killed after so many images, as `kill -9` does.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from lookcloser.batch import How, Job, predict_source

network, photos, out, last, processes = sys.argv[1:]

def progress(done, total):
    if done >= int(last):
        os.kill(os.getpid(), signal.SIGKILL)

job = Job(network, Path(out), how=How(batch_size=8))
predict_source(job, [photos], part_images=70, processes=int(processes), progress=progress)
"""


def test_killed_three_times_each_image_is_answered_once(photos, network, job, warm_python):
    places = sorted(np.random.default_rng(7).choice(COUNT, 3, replace=False).tolist())
    for place, processes in zip(places, ("1", "2", "1"), strict=True):
        given = [str(network), str(photos), str(job().out), str(place), processes]
        done = subprocess.run([warm_python, "-c", PROGRAM, *given], check=False)
        assert done.returncode == -signal.SIGKILL
        assert len(list(job().out.glob("part-*"))) < 5
    result = predict_source(job(), [str(photos)], part_images=70)
    assert 0 < result.resumed < COUNT
    check_complete(result.out, photos)
    assert sorted(path.name for path in result.out.iterdir() if path.name.startswith(".")) == []


def test_memory_does_not_grow_with_the_images(photos, job, tmp_path, monkeypatch):
    """A list of thirty times as many: at no time are more lines or images held than of one part."""
    listed = tmp_path / "list.txt"
    names = [str(photos / name) for name in list_images(photos)] * 10
    listed.write_text("\n".join(names))
    held = []
    real = Folder.finish

    def looks(self, part, lines):
        held.append((len(part.items), len(lines)))
        real(self, part, lines)

    monkeypatch.setattr(Folder, "finish", looks)
    monkeypatch.setattr(
        answering, "answer_batch", lambda engine, sources, *_: [_nothing(one) for one in sources]
    )
    result = predict_source(job(batch_size=50), [str(listed)], part_images=100)
    assert result.images == 3000
    assert set(held) == {(100, 100)}


def _nothing(source):
    from lookcloser.core.types import Prediction

    return Prediction("classification", (), (), (1, 1), Path(source))


def test_what_the_network_cannot_do_is_said_before_the_folder_is_begun(photos, job):
    with pytest.raises(LookcloserError, match="[Cc]overage 2"):
        predict_source(job(coverage=2.0), [str(photos)])
    assert not job().out.exists()


def test_usage(photos, job):
    with pytest.raises(LookcloserError, match="unknown engine.*plain, ray"):
        predict_source(job(), [str(photos)], engine="spark")
    with pytest.raises(LookcloserError, match="processes 0"):
        predict_source(job(), [str(photos)], processes=0)
    with pytest.raises(LookcloserError, match="unknown format.*csv, jsonl, parquet"):
        job("xml")
    with pytest.raises(LookcloserError, match="batch_size 0"):
        job(batch_size=0)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("ray.data", lambda job, photos: predict_source(job(), [photos], engine="ray")),
        ("pyarrow", lambda job, photos: predict_source(job("parquet"), [photos])),
    ],
)
def test_a_missing_extra_is_one_sentence(photos, job, monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    with pytest.raises(LookcloserError, match=rf"{package}.*pip install 'lookcloser\[scale\]'"):
        call(job, str(photos))
    assert not job().out.exists(), "said before the work"


def test_what_is_left_is_counted_without_a_trace(job, photos):
    source = [str(photos)]
    assert check_source(job(), source, part_images=100) == COUNT
    assert not job().out.exists()
    predict_source(job(), source, part_images=100, share=Share(2, 3))
    before = sorted(job().out.rglob("*"))
    assert check_source(job(), source, part_images=100) == 200
    assert check_source(job(), source, part_images=100, share=Share(2, 3)) == 0
    with pytest.raises(LookcloserError, match="begun with another top"):
        check_source(job(top=2), source, part_images=100)
    assert sorted(job().out.rglob("*")) == before


def test_an_address_of_ray_is_not_left_out(job, photos):
    with pytest.raises(LookcloserError, match="ray_address auto: needs --engine ray"):
        predict_source(job(), [str(photos)], ray_address="auto")
    assert not job().out.exists()
