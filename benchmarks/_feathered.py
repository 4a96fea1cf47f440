"""Birds laid into photographs: small objects in large images, an ordinary data set with boxes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NOTHING = "nothing"  # the class of photographs without a bird
COLUMNS = ("image", "label", "split", "x0", "y0", "x1", "y1")
_EDGE = 0.15  # of the bird's side, over which it fades into the photograph


@dataclass(frozen=True)
class Setting:
    """How images are made.

    Attributes:
        side: The smallest and the largest side of an image.
        bird: Of a bird in it.
        train: Training images of each class.
        test: Test images, over all classes.
        species: The first and the last, in alphabetical order; the last exclusive.
        distractors: Share of test images, and images a class in training, without a bird.
    """

    side: tuple[int, int] = (448, 448)
    bird: tuple[int, int] = (80, 160)
    train: int = 20
    test: int = 500
    species: tuple[int, int] = (0, 50)
    distractors: float = 0.0

    @property
    def words(self) -> str:
        """As a folder's name: what was written for one setting is not read for another."""
        numbers = (*self.side, *self.bird, self.train, self.test, *self.species, self.distractors)
        return "-".join(f"{number:g}" for number in numbers)

    @property
    def title(self) -> str:
        """Of a table of results."""
        low, high = self.side
        number = self.species[1] - self.species[0]
        fewer = f"{number} species" if number != 50 else ""
        wide = "" if low == high == 448 else f"in photographs of {low} to {high} px"
        empty = f"{self.distractors:.0%} more without a bird" if self.distractors else ""
        return ", ".join(filter(None, (fewer, wide, empty))) or "small objects"


def write_birds(
    birds: Path, photos: Path, folder: Path, setting: Setting, seed: int, workers: int = 1
) -> Path:
    """Write ``train/CLASS/*.jpg``, ``test/CLASS/*.jpg`` and ``boxes.csv``; the same each time.

    Training and test have birds and photographs of their own.

    Args:
        birds: Class folders below ``train`` and ``test``.
        photos: A folder of photographs without birds.
        folder: Where to; kept as it is where its table is there.
        setting: How.
        seed: Of every draw.
        workers: Processes that write.
    """
    if (folder / "boxes.csv").is_file():
        return folder
    names = sorted(path.name for path in (birds / "train").iterdir())
    names = names[slice(*setting.species)]
    backgrounds = sorted(photos.glob("*.jpg"))
    jobs: list[_Job] = []
    for number, split in enumerate(("train", "test")):
        for index, (name, source) in enumerate(
            _sources(birds / split, names, setting, split, seed)
        ):
            path = folder / split / name / f"{index:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            draws = seed, number, index
            jobs.append(_Job(path, source, tuple(backgrounds[number::2]), setting, draws))
    with Pool(workers) as pool:
        boxes = pool.map(_write, jobs, chunksize=16)
    rows = [
        (job.path.relative_to(folder).as_posix(), job.path.parts[-2], job.path.parts[-3], *box)
        for job, box in zip(jobs, boxes, strict=True)
    ]
    with (folder / "boxes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return folder


class _Job(NamedTuple):
    """An image to be written: its file, its bird, the photographs, and what its draws follow."""

    path: Path
    source: Path | None
    photographs: tuple[Path, ...]
    setting: Setting
    draws: tuple[int, ...]


def _write(job: _Job) -> tuple[int | str, ...]:
    """The box of its bird."""
    rng = np.random.default_rng(job.draws)
    photograph = job.photographs[rng.integers(len(job.photographs))]
    image, box = _composed(job.source, photograph, job.setting, rng)
    image.save(job.path, quality=92)
    return box


def _sources(
    folder: Path, names: Sequence[str], setting: Setting, split: str, seed: int
) -> list[tuple[str, Path | None]]:
    """The class and the bird of each image."""
    found: list[tuple[str, Path | None]] = []
    rng = np.random.default_rng([seed, 2, split == "test"])
    for name in names:
        own = sorted((folder / name).glob("*.jpg"))
        chosen = rng.permutation(len(own))[: setting.train] if split == "train" else range(len(own))
        found += [(name, own[place]) for place in chosen]
    if split == "test":
        found = [found[place] for place in rng.permutation(len(found))[: setting.test]]
    if setting.distractors:
        empty = setting.train if split == "train" else round(setting.distractors * setting.test)
        found += [(NOTHING, None)] * empty
    return found


def _composed(
    source: Path | None, photograph: Path, setting: Setting, rng: np.random.Generator
) -> tuple[Image.Image, tuple[int | str, ...]]:
    """An image, and the box of its bird; four empty cells without one."""
    width, height = (int(side) for side in rng.integers(setting.side[0], setting.side[1] + 1, 2))
    canvas = _covering(Image.open(photograph).convert("RGB"), (width, height), rng)
    if source is None:
        return canvas, ("", "", "", "")
    side = int(rng.integers(setting.bird[0], setting.bird[1] + 1))
    left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    bird = Image.open(source).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    canvas.paste(bird, (left, top), Image.fromarray(_feather(side)))
    return canvas, (left, top, left + side, top + side)


def _covering(image: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A random part of ``image`` that fills ``size``, as large as it can be."""
    ratio = min(image.width / size[0], image.height / size[1])
    width, height = size[0] * ratio, size[1] * ratio
    left = rng.uniform(0, max(image.width - width, 0))
    top = rng.uniform(0, max(image.height - height, 0))
    part = (left, top, left + width, top + height)
    return image.resize(size, Image.Resampling.LANCZOS, box=part)


def _feather(side: int) -> NDArray[np.uint8]:
    """(side, side) opacity: 255 inside, falling smoothly to 0 at the edge."""
    inward = (np.arange(side) + 0.5) / (_EDGE * side)
    ramp = np.clip(np.minimum(inward, inward[::-1]), 0, 1)
    smooth = ramp**2 * (3 - 2 * ramp)
    return np.round(255 * np.outer(smooth, smooth)).astype(np.uint8)
