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
    """What all rows share stands above the table; of columns, only those that say something."""
    more = ", ".join(f"[{name.removesuffix('.md')}](methods/{name})" for name in pages)
    shown = [_shown(row) for row in rows]
    said = {column: {row[column] for row in shown} for column in COLUMNS}
    shared = [column for column in SHARED if len(said[column]) == 1]
    above = [f"{column} {shown[0][column]}" for column in shared if shown[0][column]]
    columns = [column for column in COLUMNS if column not in shared and said[column] != {""}]
    about = "; ".join(above)
    sentences = [
        f"More: {more}." if more else "",
        f"{about[:1].upper()}{about[1:]}." if about else "",
    ]
    lines = [f"## {title}", " ".join(filter(None, sentences)), ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    escaped = [[row[column].replace("|", "\\|") for column in columns] for row in shown]
    lines += [f"| {' | '.join(cells)} |" for cells in escaped]
    return "\n".join(lines)


def _shown(row: dict[str, Any]) -> dict[str, str]:
    command = f"`{row['command']}`" if row["command"] else ""
    return {name: str(value) for name, value in row.items()} | {
        "held": HELD[row["held"]],
        "command": command,
    }


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
