"""predict --out on the command line: what it says, its exit codes, and how far it is."""

import json
import sys

import pytest

from lookcloser.cli import main
from lookcloser.cli.terminal import batch
from lookcloser.core import LookcloserError


@pytest.fixture
def program(monkeypatch, capsys):
    """The exit code, stdout and stderr of the program, run on words in this process."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lookcloser", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        shown = capsys.readouterr()
        return left.value.code or 0, shown.out, shown.err

    return run


def test_a_batch_and_its_second_run(program, network, photos, tmp_path):
    words = ("predict", network, photos, "--out", tmp_path / "out", "--part-images", 100)
    code, out, err = program(*words)
    assert code == 3, "finished with skips"
    assert out.splitlines() == [str(tmp_path / "out")]
    assert "300 images answered" in err
    assert "1 of 300 images could not be read" in err
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 3
    code, _, err = program(*words)
    assert code == 3, "as the first time"
    assert "300 images answered, 300 of them before" in err


def test_shares(program, network, photos, tmp_path):
    words = ("predict", network, photos, "--out", tmp_path / "out", "--part-images", 100)
    code, _, err = program(*words, "--shard", "3/3")
    assert code == 0
    assert "Share 3 of 3 is done; others are not yet" in err
    code, _, err = program(*words, "--shard", "3 of 3")
    assert code == 2
    assert "3 of 3: not a share. Allowed: 1/4 to 4/4 for four processes" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "csv"), "--format: does not go with predict without --out"),
        (("--processes", "2"), "--processes: does not go with predict without --out"),
        (("--engine", "ray"), "--engine: does not go with predict without --out"),
        (("--maps",), "--maps: does not go with predict without --out"),
        (("--out", "o", "--json"), "--json: does not go with --out"),
        (("--out", "o", "--save", "s"), "--save: does not go with --out"),
        (("--out", "o", "--format", "xml"), "xml: unknown format"),
        (("--out", "o", "--engine", "dask"), "dask: unknown engine"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(program, network, photos, words, said):
    code, _, err = program("predict", network, photos, *words)
    assert code == 2
    assert said in err


def test_dry_run(program, network, photos, tmp_path):
    code, out, err = program("predict", network, photos, "--out", tmp_path / "out", "--dry-run")
    assert code == 0
    assert "Would answer 300 images" in err
    assert out.strip() == f"would write {tmp_path / 'out'}"
    assert not (tmp_path / "out").exists()


def test_shards_are_written_and_answered(program, network, squares, tmp_path):
    code, out, err = program("data", "shard", squares, "--out", tmp_path / "s", "--per-shard", 40)
    assert (code, out.strip()) == (0, str(tmp_path / "s"))
    assert "78 images in 2 shards" in err
    assert err.splitlines()[-1] == f"Next: lookcloser train {tmp_path / 's'}"
    code, _, err = program("predict", network, tmp_path / "s", "--out", tmp_path / "out")
    assert code == 0
    (file,) = (tmp_path / "out").glob("part-*.jsonl")
    first = json.loads(file.read_text().splitlines()[0])
    assert first["path"].startswith(f"{tmp_path / 's'}/shard-000000.tar/0000")
    code, out, _ = program("data", "check", tmp_path / "s")
    assert code == 0
    assert "WebDataset shards, classification, 3 classes" in out


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys):
    now = [0.0]
    with batch.progress("Answering", clock=lambda: now[0]) as told:
        for seconds, done in ((0, 500), (10, 600), (31, 810), (40, 900), (62, 1120)):
            now[0] = seconds
            told(done, 100_000)
    assert capsys.readouterr().err.splitlines() == [
        "810 of 100,000 images, 10.0 images/s, 2.8 h left",
        "1,120 of 100,000 images, 10.0 images/s, 2.7 h left",
    ]


def test_a_share_is_two_numbers():
    assert batch.read_share("2/4") == (2, 4)
    for text in ("", "2", "-1/2", "1/2/3", "a/b"):
        with pytest.raises(LookcloserError, match="not a share"):
            batch.read_share(text)
