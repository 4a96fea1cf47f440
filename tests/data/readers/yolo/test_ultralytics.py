"""The program that such sets are made for reads the same from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookcloser.data import read_data

from ....ultralytics_sets import IF_THERE, loaded
from .conftest import SIZE, Data

pytestmark = IF_THERE

PAGE = "train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"
LABELS = {
    "detect": ("0 0.5 0.5 0.2 0.4\n1 0.25 0.5 0.5 1.0\n0 0.5 0.5 0.2 0.4\n", "1 .1 .2 .1 .1\r\n"),
    "segment": ("0 0.1 0.2 0.5 0.3 0.3 0.9\n1 0.2 0.2 0.4 0.2 0.4 0.6 0.2 0.6\n",
                "1 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5"),
    "pose": ("0 0.5 0.5 0.2 0.4 0.45 0.5 2 0 0 0\n", "1 0.2 0.3 0.1 0.2 0.2 0.3 1 0.1 0.2 2\n"),
}  # fmt: skip


@pytest.mark.parametrize("task", list(LABELS))
def test_classes_and_boxes_are_the_same(data: Data, tmp_path: Path, task: str) -> None:
    more = "kpt_shape: [2, 3]\n" if task == "pose" else ""
    first, second = LABELS[task]
    root = data(
        "images/train/1.jpg images/train/2.jpg images/val/3.jpg",
        {"data.yaml": PAGE + more, "labels/train/1.txt": first, "labels/val/3.txt": second},
    )
    samples = {str(sample.source): sample for sample in read_data(root).samples}
    theirs = loaded(root / "data.yaml", task, tmp_path)
    assert set(theirs["names"].values()) == {"cat", "dog"}
    seen = [image for split in ("train", "val") for image in theirs[split]]
    assert sorted(image["file"] for image in seen) == sorted(samples)
    for image in seen:
        sample = samples[image["file"]]
        assert sample.split == Path(image["file"]).parent.name
        expected = sorted(
            (("cat", "dog")[int(number)], *_corners(box))
            for number, box in zip(image["classes"], image["boxes"], strict=True)
        )
        ours = sorted((str(label), *box) for label, box in sample.boxes)
        assert [label for label, *_ in ours] == [label for label, *_ in expected]
        for (_, *box), (_, *true) in zip(ours, expected, strict=True):
            assert box == pytest.approx(true, abs=1e-3)


def _corners(box: list[float]) -> tuple[float, ...]:
    x, y, width, height = (share * side for share, side in zip(box, (*SIZE, *SIZE), strict=True))
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
