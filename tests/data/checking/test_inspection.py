"""What opening every file shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.archives import Packed
from lookcloser.data import Sample, read_as_given, write_shards
from lookcloser.data.checking import inspection
from lookcloser.data.checking.inspection import inspect_samples


def image(path: Path, width: int, height: int, seed: int = 0) -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return Sample(path.name, path, ("a",))


@pytest.mark.parametrize(
    ("usual", "odd", "tiny"),
    [
        ((200, 100), (200, 9), True),  # a side below a tenth of the usual shorter one
        ((200, 100), (9, 200), True),
        ((200, 100), (200, 10), False),
        ((8, 8), (3, 8), True),  # a few pixels
        ((8, 8), (4, 8), False),
    ],
)
def test_far_smaller_than_the_others(tmp_path: Path, usual: Any, odd: Any, tiny: bool) -> None:
    samples = [image(tmp_path / f"{n}.png", *usual, seed=n) for n in range(3)]
    found = inspect_samples([*samples, image(tmp_path / "odd.png", *odd)])
    assert found.tiny == (("odd.png",) if tiny else ())
    assert [*found.sizes.values()][-1] == odd


def test_copies_inside_of_archives_are_found(write: Any, tmp_path: Path) -> None:
    root = write(*(f"data/{c}/{i}.png" for c in "ab" for i in "12")) / "data"
    (root / "b" / "9.png").write_bytes((root / "a" / "1.png").read_bytes())
    write_shards(read_as_given(root), tmp_path / "out", per_shard=2)
    samples = read_as_given(tmp_path / "out").samples
    assert all(isinstance(sample.source, Packed) for sample in samples)
    (group,) = inspect_samples(samples).duplicates
    assert group.names == ("a/1.png", "b/9.png")
    assert group.labels == (("a",), ("b",))


def test_a_file_that_goes_away_meanwhile_is_a_copy_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [image(tmp_path / f"{n}.bmp", 8, 8) for n in range(3)]
    digest = inspection._digest

    def gone(sample: Sample) -> bytes | None:
        if sample.name == "1.bmp":
            Path(str(sample.source)).unlink()
        return digest(sample)

    monkeypatch.setattr(inspection, "_digest", gone)
    (group,) = inspect_samples(samples).duplicates
    assert group.names == ("0.bmp", "2.bmp")


def test_equal_files_of_two_splits_are_copies_and_not_nearly_the_same(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("1.png", "2.png", "3.jpg"))
    coarse = Image.open(image(one, 6, 6).source)  # what is left when it is small
    coarse.resize((40, 40)).save(one)
    coarse.resize((40, 40)).save(two)
    coarse.resize((80, 80)).save(other, quality=95)
    samples = [
        Sample(path.name, path, ("a",), split=split)
        for path, split in ((one, "train"), (two, "val"), (other, "test"))
    ]
    found = inspect_samples(samples)
    assert [group.names for group in found.duplicates] == [("1.png", "2.png")]
    assert [(pair.names, pair.splits) for pair in found.near] == [
        (("1.png", "3.jpg"), ("train", "test"))
    ]
    assert inspect_samples(samples, decode=False).near == ()


def test_a_box_may_reach_a_pixel_beyond_the_edge_and_no_further(tmp_path: Path) -> None:
    whole = image(tmp_path / "1.png", 20, 10)
    boxes = {
        "sound": (-1.0, -1.0, 21.0, 11.0), "right": (0.0, 0.0, 21.5, 5.0),
        "low": (0.0, 0.0, 5.0, 11.5), "empty": (5.0, 2.0, 5.0, 8.0),
        "swapped": (0.0, 8.0, 5.0, 2.0), "unknown": (0.0, 0.0, float("nan"), 5.0),
    }  # fmt: skip
    samples = [
        Sample(name, whole.source, ("a",), boxes=(("a", (1.0, 1.0, 2.0, 2.0)), ("a", box)))
        for name, box in boxes.items()
    ]
    assert inspect_samples(samples).misboxed == tuple(boxes)[1:]
