"""The data of a run, where it is still there and still of its task."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lookcloser.recognizer import Recognizer
from lookcloser.recognizer.run_data import data_of_run
from lookcloser.training.folder import write_config
from lookcloser.training.options import make_options


def test_it_is_read_as_it_was_split(
    of_run: Recognizer, untrained_run: Path, squares: Path, tmp_path: Path
) -> None:
    for color in ("blue", "green", "red"):
        shutil.copytree(squares / "train" / color, tmp_path / "flat" / color)
    write_config(untrained_run, tmp_path / "flat", make_options(), "")

    def test_images(**splits: float) -> set[str]:
        of_run.header = replace(of_run.header, provenance={"splits": splits})
        catalog = data_of_run(of_run)
        assert catalog is not None
        return {sample.name for sample in catalog.split("test")}

    first = test_images(seed=1, val_share=0.0, test_share=0.5)
    assert len(first) == 24
    assert test_images(seed=1, val_share=0.25, test_share=0.5) == first
    assert test_images(seed=2, val_share=0.0, test_share=0.5) != first


def test_a_single_file_has_none(alone: Recognizer) -> None:
    assert data_of_run(alone) is None


@pytest.mark.parametrize("broken", ["moved", "other task", "no config", "damaged config"])
def test_data_that_is_of_no_use_is_none(
    of_run: Recognizer, untrained_run: Path, squares: Path, tmp_path: Path, broken: str
) -> None:
    assert data_of_run(of_run) is not None
    config = untrained_run / "config.yaml"
    if broken == "moved":
        write_config(untrained_run, tmp_path / "gone", make_options(), "")
    elif broken == "other task":
        shutil.copy(squares / "test" / "red" / "0.png", tmp_path / "a.png")
        (tmp_path / "tags.csv").write_text("image,tags\na.png,x|y\n")
        write_config(untrained_run, tmp_path / "tags.csv", make_options(), "")
    elif broken == "no config":
        config.unlink()
    else:
        config.write_text("data: 2020-13-45")
    assert data_of_run(of_run) is None
