"""predict --out by its words, and where the other verbs run their network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from lookcloser.cli.terminal import batch
from lookcloser.core.errors import UsageError

from ..conftest import Program

pytest.importorskip("onnxruntime")
from ...batch.conftest import write_network  # it needs onnx

COLORS = {"a.png": "red", "b.png": "green", "c.png": "blue", "d.png": "red", "e.png": "red"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "colors.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images, in the current folder of `program`."""
    (tmp_path / "photos").mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (8, 8), color).save(tmp_path / "photos" / name)
    return Path("photos")


def answers(folder: str = "out") -> list[dict[str, object]]:
    """All lines of a folder, in the order of its parts."""
    parts = sorted(Path(folder).glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


WORDS = "--out", "out", "--part-images", "2"


def test_answers_go_into_parts_and_stdout_names_the_folder(
    program: Program, network: Path, photos: Path
) -> None:
    done = program("predict", network, photos, *WORDS, "--top", "1")
    assert (done.code, done.out) == (0, "out\n")
    assert done.err.startswith("5 images answered\n")
    assert done.next.endswith(" IMAGE --save evidence/")
    assert len(list(Path("out").glob("part-*.jsonl"))) == 3
    found = answers()
    assert [line["index"] for line in found] == [0, 1, 2, 3, 4]
    assert [line["labels"][0]["name"] for line in found] == list(COLORS.values())  # type: ignore[index]
    assert all(len(line["labels"]) == 1 for line in found)  # type: ignore[arg-type]


def test_what_cannot_be_read_ends_with_three(program: Program, network: Path, photos: Path) -> None:
    (photos / "b.png").write_bytes(b"no image")
    done = program("predict", network, photos, *WORDS)
    assert (done.code, done.out) == (3, "out\n")
    assert done.err.splitlines()[-2] == "1 of 5 images could not be read"
    assert [bool(line["error"]) for line in answers()] == [False, True, False, False, False]


def test_a_name_of_the_folder_cannot_command_the_terminal(
    program: Program, network: Path, photos: Path
) -> None:
    done = program("predict", network, photos, "--out", "o\x1b[31m")
    assert done.out == "o\\x1b[31m\n"
    assert Path("o\x1b[31m").is_dir()


def test_a_dry_run_counts_what_is_left_of_the_share(
    program: Program, network: Path, photos: Path
) -> None:
    def left(*more: str) -> str:
        done = program("predict", network, photos, *WORDS, *more, "--dry-run")
        assert (done.code, done.out) == (0, "would write out\n")
        return str(done.err)

    assert left() == "Would answer 5 images\n"
    assert left("--shard", "2/3") == "Would answer 2 images\n"
    assert left("--shard", "3/3") == "Would answer 1 image\n"
    assert not Path("out").exists()
    program("predict", network, photos, *WORDS, "--shard", "1/3")
    assert left() == "Would answer 3 images\n"
    assert left("--shard", "1/3") == "Would answer 0 images\n"
    program("predict", network, photos, *WORDS)
    assert left() == "Would answer 0 images\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--engine", "dask"], 2, "dask: unknown engine. There are: plain, ray."),
        (["--shard", "5/4"], 2, "--shard 5/4: not possible. Allowed: 1/4 to 4/4"),
        (["--shard", "0/4"], 2, "--shard 0/4: not possible."),
        (["--shard", "1:4"], 2, "--shard 1:4: not a share."),
        (["--coverage", "95"], 2, "at most 0.99"),
        (["--coverage", "0.9"], 1, "promises no coverage"),
        (["--coverage", "0.9", "--sets", "raps"], 2, "raps: unknown kind of set."),
        (["--sets", "aps"], 2, "--sets: does not go with predict without --coverage."),
        (["--box-rule", "half"], 2, "half: unknown box rule."),
        (["--format", "xml"], 2, "xml: unknown format."),
        (["--ray-address", "auto"], 2, "--ray-address auto: needs --engine ray."),
        (["--csv", "a.csv"], 2, "--csv: does not go with --out."),
        (["--out", "photos"], 1, "photos: exists already and is not empty. Choose another --out."),
        (["--out", "photos/a.png"], 1, "photos/a.png: exists already and is not empty."),
        (["--out", "begun", "--top", "3"], 1, "begun: was begun with another top (5, now 3)."),
        (["--part-images", "3", "--out", "begun"], 1, "another images of a part (2, now 3)"),
    ],
)
def test_a_dry_run_refuses_what_the_work_refuses(
    program: Program, network: Path, photos: Path, words: list[str], code: int, said: str
) -> None:
    asked = ["predict", network, photos, *WORDS]
    if "begun" in words:
        program(*asked, "--out", "begun")
    before = sorted(Path().rglob("*"))
    dry = program(*asked, *words, "--dry-run")
    assert (dry.code, dry.out) == (code, ""), dry.err
    assert said in dry.said
    wet = program(*asked, *words)
    assert (wet.code, wet.out, wet.err) == (dry.code, dry.out, dry.err)
    assert sorted(Path().rglob("*")) == before


class Seen(Console):
    """A terminal, whatever stderr is."""

    is_terminal = True


def told(steps: Sequence[tuple[float, int]], total: int) -> None:
    now = [0.0]
    with batch.progress("Answering", clock=lambda: now[0]) as tell:
        for seconds, done in steps:
            now[0] = seconds
            tell(done, total)


def test_a_terminal_gets_a_bar_with_the_speed_of_this_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("rich.console.Console", Seen)
    told([(0, 500), (10, 600)], 1600)  # 500 were done before: 100 in 10 s, and 1000 are left
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Answering" in shown.err
    assert "600/1600" in shown.err
    assert "10.0 images/s, 2 min left" in shown.err


def test_nothing_is_said_before_there_is_a_speed(capsys: pytest.CaptureFixture[str]) -> None:
    told([(0, 0), (29.9, 10), (29.95, 20)], 100)
    assert capsys.readouterr().err == ""
    told([(0, 0), (batch.EVERY, 0), (batch.EVERY, 30), (2 * batch.EVERY - 1, 60)], 100)
    assert capsys.readouterr().err == "30 of 100 images, 1.0 images/s, 70 s left\n"


def test_without_an_engine_the_network_runs_here() -> None:
    assert batch.read_spread("run", None, None, None, None) is None
    assert batch.read_spread("run", "plain", None, None, "cpu") is None


@pytest.mark.parametrize(
    ("engine", "processes", "address", "said"),
    [
        ("dask", None, None, "dask: unknown engine"),
        ("", None, None, ": unknown engine"),
        (None, 2, None, "--processes 2: needs --engine ray"),
        ("plain", None, "auto", "--ray-address auto: needs --engine ray"),
    ],
)
def test_what_belongs_to_ray_is_refused_without_it(
    engine: str | None, processes: int | None, address: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        batch.read_spread("run", engine, processes, address, None)


def test_ray_is_told_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookcloser.batch.RaySpread", lambda *given: given)
    found = batch.read_spread("run", "ray", 3, "head:6379", "cuda")
    assert found == ("run", "cuda", 3, "head:6379")  # type: ignore[comparison-overlap]


def test_options_that_were_not_given_are_not_refused() -> None:
    batch.refuse("--out", {"--save": None, "--json": False})
    for value in (True, "x", 2, Path("e")):
        with pytest.raises(UsageError, match="^--save: does not go with --out"):
            batch.refuse("--out", {"--json": False, "--save": value})
