"""Write what follows from the declared options: the types of the Python call, and a table.

Run it after an option or a method has changed: ``python scripts/write_options.py``. The tests say
where it was forgotten.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from lookcloser.core.options import Declared, declared
from lookcloser.models.registry import METHODS
from lookcloser.training.options import TrainOptions, own_options

ROOT = Path(__file__).parents[1]
KEYWORDS = ROOT / "lookcloser" / "training" / "keywords.py"
REFERENCE = ROOT / "docs" / "reference.md"
BEGIN, END = "<!-- options: begin, by scripts/write_options.py -->", "<!-- options: end -->"

HEAD = '''"""The options of training as keywords, for editors and type checkers.

Written by scripts/write_options.py from what is declared; change an option where it is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class TrainKeywords(TypedDict, total=False):
    """Options of `lookcloser.train`, those of all methods among them."""

'''


def keywords() -> str:
    """The text of training/keywords.py."""
    items = [*declared(TrainOptions).values(), *own_options().values()]
    lines = [f"    {item.name}: {_spelled(item.hint)}\n" for item in items]
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "-", "--stdin-filename", str(KEYWORDS)],
        input=HEAD + "".join(lines),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return formatted.stdout


def reference(text: str) -> str:
    """The page with its generated section as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def tables() -> str:
    """Markdown tables: the options of every training, then those of each method."""
    parts = ["Of every training:\n", _table(declared(TrainOptions).values())]
    seen: set[tuple[str, ...]] = set()
    for method in METHODS.values():
        if not method.own:
            continue
        names = tuple(n for n, other in METHODS.items() if other.options is method.options)
        if names not in seen:
            seen.add(names)
            marks = ", ".join(f"`{name}`" for name in names)
            parts += [f"\nOf {marks}:\n", _table(method.own.values())]
    return "\n".join(parts)


def _table(items: Iterable[Declared]) -> str:
    rows = [
        f"| `{item.name}` | {_cell(_shown(item.default))} | {_cell(item.allowed())} | "
        f"{_cell(item.help)} |"
        for item in items
    ]
    return "\n".join(["| option | default | allowed | what it does |", "|---|---|---|---|", *rows])


def _shown(default: Any) -> str:
    if default is None or default == {}:
        return ""
    return str(default).lower() if isinstance(default, bool) else f"{default}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _spelled(hint: Any) -> str:
    """A resolved annotation as source code."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is type(None):
        return "None"
    if hint is Ellipsis:
        return "..."
    if origin is None:
        return str(getattr(hint, "__name__", hint))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, inner))}]"
    name = getattr(hint, "__name__", "")
    if name in {"tuple", "dict", "Mapping"}:
        return f"{name}[{', '.join(map(_spelled, inner))}]"
    return " | ".join(map(_spelled, inner))


def main() -> None:
    """Write both files."""
    KEYWORDS.write_text(keywords(), encoding="utf-8")
    REFERENCE.write_text(reference(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
