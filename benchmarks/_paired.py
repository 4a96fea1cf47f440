"""Results line by line, and paired differences over the seeds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from _harness import write
from scipy.stats import t

CONFIDENCE = 0.95


def append(path: Path, row: dict[str, Any]) -> None:
    """One more result, on disk when this returns: what is stopped has lost nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_lines(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Of files that are there; a line that was cut off is left out."""
    rows = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return rows


def parsed(
    parser: argparse.ArgumentParser, small: dict[str, Any], words: list[str] | None
) -> argparse.Namespace:
    """What is asked for, with the options of every benchmark that keeps lines.

    Args:
        parser: With the options of its own.
        small: Their values with ``--small``, unless said otherwise.
        words: Of the command line.
    """
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--lines", type=Path, nargs="+", help="results so far; the first grows")
    parser.add_argument("--only-report", action="store_true", help="of the lines that are there")
    parser.add_argument("--small", action="store_true", help=f"unless said otherwise: {small}")
    if parser.parse_known_args(words)[0].small:
        parser.set_defaults(**small)
    return parser.parse_args(words)


def spread(values: Sequence[float]) -> float:
    """Standard deviation; 0 of a single value."""
    return stdev(values) if len(values) > 1 else 0.0


def half_width(differences: Sequence[float]) -> float:
    """Of the t interval around the mean of paired differences; infinite for a single one."""
    count = len(differences)
    if count < 2:
        return float("inf")
    return float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * stdev(differences) / count**0.5


def points(values: Sequence[float], base: Sequence[float]) -> str:
    """The mean difference in percentage points, its interval, and how many are above 0."""
    differences = [100 * (one - other) for one, other in zip(values, base, strict=True)]
    above = sum(difference > 0 for difference in differences)
    return (
        f"{mean(differences):+.1f} ± {half_width(differences):.1f} ({above} of {len(differences)})"
    )


def is_above(values: Sequence[float], base: Sequence[float]) -> bool:
    """Whether the interval of the paired differences lies above 0."""
    differences = [one - other for one, other in zip(values, base, strict=True)]
    return mean(differences) > half_width(differences)


def fill(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Put rows for docs/benchmarks.md into a file of results, in the place of those they repeat."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if "table" not in content or not rows:
        return
    ours = {row["promise"] for row in rows}
    kept = [row for row in content["table"] if row["promise"] not in ours]
    write(path, {**content, "table": [*rows, *kept]})
