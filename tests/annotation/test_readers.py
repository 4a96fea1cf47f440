"""Folders of `annotate` in the hands of the programs that they are for, where these are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookcloser.annotation.formats import FORMATS
from lookcloser.annotation.records import Record, Segmentation, Thing

from ..ultralytics_sets import IF_THERE, loaded

pytestmark = IF_THERE

NAMES = ("cat", "owl, snowy", "Überraschung: 'x'")
OUTLINE = [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]]


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Images of two splits: one with two boxes, one with one, one without any."""
    found = []
    masks: list[Segmentation] = [OUTLINE, [[0.0, 0.0, 40.0, 0.0, 40.0, 30.0]]]
    things = (
        (Thing(NAMES[0], 0.75, (2.0, 3.0, 12.0, 9.0), 60.0, masks[0]),
         Thing(NAMES[2], 0.5, (0.0, 0.0, 40.0, 30.0), 600.0, masks[1])),
        (Thing(NAMES[1], 0.25, (10.5, 5.5, 20.5, 15.5), 90.0, masks[0]),),
        (),
    )  # fmt: skip
    noise = np.random.default_rng(0)
    for name, on_it in zip(
        ("train/x & y/1.png", "val/2.jpg", "val/plain ü.jpg"), things, strict=True
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(path)
        found.append(Record(name, str(path), name.split("/")[0], (40, 30), on_it))
    return found


@pytest.mark.parametrize("moved", [False, True], ids=["in place", "moved"])
def test_ultralytics_opens_boxes(records: list[Record], tmp_path: Path, moved: bool) -> None:
    plain = [
        Record(r.name, r.source, r.split, r.size, tuple(replace(t, mask=None) for t in r.things))
        for r in records
    ]
    FORMATS["yolo"](tmp_path / "out", plain, NAMES)
    folder = tmp_path / "out"
    if moved:
        folder = folder.rename(tmp_path / "elsewhere")
    found = loaded(folder / "data.yaml", "detect", tmp_path)
    assert list(found["names"].values()) == list(NAMES)
    (first,) = found["train"]
    assert first["classes"] == [0, 2]
    assert first["boxes"][0] == pytest.approx([7 / 40, 6 / 30, 10 / 40, 6 / 30], abs=1e-4)
    assert sorted(len(image["classes"]) for image in found["val"]) == [0, 1]


def test_ultralytics_opens_outlines(records: list[Record], tmp_path: Path) -> None:
    FORMATS["yolo"](tmp_path / "out", records, NAMES)
    found = loaded(tmp_path / "out" / "data.yaml", "segment", tmp_path)
    (first,) = found["train"]
    assert first["corners"] == [4, 3]
    assert first["boxes"][0] == pytest.approx([7 / 40, 6 / 30, 10 / 40, 6 / 30], abs=1e-4)
