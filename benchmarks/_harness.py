"""What every benchmark shares: the machine in words, interleaved timing, tables, results on disk.

Use: ``times = interleave({"ours": f, "peer": g}, rounds=10)`` runs f, g, f, g, … after one warm-up
round and returns seconds per call; `report` prints medians with ratios to a base and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_OWN = ("about", "table", "machine", "machines")  # of a file of results: all else are tables
PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "scipy")


def machine(*peers: str) -> dict[str, Any]:
    """CPU, cores, threads, GPU, versions of the usual packages and of ``peers``, and the commit."""
    import torch

    versions = {}
    for name in (*PACKAGES, *peers):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((ln.split(":", 1)[1].strip() for ln in lines if ln.startswith("model name")), "")


def interleave(
    calls: Mapping[str, Callable[[], object]], rounds: int = 10, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call in each round; the calls take turns, so that drift hits all alike.

    Each round starts with another call: none always comes after the most expensive one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(-warmup, rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            calls[name]()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(seconds: Mapping[str, list[float]], base: str) -> dict[str, float]:
    """Median over the rounds of each call's time over the base's time in the same round."""
    return {
        name: statistics.median(a / b for a, b in zip(values, seconds[base], strict=True))
        for name, values in seconds.items()
    }


def summary(seconds: Mapping[str, list[float]], base: str) -> list[dict[str, Any]]:
    """One row per call: median, minimum and maximum seconds, and the paired ratio to ``base``."""
    relative = ratios(seconds, base)
    return [
        {
            "name": name,
            "median_s": statistics.median(values),
            "min_s": min(values),
            "max_s": max(values),
            f"over {base}": relative[name],
        }
        for name, values in seconds.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table; numbers with four significant digits."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = (row.get(column, "") for column in columns)
        shown = (f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)


def arguments(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser with ``--json PATH``, by default results/NAME.json beside this file."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--json", type=Path, default=RESULTS / f"{name}.json")
    return parser


def report(path: Path, about: dict[str, Any], tables: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print the machine and every table, and write both as JSON to ``path``.

    What else the file has stays as it is: what it says for docs/benchmarks.md, ``about`` and
    ``table`` (see `for_the_page`), and tables of other runs, whose machines go to ``machines``.
    """
    print(json.dumps(about, indent=1))
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    old = _content(path)
    before = {name: old[name] for name in old if name not in {*_OWN, *tables}}
    found = {name: old.get("machines", {}).get(name, old.get("machine")) for name in before}
    machines = {name: known for name, known in found.items() if known is not None}
    kept = {"machines": machines, **before} if machines else before
    write(path, {"machine": about, **kept, **tables})


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write results as JSON, after what the file has `for_the_page`."""
    content = {**for_the_page(path), **content}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    if "table" in content:
        print(f"\nBring 'table' in {path} up to date, then run scripts/write_benchmarks.py.")


def for_the_page(path: Path) -> dict[str, Any]:
    """What a file of results holds for docs/benchmarks.md: promises, written by hand."""
    old = _content(path)
    return {key: old[key] for key in ("about", "table") if key in old}


def _content(path: Path) -> dict[str, Any]:
    """What a file of results holds; nothing where there is none."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
