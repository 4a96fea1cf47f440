"""How the verbs print: tables on stdout, hints on stderr, JSON for programs."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from lookcloser.core.results.scores import Score
from lookcloser.core.results.shifts import Shifts, measures_of
from lookcloser.core.wording import count, printable

if TYPE_CHECKING:
    from lookcloser.evaluation import ViewScores

_OPTION = re.compile("--[a-z-]+")


def print_anything() -> None:
    """Let stdout and stderr take every sign: what their encoding lacks is written as an escape.

    An answer is not lost to its printing, and two names stay two names.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A line on stderr, where progress and hints go; names in it cannot command the terminal."""
    typer.echo("\n".join(map(printable, text.split("\n"))), err=True)


def say_skipped(skipped: Iterable[tuple[str, str]]) -> None:
    """The images that could not be read, a line each; reasons that hold the name say it once."""
    for name, reason in skipped:
        say(f"skipped: {reason if name in reason else f'{name}: {reason}'}")


def next_step(*words: object) -> None:
    """The command that people usually type next, ready to be pasted into a shell."""
    say(f"Next: {' '.join(map(_quoted, ['lookcloser', *map(str, words)]))}")


def _quoted(word: str) -> str:
    """A word that the shell reads back as it is: quoted, and a file's never as an option.

    What must not be printed is spelled out in ``$'…'``, which bash and zsh read.
    """
    if word.startswith("-") and not _OPTION.fullmatch(word) and os.path.lexists(word):
        word = f"./{word}"
    if printable(word) == word:
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    # A shell takes \x85 for a byte, and here it is a character.
    escaped = re.sub("[\x80-\x9f]", lambda sign: f"\\u{ord(sign[0]):04x}", escaped)
    return f"$'{printable(escaped)}'"


def print_path(path: object) -> None:
    """Where a result is, on stdout; a name in it cannot command the terminal."""
    typer.echo(printable(str(path)))


def say_plan(work: str, files: Sequence[object] = ()) -> None:
    """What --dry-run says instead of doing it: the work, and each file that it would write."""
    say(f"Would {work}")
    for file in files:
        typer.echo(printable(f"would write {file}"))


@contextmanager
def progress(title: str, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that is told (done, total).

    Nothing at all where stderr is no terminal, or it is not to be ``shown``.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda _done, _total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_json(value: Any) -> None:
    """JSON on stdout; in plain ASCII, which means the same, where stdout cannot hold the rest.

    A number that is none or not finite, which JSON does not have, is null.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    except ValueError:
        value = _finite(value)
        text = json.dumps(value, ensure_ascii=False, indent=2)
    # Signs that no terminal should obey stand in strings, and JSON can spell them too.
    text = "\n".join(map(_printable_json, text.split("\n")))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    typer.echo(text)


def _printable_json(line: str) -> str:
    shown = (json.dumps(sign)[1:-1] if printable(sign) != sign else sign for sign in line)
    return line if printable(line) == line else "".join(shown)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(title: str, columns: list[str], rows: list[list[str]], texts: int = 1) -> None:
    """A table on stdout, its first ``texts`` columns words, the others numbers.

    The text of cells is never read as markup, nor ``:smile:`` as a sign. In a narrow terminal the
    heads of numbers are broken first, then words; nothing is cut off, as two names may begin alike.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    # By itself, because rich breaks the title of a table to the table's width.
    console.print(printable(title), markup=False, highlight=False, soft_wrap=True)
    cells = [[_encodable(printable(cell)) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    is_narrow = sum(widths) + 3 * len(columns) + 1 > console.width
    table = Table()
    for index, column in enumerate(columns):
        parts = [*column.split(), *(row[index] for row in cells)]
        table.add_column(
            Text(column),
            justify="left" if index < texts else "right",
            overflow="fold",
            max_width=max(map(cell_len, parts)) if is_narrow and index >= texts else None,
        )
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _encodable(text: str) -> str:
    """As `print_anything` would write it, so that columns are as wide as what is in them."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def plain(sign: str, words: str) -> str:
    """A sign of ours, or on a stdout whose encoding lacks it the ``words``."""
    return sign if _encodable(sign) == sign else words


def print_scores(title: str, scores: Sequence[Score], shifts: Shifts) -> None:
    """Scores with their 95 % intervals and baselines, then tables of single steps and scales."""
    bases = list(dict.fromkeys(base for score in scores for base in score.baselines))
    to = plain("…", "to")
    rows = []
    for score in scores:
        interval = (
            "" if score.interval is None else f" {to} ".join(map("{:.4f}".format, score.interval))
        )
        others = [f"{score.baselines[b]:.4f}" if b in score.baselines else "" for b in bases]
        rows.append([score.name, f"{score.value:.4f}", interval, *others])
    print_table(title, ["score", "value", "95 % interval", *bases], rows)
    for kind, table in shifts.tables.items():
        columns = measures_of(table)
        cells = [
            [str(number), *(f"{row[name]:.4g}" if name in row else "" for name in columns)]
            for number, row in table.items()
        ]
        print_table(f"How the evidence moves, by {kind}", [kind, *columns], cells)


def print_views(rated: Mapping[str, ViewScores]) -> None:
    """How far views can be trusted, a row each; nothing where none was rated."""
    if not rated:
        return
    rows = []
    for name, scores in rated.items():
        means = scores.deletion, scores.insertion, scores.road
        left = "" if scores.left is None else f"{scores.left:.4f}"
        flag = "does not depend on the weights" if scores.insensitive else ""
        rows.append([name, *(f"{mean:.4f}" for mean in means), left, flag])
    low, high = plain("↓", "(low)"), plain("↑", "(high)")
    columns = ["view", f"deletion {low}", f"insertion {high}", f"ROAD {high}"]
    columns += [f"random weights {low}", ""]
    if not any(row[-1] for row in rows):
        columns.pop()
        rows = [row[:-1] for row in rows]
    images = next(iter(rated.values())).images
    print_table(f"Views of the answers to {count(images, 'image')}", columns, rows)


def print_settings(settings: Mapping[str, str]) -> None:
    """How the scores were taken, on stderr."""
    for name, value in settings.items():
        say(f"{name}: {value}")
