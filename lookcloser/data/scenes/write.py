"""Scenes as files: images and tables, in the layouts that the readers know."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.storage.atomic import refused
from lookcloser.data.scenes.canvas import Style
from lookcloser.data.scenes.kinds import KINDS, Kind, Scene
from lookcloser.data.scenes.tables import COLUMNS, table_rows
from lookcloser.version import __version__

Suffix = Literal[".png", ".jpg"]

_SETTINGS = ".scenes.json"
_DIGIT_SIZE: dict[Kind, tuple[float, float]] = {
    "single": (0.35, 0.48),
    "tags": (0.22, 0.3),
    "captions": (0.2, 0.42),
}


@dataclass(frozen=True)
class _Plan:
    """What decides every pixel and every file."""

    kind: Kind
    counts: dict[str, int]
    style: Style
    seed: int
    suffix: Suffix
    version: str = __version__

    def scenes(self) -> Iterator[tuple[str, str, Scene]]:
        """(file name, split, scene) of each; a generator of its own for each scene."""
        for number, (split, count) in enumerate(self.counts.items()):
            for index in range(count):
                key = [self.seed, list(KINDS).index(self.kind), number, index]
                scene = KINDS[self.kind](index, split, self.style, np.random.default_rng(key))
                folder = f"{split}/{scene.labels[0]}" if self.kind == "single" else split
                yield f"{folder}/{index:05d}{self.suffix}", split, scene


def write_scenes(
    folder: str | Path,
    kind: Kind = "single",
    *,
    train: int = 3000,
    val: int = 500,
    test: int = 600,
    size: int = 96,
    digit_size: tuple[int, int] | None = None,
    clutter: tuple[int, int] = (2, 5),
    contrast: tuple[float, float] = (0.25, 0.6),
    seed: int = 0,
    suffix: Suffix = ".png",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Compose scikit-learn's handwritten digits into scenes and write them as an ordinary data set.

    The same arguments give the same pixels; scene number n of a split does not depend on how many
    there are. The three splits draw from different handwritten samples, whatever the seed. What is
    written, with boxes of the visible ink in pixels, x1 and y1 exclusive:

    - ``single``: one digit, ``train/3/00013.png``, and ``boxes.csv`` with columns image, label,
      split, x0, y0, x1, y1.
    - ``tags``: several digits that occur together by a rule, some hardly visible;
      ``train/00013.png`` and ``labels.csv`` with columns image, labels, split, x0, y0, x1, y1, one
      row per digit.
    - ``captions``: one or two digits with color, size and relation; ``train/00013.png``,
      ``captions.csv`` with columns image, caption, split (two digits have two captions, one from
      the side of each), and ``boxes.csv`` with columns image, word, x0, y0, x1, y1.

    Args:
        folder: Where to. It appears when everything is written. If it holds the same scenes
            already, nothing is done.
        kind: "single" (classification), "tags" (multilabel) or "captions".
        train: Number of scenes in this split, as are ``val`` and ``test``.
        val: See ``train``.
        test: See ``train``.
        size: Side of the square images in pixels.
        digit_size: Smallest and largest height of a digit in pixels; None for a share of ``size``
            that suits the kind. Clutter is made at the same scale.
        clutter: Fewest and most pieces of clutter in a scene.
        contrast: Smallest and largest brightness of digits and clutter above what is around them,
            in [0, 1].
        seed: Of everything random, at least 0.
        suffix: ".png", or ".jpg" for large images.
        progress: Called with (scenes written, scenes in all) after each.

    Returns:
        ``folder`` as a path.

    Raises:
        LookcloserError: If an argument does not fit, or the folder holds something else.
    """
    folder = Path(folder)
    if kind not in KINDS:
        raise unknown(kind, "kind of scenes", KINDS)
    if suffix not in get_args(Suffix):
        raise unknown(suffix, "format of scenes", get_args(Suffix))
    if digit_size is None:
        low, high = _DIGIT_SIZE[kind]
        digit_size = (round(low * size), round(high * size))
    style = Style(size, digit_size, clutter, contrast)
    plan = _Plan(kind, {"train": train, "val": val, "test": test}, style, seed, suffix)
    _check(plan)
    if not _is_written(folder, plan):
        try:
            _write(folder, plan, progress)
        except OSError as error:
            raise refused(folder, error, kept="") from error
    return folder


def _check(plan: _Plan) -> None:
    style = plan.style
    ranges = {
        "digit_size": (style.digit_size, 8, style.size),
        "clutter": (style.clutter, 0, 1000),
        "contrast": (style.contrast, 0.0, 1.0),
    }
    for name, ((low, high), least, most) in ranges.items():
        if not least <= low <= high <= most:
            raise LookcloserError(
                f"{name} {low} to {high}: not a range of scenes of {style.size} pixels",
                allowed=f"From {least} to {most}, the smaller one first",
            )
    if min(plan.seed, *plan.counts.values()) < 0:
        raise LookcloserError("A seed or a number of scenes is negative", allowed="0 or more")


def _is_written(folder: Path, plan: _Plan) -> bool:
    """Whether ``folder`` holds just these scenes; an error if it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    settings = folder / _SETTINGS
    if settings.is_file() and settings.read_text(encoding="utf-8") == _as_json(plan):
        return True
    raise LookcloserError(
        f"{folder}: there is something else already", fix="Choose another folder, or remove it"
    )


def _write(folder: Path, plan: _Plan, progress: Callable[[int, int], None] | None) -> None:
    # Beside the folder, so that the last step is a rename on the same disk.
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    tables = {name: [columns] for name, columns in COLUMNS[plan.kind].items()}
    total = sum(plan.counts.values())
    try:
        partial.mkdir(parents=True)
        for done, (name, split, scene) in enumerate(plan.scenes(), start=1):
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # Fast compression: PNG at level 1; JPEG fine enough to leave thin ink as it is.
            Image.fromarray(scene.pixels).save(path, compress_level=1, quality=92)
            for table, row in table_rows(plan.kind, name, split, scene):
                tables[table].append(row)
            if progress is not None:
                progress(done, total)
        for table, rows in tables.items():
            with (partial / table).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        (partial / _SETTINGS).write_text(_as_json(plan), encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _as_json(plan: _Plan) -> str:
    return json.dumps(asdict(plan))
