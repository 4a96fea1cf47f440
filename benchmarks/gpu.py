"""Everything that needs a GPU, in one script of ten minutes at most, its start included.

- evidence: answers with their maps over the bare forward pass
- decoding: images/s of a core, which bounds training
- training: images/s of `lookcloser train` over a bare loop on a batch that lies in memory, in
  float32, bfloat16, with and without channels-last; and its share of waiting for data
- compiled: the same with a compiled network, and how long compiling takes
- osme, racnn: on birds50 at 224 px, top-1 of what is learned in the time
- batch: images/s of `lookcloser predict --out`
- fsdp: one process trains with `--strategy fsdp` and without: scores, weights, images/s, memory;
  a second training without says how much of the difference is the GPU's own

Each part runs as a program of its own and has its share of the minutes; what another leaves goes to
those that follow. One that takes longer, or fails, is ended and has a row that says so, and the
others run all the same. Results are written after every row; `--parts` brings some of them up to
date. What has been compiled lies in torch's cache (TORCHINDUCTOR_CACHE_DIR): cut off, it is faster
the next time.

`--quick` runs every part on next to nothing, on the CPU: a test that the script itself works.
Without a GPU and without `--quick` it says so and ends.

python benchmarks/gpu.py --birds birds50/ --weights mobilenetv2_100.safetensors
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _gpu_parts import PARTS, command
from _gpu_work import LOOKING, Work
from _harness import arguments, machine, report
from _within import Row, rows_within
from PIL import Image

FULL = Work(
    "resnet50", "vit_base_patch16_224", "mobilenetv2_100", side=224, batch=128, looks=32, steps=30,
    images=2048, repeats=2, workers=12, epochs=12,
)  # fmt: skip
QUICK = Work(
    "test_resnet", "test_vit", "test_resnet", side=32, batch=8, looks=8, steps=2, images=24,
    repeats=1, workers=0, epochs=1,
)  # fmt: skip
# Seconds of ten minutes, or what they are to each other. On an H200 all but "compiled", "osme" and
# "racnn" took less.
SHARES = {
    "evidence": 40, "decoding": 25, "training": 100, "compiled": 165, "osme": 80, "racnn": 95,
    "batch": 45, "fsdp": 50,
}  # fmt: skip
IMAGES = {"decoding", "training", "compiled", "batch", "fsdp"}  # parts that need some
UNFINISHED = "not finished"
Run = Callable[[str, Work, float], Iterator[Row]]  # a part within so many seconds


def write_images(folder: Path, count: int, side: int) -> Path:
    """JPEG files in two classes, all for training."""
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        path = folder / "train" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((side, side)).save(path)
    return folder


def repeated(source: Path, folder: Path, times: int) -> Path:
    """The files of ``source`` under so many names each."""
    for file in sorted(source.rglob("*.jpg")):
        for turn in range(times):
            path = folder / file.relative_to(source).with_stem(f"{file.stem}-{turn}")
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, path)
    return folder


def apart(part: str, work: Work, seconds: float) -> Iterator[Row]:
    """The part as a program of its own."""
    rows = Path(work.folder) / f"{part}.jsonl"
    yield from rows_within(command(part, work, rows, time.monotonic() + seconds), rows, seconds)


def measured(
    parts: list[str],
    work: Work,
    until: float,
    run: Run,
    put: Callable[[dict[str, list[Row]]], None],
) -> dict[str, str]:
    """Run the parts one after the other.

    Args:
        parts: Their names.
        work: What is done.
        until: When `time.monotonic` ends all of them.
        run: Does a part.
        put: Called with all tables after each row.

    Returns:
        Why a part has no end, of those that have none.
    """
    tables: dict[str, list[Row]] = {}
    why: dict[str, str] = {}
    for number, part in enumerate(parts):
        left = until - time.monotonic()
        seconds = left * SHARES[part] / sum(SHARES[name] for name in parts[number:])
        rows: list[Row] = []
        start = time.monotonic()
        try:
            for row in run(part, work, seconds):
                print(part, row, flush=True)
                place(rows, row)
                put({**tables, part: rows})
        except Exception as error:
            traceback.print_exc()
            why[part] = str(error)
            unfinished(rows, part, why[part])
        tables[part] = rows
        put(tables)
        print(f"{part}: {time.monotonic() - start:.0f} of {seconds:.0f} s", flush=True)
    return why


def place(rows: list[Row], row: Row) -> None:
    """Put a row into its table, where one of the same name has announced it in its place."""
    name = next(iter(row.values()))
    if rows and next(iter(rows[-1].values())) == name:
        rows.pop()
    rows.append(row)


def unfinished(rows: list[Row], part: str, reason: str) -> None:
    """Say why a part ends here: in the row that was under way, or in one of its own."""
    if not rows or len(rows[-1]) > 1:
        rows.append({part: "the rest" if rows else "all"})
    rows[-1][UNFINISHED] = reason


def main(words: list[str] | None = None, run: Run = apart) -> None:
    parser = arguments("gpu", __doc__)
    parser.add_argument("--birds", type=Path, help="birds50, for racnn and osme")
    parser.add_argument("--weights", default="none", help="of mobilenetv2_100, for these")
    parser.add_argument("--minutes", type=float, default=9.0, help="of all parts together")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), metavar="PART",
                        help="only these")  # fmt: skip
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(words)
    if not torch.cuda.is_available() and not options.quick:
        raise SystemExit("no GPU here; --quick tries the script itself on the CPU")
    until = time.monotonic() + 60 * options.minutes
    parts = options.parts or [name for name in PARTS if options.birds or name not in LOOKING]
    if options.birds is None and set(parts) & set(LOOKING):
        raise SystemExit(f"{' and '.join(LOOKING)} need --birds")
    about = machine()
    tables: dict[str, list[Row]] = {}

    def put(new: dict[str, list[Row]]) -> None:
        tables.update(new)
        with redirect_stdout(None):
            report(options.json, about, tables)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = replace(
            QUICK if options.quick else FULL,
            folder=name, birds=str(options.birds or ""), weights=options.weights,
        )  # fmt: skip
        if set(parts) & IMAGES:
            images = write_images(folder / "images", work.images, work.side + work.side // 7)
            repeated(images, folder / "often", work.repeats)
        why = measured(parts, work, until, run, put)
    report(options.json, about, tables)
    if why:
        raise SystemExit("; ".join(f"{part}: {reason}" for part, reason in why.items()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # with its programs
    main()
