"""Do the tests notice a wrong program? Small faults in the hot rooms, one at a time.

A drawn place in a room gets a fault (a comparison turned, a sign or a number changed, a condition
negated …) in a copy of the package, and the room's own tests run until the first of them fails. A
mutant that no test notices survives. One that needs many times the CPU time of the tests counts as
noticed, as it hangs.

python benchmarks/mutation.py [--sample 12] [--rooms metrics runtime] [--seed 0]
"""

from __future__ import annotations

import ast
import importlib
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from _harness import arguments, machine, report

ROOT = Path(__file__).parents[1]
# Room -> the modules that are changed, and the tests that are asked.
ROOMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "runtime": ("runtime", ("runtime", "export")),
    "metrics": ("metrics", ("metrics",)),
    "decoding": ("decoding", ("decoding",)),
    "losses": ("losses", ("losses",)),
    "layers": ("layers", ("layers",)),
    "preprocessing": (
        "core/preprocessing.py",
        ("core/test_preprocessing.py", "runtime/test_inputs.py"),
    ),
    "readers": ("data/readers", ("data",)),
    "uncertainty": ("uncertainty", ("uncertainty",)),
    "closed_form": ("closed_form", ("closed_form", "training/recipes/test_choice.py")),
    "explain": ("explain", ("explain",)),
}
SWAPS: dict[type[ast.AST], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*",
    ast.Pow: "*", ast.MatMult: "+", ast.And: "or", ast.Or: "and", ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "argmax": "argmin", "sum": "mean"}
NOT_RUN = 70  # exit code
CPU_LIMIT = 240  # seconds, several times what the slowest room takes


class Mutant(NamedTuple):
    """One fault: the text between two places of a file becomes another."""

    path: Path
    begin: int
    end: int
    text: str
    line: int
    shown: str


class _Places(ast.NodeVisitor):
    """Finds every place of a file that can be changed; not annotations, which do nothing."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.found = path, list[Mutant]()
        self.lines = source.encode().splitlines(keepends=True)
        self.starts = np.cumsum([0, *map(len, self.lines)]).tolist()
        self.source = source.encode()

    def at(self, node: Any, *, end: bool = False) -> int:
        """The byte at which a node begins, or ends."""
        line, column = ("end_lineno", "end_col_offset") if end else ("lineno", "col_offset")
        return int(self.starts[getattr(node, line) - 1] + getattr(node, column))

    def add(self, node: Any, begin: int, end: int, text: str) -> None:
        was = self.source[begin:end].decode()
        self.found.append(
            Mutant(self.path, begin, end, text, node.lineno, f"{was.strip()} -> {text.strip()}")
        )

    def whole(self, node: Any, text: str) -> None:
        self.add(node, self.at(node), self.at(node, end=True), text)

    def between(self, node: Any, left: Any, right: Any, operator: ast.AST) -> None:
        begin, end = self.at(left, end=True), self.at(right)
        text = self.source[begin:end]
        if type(operator) in SWAPS and not text.count(b"\n") and not set(text) & set(b"()#"):
            self.add(node, begin, end, f" {SWAPS[type(operator)]} ")

    def visit_Compare(self, node: ast.Compare) -> None:
        self.between(node, node.left, node.comparators[0], node.ops[0])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.between(node, node.left, node.right, node.op)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.between(node, node.values[0], node.values[1], node.op)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self.add(node, self.at(node), self.at(node.operand), "")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.whole(node.test, f"(not ({ast.unparse(node.test)}))")
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.whole(node.test, f"(not ({ast.unparse(node.test)}))")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.whole(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self.whole(node, f"({node.value!r} + 1)")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in NAMES:
            self.add(node, self.at(node, end=True) - len(node.attr), self.at(node, end=True),
                     NAMES[node.attr])  # fmt: skip
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """What these say is an assertion."""
        if node.arg not in {"strict", "frozen", "slots"}:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in NAMES and node.func.id != "sum":
            self.whole(node.func, NAMES[node.func.id])
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """An annotation says nothing to a running program."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in [node.args, *node.body]:
            self.visit(part)

    def visit_Assert(self, node: ast.Assert) -> None:
        """An assertion speaks to readers and type checkers."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """What stands in an error is words."""


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a file."""
    source = path.read_text(encoding="utf-8")
    places = _Places(path, source)
    places.visit(ast.parse(source))
    return places.found


