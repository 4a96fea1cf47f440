"""annotate: what it says of images, and how it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Program

pytest.importorskip("onnxruntime")
from ..batch.conftest import write_network  # it needs onnx


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "colors.onnx")


@pytest.fixture
def images(squares: Path, tmp_path: Path) -> Path:
    """Six images without labels."""
    for number in range(6):
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copy(squares / "test" / "red" / f"{number}.png", tmp_path / "images")
    return Path("images")


def test_an_interrupted_work_goes_on_and_is_said(
    program: Program, network: Path, images: Path
) -> None:
    first = program("annotate", network, images, "--format", "csv", "--out", "boxes")
    assert first.code == 0, first.err
    assert "6 boxes on 6 images\n" in first.err
    assert "images: 6 images without labels" in first.err
    (file,) = first.out.splitlines()
    rows = Path(file).read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 6
    shutil.copy(images / "0.png", images / "new.png")
    again = program("annotate", network, images, "--format", "csv", "--out", "boxes")
    assert "7 boxes on 7 images; 6 done before\n" in again.err
    assert len(Path(file).read_text(encoding="utf-8").splitlines()) == 1 + 7


def test_images_that_cannot_be_read_end_with_three(
    program: Program, network: Path, images: Path
) -> None:
    (images / "3.png").write_bytes(b"no image")
    done = program("annotate", network, images, "--format", "csv")
    assert done.code == 3
    assert [line for line in done.err.splitlines() if line.startswith("skipped: ")]
    assert done.err.splitlines()[-1] == "1 image could not be read"
    assert "5 boxes on 6 images" in done.err
    assert "Next" not in done.err, "an exported file has no views"


def test_scores_below_the_lowest_are_left_out(
    program: Program, network: Path, images: Path
) -> None:
    done = program("annotate", network, images, "--format", "csv", "--min-score", "1")
    assert done.code == 0
    assert "\n0 boxes on 6 images\n" in done.err


def test_paths_on_stdout_cannot_command_the_terminal(
    program: Program, network: Path, images: Path
) -> None:
    done = program("annotate", network, images, "--format", "csv", "--out", "b\x1b[31m")
    assert done.out.startswith("b\\x1b[31m/")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--format", "cocoa"], 2, "cocoa: unknown format. Close: coco."),
        (["--format", "voc", "--masks", "rle"], 2, "rle: no masks that voc can hold."),
        (["--labels", "gievn"], 2, "gievn: unknown kind of labels. Close: given."),
        (["--split", "tset"], 1, "images"),
        (["--out", "images"], 1, "images: exists already and is not empty. Choose another --out."),
        (["--out", "images/0.png"], 1, "images/0.png: exists already and is not empty."),
        (["--engine", "dask"], 2, "dask: unknown engine."),
        (["--processes", "2"], 2, "--processes 2: needs --engine ray."),
        (["--box-rule", "half"], 2, "half: unknown box rule."),
    ],
)
def test_a_dry_run_refuses_what_the_work_refuses(
    program: Program, network: Path, images: Path, words: list[str], code: int, said: str
) -> None:
    for more in (["--dry-run"], []):
        done = program("annotate", network, images, *words, *more)
        assert (done.code, done.out) == (code, ""), done.err
        assert said in done.said
    assert [path.name for path in Path().iterdir()] == ["images"]


def test_a_dry_run_goes_on_in_a_folder_that_was_begun(
    program: Program, network: Path, images: Path
) -> None:
    program("annotate", network, images, "--format", "csv", "--out", "boxes")
    done = program("annotate", network, images, "--format", "coco", "--out", "boxes", "--dry-run")
    assert (done.code, done.out) == (0, "would write boxes\n")
    assert "Would annotate 6 images" in done.err
