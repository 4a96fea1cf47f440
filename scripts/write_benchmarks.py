"""Write the tables of docs/benchmarks.md from what lies in benchmarks/results.

Run it after a benchmark: ``python scripts/write_benchmarks.py``. The tests say where it was
forgotten.

A file of results takes part when it has a ``table``, a list of rows, and an ``about`` with the
section's title, the page of docs/methods that says more (or ""), and the command, seed and machine
of all rows that name none of their own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tables: begin, by scripts/write_benchmarks.py -->", "<!-- tables: end -->"
COLUMNS = ("promise", "measured", "held", "peer", "command", "seed", "machine")
ABOUT = ("title", "page", "command", "seed", "machine")
SHARED = ("command", "seed", "machine")
HELD = {True: "yes", False: "**no**", None: ""}


def page(text: str, results: Path = RESULTS) -> str:
    """The page with its generated part as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(results)}\n{END}{after}"


def tables(results: Path) -> str:
    """All sections by title; those of several files under one title stand in one table.

    Raises:
        ValueError: For a row or an ``about`` with a missing or unknown field; it names the file.
    """
    sections: dict[str, list[dict[str, Any]]] = defaultdict(list)
    pages: dict[str, list[str]] = defaultdict(list)
    for file in sorted(results.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        if "table" not in content:
            continue
        about = content.get("about", {})
        if sorted(about) != sorted(ABOUT):
            raise ValueError(f"{file.name}: 'about' has {sorted(about)}, not {sorted(ABOUT)}")
        title = about["title"]
        sections[title] += [_row(file.name, about, row) for row in content["table"]]
        if about["page"] and about["page"] not in pages[title]:
            pages[title].append(about["page"])
    return "\n\n".join(_section(title, pages[title], sections[title]) for title in sorted(sections))


def _row(file: str, about: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
    known = {key: about[key] for key in SHARED} | {"peer": "", "held": None} | row
    if set(known) != set(COLUMNS):
        raise ValueError(f"{file}: a row has {sorted(row)}, not {sorted(COLUMNS)}")
    return known


def _section(title: str, pages: list[str], rows: list[dict[str, Any]]) -> str:
    more = ", ".join(f"[{name.removesuffix('.md')}](methods/{name})" for name in pages)
    lines = [f"## {title}", f"More: {more}.\n" if more else ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    shown = {**row, "held": HELD[row["held"]], "command": f"`{row['command']}`"}
    return [str(shown[column]).replace("|", "\\|") for column in COLUMNS]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
