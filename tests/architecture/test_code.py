"""What the code itself looks like: read as syntax trees, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ..programs import load_program

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lookcloser"
MOST_LINES = 300
# Layers stand alone in other people's code and take a plain pair, too; the digits of a scene have
# a least and a largest size.
PLAIN_SIZES = {"lookcloser/layers/boxcar.py"} | {
    f"lookcloser/data/scenes/{name}.py" for name in ("canvas", "kinds", "write")
}


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


@pytest.fixture(scope="module")
def counting() -> ModuleType:
    """The script that counts."""
    return load_program("scripts", "count_code")


def test_lines_of_code_are_counted_without_what_is_said_about_it(counting: ModuleType) -> None:
    text = '"""Docs\nof two lines."""\n\n# A comment.\nx = """a\nb"""\n\n\ndef f():\n    """D."""\n'
    text += "    return (\n        1  # one\n    )\n"
    assert counting.code_lines(text) == 6
    assert counting.docstring_lines(text) == 3
    assert counting.function_lines(text) == [5]


def test_the_tests_of_each_room_are_as_long_as_its_code(counting: ModuleType) -> None:
    code, tests = counting.rooms(PACKAGE), counting.rooms(ROOT / "tests")
    assert not {name: (tests[name], code[name]) for name in code if tests[name] < code[name]}
    assert code["core"] > code["uncertainty"] > 0


@pytest.mark.parametrize("folder", ["lookcloser", "benchmarks", "scripts", "examples"])
def test_no_file_has_more_lines_of_code_than_one_reads_at_a_time(
    counting: ModuleType, folder: str
) -> None:
    lines = {
        path: counting.code_lines(path.read_text("utf-8")) for path in (ROOT / folder).rglob("*.py")
    }
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
