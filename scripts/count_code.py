"""Count the code: files, functions, docstrings, and the tests of each room.

``python scripts/count_code.py`` prints the figures that docs/benchmarks.md has.
"""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = ROOT / "lookcloser", ROOT / "tests"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def code_lines(text: str) -> int:
    """Lines that are neither empty, nor a comment, nor part of a docstring."""
    documented = {
        number for first, last in _docstrings(ast.parse(text)) for number in range(first, last + 1)
    }
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#")
        for number, line in enumerate(text.splitlines(), start=1)
        if number not in documented
    )


def docstring_lines(text: str) -> int:
    """Lines of docstrings, empty ones within them included."""
    return sum(last - first + 1 for first, last in _docstrings(ast.parse(text)))


def function_lines(text: str) -> list[int]:
    """Lines of each function, docstring included."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, _FUNCTIONS)]
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, int]]:
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS))
        if documented and ast.get_docstring(node) is not None:
            (first, *_) = node.body
            yield first.lineno, first.end_lineno or first.lineno


def rooms(folder: Path) -> Counter[str]:
    """Lines of code of each room; "" has the files beside the rooms."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*.py"):
        room = path.relative_to(folder).parts[0]
        found["" if room == path.name else room] += code_lines(path.read_text(encoding="utf-8"))
    return found


def figures() -> Iterator[str]:
    """What is printed, a line each."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))]
    files = [code_lines(text) for text in texts]
    functions = sorted(lines for text in texts for lines in function_lines(text))
    filled = sum(bool(line.strip()) for text in texts for line in text.splitlines())
    share = sum(map(docstring_lines, texts)) / filled
    median = statistics.median(files)
    yield f"{len(files)} files: median {median:g} lines of code, most {max(files)}"
    late = functions[int(0.95 * len(functions))]
    yield f"{len(functions)} functions: 95 % of at most {late} lines, docstrings included"
    yield f"docstrings: {share:.0%} of the lines that are not blank"
    code, tests = rooms(PACKAGE), rooms(TESTS)
    yield f"tests: {tests.total() / code.total():.2f} lines for each line of code"
    yield from (f"  {name}: {tests[name] / code[name]:.2f}" for name in sorted(code) if name)


if __name__ == "__main__":
    print("\n".join(figures()))
