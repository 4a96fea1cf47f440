"""Batches side by side: what an image costs with each engine once all is started.

Every case is a program, or two, started in the same way, and watched from outside. An image counts
when its answer is in a file. The clock and the processor time (of the programs and all that they
started) are fitted by a line over the time in which all workers are busy, so what starting costs
is told apart from what an image costs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from batch_kills import _below

TICK = os.sysconf("SC_CLK_TCK")
PROGRAM = Path(__file__).with_name("_batch_run.py")
EVERY = 0.5  # seconds between two looks
SETTLE = 3.0  # seconds for which all workers are busy before anything counts: what Ray starts late
COUNTED = 7 / 8  # of the images; after that a worker may have nothing left to do


class Case(NamedTuple):
    """What is run: by which engine, with how many workers, for how many labels an image.

    Two workers of a loop are two programs, each with half of the images.
    """

    engine: str
    workers: int
    top: int

    @property
    def programs(self) -> int:
        return self.workers if self.engine in {"bare", "evidence"} else 1


CASES = {
    "bare loop": Case("bare", 1, 1),
    "two bare loops": Case("bare", 2, 1),
    "plain, --top 1": Case("plain", 1, 1),
    "two processes, --top 1": Case("plain", 2, 1),
    "ray, one actor, --top 1": Case("ray", 1, 1),
    "ray, two actors, --top 1": Case("ray", 2, 1),
    "loop with evidence": Case("evidence", 1, 5),
    "plain": Case("plain", 1, 5),
    "ray, two actors": Case("ray", 2, 5),
}
PROMISED = tuple(CASES)[:6]


class Look(NamedTuple):
    """What there was at a moment: seconds of the clock and of processors, answers, busy workers."""

    wall: float
    cpu: float
    images: int
    busy: int


class Cost(NamedTuple):
    """Of an image, in seconds of the clock and of processors; and of all else, starting mostly."""

    wall: float
    cpu: float
    first: float
    besides: float


def run(case: Case, network: Path, source: Path, out: Path, part_images: int) -> Cost:
    """Run a case to its end.

    Raises:
        SystemExit: Where a program fails, or is done before anything could be counted.
    """
    given = {
        **case._asdict(),
        **{"network": str(network), "source": str(source), "out": str(out)},
        "part_images": part_images,
    }
    count, start = len(list(source.iterdir())), time.perf_counter()
    programs = [
        subprocess.Popen(
            [sys.executable, PROGRAM, json.dumps({**given, "share": (number, case.programs)})],
            stderr=subprocess.DEVNULL,
        )
        for number in range(case.programs)
    ]
    looks: list[Look] = []
    try:
        while any(program.poll() is None for program in programs):
            pids = [program.pid for program in programs]
            looks.append(Look(time.perf_counter(), cpu_seconds(pids), *answered(out)))
            time.sleep(EVERY)
    finally:
        for program in programs:
            program.kill()
            program.wait()
    if any(program.returncode for program in programs):
        raise SystemExit(f"{case}: a program failed")
    return fitted(looks, case.workers, count, start)


def fitted(looks: Sequence[Look], workers: int, count: int, start: float) -> Cost:
    """The slopes of clock and processor time over images, while all workers are busy."""
    busy = next((look.wall for look in looks if look.busy >= workers), float("inf"))
    counted = [
        look for look in looks if look.wall >= busy + SETTLE and look.images <= COUNTED * count
    ]
    if len(counted) < 5:
        raise SystemExit(f"only {len(counted)} looks while all workers were busy: more --images")
    wall, cpu, images, _ = np.array(counted).T
    own = Cost(
        float(1 / np.polyfit(wall - wall[0], images, 1)[0]),
        float(np.polyfit(images, cpu, 1)[0]),
        next(look.wall for look in looks if look.images) - start,
        0.0,
    )
    last = max(looks, key=lambda look: look.cpu)  # a program that has ended is not seen any more
    return own._replace(besides=last.cpu - last.images * own.cpu)


def answered(out: Path) -> tuple[int, int]:
    """How many answers are in the files, and how many files are being written with some in them.

    A part that is there counts once, also while the lines on the way to it are not yet cleared.
    """
    done, loops = _lines(out, "part-"), _lines(out, "loop-")
    under_way = {name: n for name, n in _lines(out / ".work", "part-").items() if name not in done}
    busy = sum(1 for lines in (*loops.values(), *under_way.values()) if lines)
    return sum((*done.values(), *loops.values(), *under_way.values())), busy


def _lines(folder: Path, kind: str) -> dict[str, int]:
    """The lines of files by name."""
    found: dict[str, int] = {}
    for file in folder.glob(f"{kind}*.jsonl"):
        with suppress(FileNotFoundError):
            found[file.name.partition(".")[0]] = file.read_bytes().count(b"\n")
    return found


def cpu_seconds(roots: Sequence[int]) -> float:
    """Of some processes and of everything below them, with those that have ended there."""
    ticks = 0
    for pid in {pid for root in roots for pid in (root, *_below(root))}:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICK


def rows(costs: dict[str, list[Cost]]) -> list[dict[str, Any]]:
    """A row for each case; ratios are medians over the rounds, within a round."""

    def over(base: str, name: str, field: str) -> float | None:
        if base not in costs:
            return None
        pairs = zip(costs[base], costs[name], strict=True)
        return statistics.median(getattr(b, field) / getattr(own, field) for b, own in pairs)

    return [
        {
            "how": name,
            "rounds": len(found),
            "images/s": 1 / statistics.median(cost.wall for cost in found),
            "CPU ms/image": 1000 * statistics.median(cost.cpu for cost in found),
            "speed over a bare loop (clock)": over("bare loop", name, "wall"),
            "speed over two bare loops (clock)": over("two bare loops", name, "wall"),
            "a bare loop over ours (CPU)": over("bare loop", name, "cpu"),
            "two bare loops over ours (CPU)": over("two bare loops", name, "cpu"),
            "first answer after s": statistics.median(cost.first for cost in found),
            "CPU s besides": statistics.median(cost.besides for cost in found),
        }
        for name, found in costs.items()
    ]