def drawn(room: str, sample: int, seed: int) -> list[Mutant]:
    """A sample of the mutants of a room, each place once."""
    pattern, _ = ROOMS[room]
    base = ROOT / "lookcloser"
    paths = sorted(base.glob(pattern if pattern.endswith(".py") else f"{pattern}/**/*.py"))
    every = [mutant for path in paths if path.name != "__init__.py" for mutant in mutants(path)]
    rng = np.random.default_rng([seed, *room.encode()])
    chosen = rng.permutation(len(every))[:sample]
    return [every[index] for index in sorted(chosen)]


def tests_of(room: str, mutant: Mutant) -> list[str]:
    """The tests of a room, those that bear the module's name or import it first."""
    named, importing, others = [], [], []
    module = mutant.path.stem
    for place in ROOMS[room][1]:
        folder = ROOT / "tests" / place
        for path in [folder] if folder.is_file() else sorted(folder.rglob("test_*.py")):
            text = path.read_text(encoding="utf-8")
            kinds = named if path.stem == f"test_{module}" else None
            kinds = kinds if kinds is not None else (importing if module in text else others)
            kinds.append(str(path.relative_to(ROOT)))
    return [*named, *importing, *others]


def noticed(copy: Path, mutant: Mutant, tests: list[str]) -> tuple[str, float]:
    """What a run of the tests on a mutant came to, "killed", "hangs" or "survived"; and seconds."""
    target = copy / mutant.path.relative_to(ROOT)
    original = target.read_bytes()
    target.write_bytes(original[: mutant.begin] + mutant.text.encode() + original[mutant.end :])
    try:
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            _run_tests(copy, tests)
        _, status, used = os.wait4(child, 0)
    finally:
        target.write_bytes(original)
    seconds = used.ru_utime + used.ru_stime
    if os.WIFSIGNALED(status):
        return ("hangs" if seconds > CPU_LIMIT / 2 else "killed"), time.monotonic() - begun
    code = os.waitstatus_to_exitcode(status)
    if code not in {0, 1, 2}:  # all passed, some failed, modules that cannot be imported
        raise SystemExit((copy.parent / "log").read_text(encoding="utf-8")[-2000:])
    return ("survived" if code == 0 else "killed"), seconds


def _run_tests(copy: Path, tests: list[str]) -> None:
    """In a process of its own, which ends here, whatever happens."""
    code = NOT_RUN
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
        log = os.open(copy.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        sys.dont_write_bytecode = True
        how = ["-x", "-q", "--import-mode=importlib", "-o", "addopts=", "-p", "no:cacheprovider"]
        how += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # torch has loaded plug-ins
        code = int(pytest.main([*how, *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def copied(folder: Path) -> Path:
    """A copy of what the tests need, beside the same shared data."""
    copy = folder / "copy"
    for name in ("lookcloser", "tests", "benchmarks", "examples", "scripts", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    shared = ROOT.parent / "shared"
    if shared.exists():
        (folder / "shared").symlink_to(shared.resolve())
    return copy


def survey(rooms: list[str], sample: int, seed: int) -> Iterator[dict[str, Any]]:
    """One row for each mutant, as it is done."""
    for package in ("torch", "timm", "scipy.stats", "PIL.Image"):  # once, not for each mutant
        importlib.import_module(package)
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        for room in rooms:
            chosen = drawn(room, sample, seed)
            end, seconds = noticed(copy, chosen[0]._replace(end=chosen[0].begin, text=""),
                                   tests_of(room, chosen[0]))  # fmt: skip
            if end != "survived":
                raise SystemExit(
                    f"{room}: its tests fail on the package as it is ({seconds:.0f} s)"
                )
            for mutant in chosen:
                end, seconds = noticed(copy, mutant, tests_of(room, mutant))
                place = f"{mutant.path.relative_to(ROOT / 'lookcloser')}:{mutant.line}"
                row = {"room": room, "place": place, "fault": mutant.shown, "end": end,
                       "seconds": round(seconds, 1)}  # fmt: skip
                print(*row.values(), sep="\t", flush=True)
                yield row


def main() -> None:
    parser = arguments("mutation", __doc__)
    parser.add_argument("--sample", type=int, default=12, help="mutants of each room")
    parser.add_argument("--rooms", nargs="+", choices=list(ROOMS), default=list(ROOMS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = list(survey(given.rooms, given.sample, given.seed))
    counts = [
        {
            "room": room,
            "mutants": sum(row["room"] == room for row in rows),
            "noticed": sum(row["room"] == room and row["end"] != "survived" for row in rows),
        }
        for room in given.rooms
    ]
    survivors = [row for row in rows if row["end"] == "survived"]
    about = machine() | {"seed": given.seed}
    report(given.json, about, {"Mutants by room": counts, "Survivors": survivors})


if __name__ == "__main__":
    main()
