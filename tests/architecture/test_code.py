"""What the code itself looks like: read as syntax trees, nothing is imported."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lookcloser"
MOST_LINES = 300
# Layers stand alone in other people's code and take a plain pair, too; the digits of a scene have
# a least and a largest size.
PLAIN_SIZES = {"lookcloser/layers/boxcar.py"} | {
    f"lookcloser/data/scenes/{name}.py" for name in ("canvas", "kinds", "write")
}
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
_WITH_DOCS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(text: str) -> int:
    """Lines that are neither empty, nor a comment, nor part of a docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _WITH_DOCS) and ast.get_docstring(node) is not None:
            (first, *_) = node.body
            lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def plain_sizes(text: str) -> Iterator[str]:
    """Arguments and fields that are sizes or grids, and typed as any two numbers."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg):
            name, kind = node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind = node.target.id, node.annotation
        else:
            continue
        is_size = name.split("_")[-1] in {"size", "sizes", "grid", "canvas"}
        if is_size and kind is not None and "tuple[int, int]" in ast.unparse(kind):
            yield f"{node.lineno}: {name}"


def test_lines_of_code_are_counted_without_what_is_said_about_it() -> None:
    text = (
        '"""Docs\nof two lines."""\n\n# A comment.\nx = """a\nb"""\n\n\ndef f():\n    """Docs."""\n'
    )
    assert code_lines(text + "    return (\n        1  # one\n    )\n") == 6


@pytest.mark.parametrize("folder", ["lookcloser", "benchmarks", "scripts", "examples"])
def test_no_file_has_more_lines_of_code_than_one_reads_at_a_time(folder: str) -> None:
    lines = {path: code_lines(path.read_text("utf-8")) for path in (ROOT / folder).rglob("*.py")}
    assert lines
    assert not {str(path): number for path, number in lines.items() if number > MOST_LINES}


def test_plain_sizes_are_found() -> None:
    text = (
        "grid_size: tuple[int, int]\ndef f(sizes: list[tuple[int, int]], at: tuple[int, int]): ..."
    )
    assert list(plain_sizes(text)) == ["1: grid_size", "2: sizes"]


def test_sizes_say_their_order() -> None:
    """`ImageSize` or `Grid`, so that the type checker sees one given for the other."""
    found = {
        name: plain
        for path in PACKAGE.rglob("*.py")
        if (name := path.relative_to(ROOT).as_posix()) not in PLAIN_SIZES
        and (plain := list(plain_sizes(path.read_text("utf-8"))))
    }
    assert not found
