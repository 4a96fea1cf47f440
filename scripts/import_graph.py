"""Draw which rooms of the package import which, before the redesign of the rooms and now.

``python scripts/import_graph.py`` needs the extra ``dev`` and a checkout with its history. Floors
are those of the import contract in each state's ``pyproject.toml``. An arrow is as thick as there
are imports; one that goes up, or between rooms of a floor, would be red.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import grimp
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "docs" / "images" / "rooms.svg"
BEFORE = "caba06c434f89cd88fb2f6d95bc136cf2e2fee23"  # the last commit with the old rooms
NAME = "lookcloser"
WIDTH, HEIGHT = 0.86, 0.56  # of a room, in steps of the grid
PLAIN, WRONG = "#5b6b7a", "#c4342b"


@dataclass(frozen=True)
class Rooms:
    """What one state of the package imports.

    Attributes:
        floors: Names of the rooms from the top floor down.
        lines: Lines of Python of each room, docstrings and comments included.
        files: Python files of each room.
        imports: (importer, imported) -> how many imports between modules of these rooms.
        cycles: Groups of modules that import each other in a cycle, within a room or not.
    """

    floors: tuple[tuple[str, ...], ...]
    lines: dict[str, int]
    files: dict[str, int]
    imports: dict[tuple[str, str], int]
    cycles: int

    @property
    def wrong(self) -> list[tuple[str, str]]:
        """Imports that do not go down."""
        floor = {room: number for number, rooms in enumerate(self.floors) for room in rooms}
        return [pair for pair in self.imports if floor[pair[0]] >= floor[pair[1]]]


def read_rooms(root: Path) -> Rooms:
    """The rooms of the checkout at ``root``; imports for type checkers alone do not count."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    layers = tomllib.loads(text)["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = tuple(tuple(name.strip() for name in layer.split("|")) for layer in layers)
    rooms = [room for floor in floors for room in floor]
    files = {room: list((root / NAME / room).rglob("*.py")) for room in rooms}
    sys.path.insert(0, str(root))
    try:
        graph = grimp.build_graph(NAME, exclude_type_checking_imports=True, cache_dir=None)
    finally:
        sys.path.remove(str(root))
    names = sorted(graph.modules)
    pairs = [
        (one, other)
        for one in names
        for other in graph.find_modules_directly_imported_by(one)
        # A package that lists its modules and a module in it are one.
        if not f"{one}.".startswith(f"{other}.") and not f"{other}.".startswith(f"{one}.")
    ]
    ends = ((room_of(one), room_of(other)) for one, other in pairs)
    between = Counter(pair for pair in ends if {*pair} <= {*rooms} and pair[0] != pair[1])
    return Rooms(
        floors,
        {room: sum(len(path.read_bytes().splitlines()) for path in files[room]) for room in rooms},
        {room: len(files[room]) for room in rooms},
        {
            pair: count
            for pair, count in between.items()
            if {*pair} <= {*rooms} and len({*pair}) > 1
        },
        _cycles(names, pairs),
    )


def room_of(module: str) -> str:
    """The folder below the package, "" for what stands above the rooms."""
    return module.split(".")[1] if "." in module else ""


def _cycles(names: list[str], pairs: list[tuple[str, str]]) -> int:
    index = {name: number for number, name in enumerate(names)}
    rows, columns = ([index[pair[side]] for pair in pairs] for side in (0, 1))
    matrix = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(names), len(names)))
    _, group = connected_components(matrix, directed=True, connection="strong")
    return int((np.bincount(group) > 1).sum())


def checked_out(commit: str, folder: Path) -> Path:
    """The package as it was at a commit of this repository, in ``folder``."""
    words = ["git", "-C", str(ROOT), "archive", commit, NAME, "pyproject.toml"]
    done = subprocess.run(words, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def draw(states: dict[str, Rooms], path: Path = FIGURE) -> None:
    """Write the figure: one column for each state."""
    style = {"svg.hashsalt": NAME, "svg.fonttype": "none", "font.family": "sans-serif"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(13, 7.2), layout="constrained")
        axes = figure.subplots(1, len(states), width_ratios=[_columns(r) for r in states.values()])
        for axis, (title, rooms) in zip(np.atleast_1d(axes), states.items(), strict=True):
            _draw_rooms(axis, title, rooms)
        figure.savefig(path, metadata={"Date": None})


def _columns(rooms: Rooms) -> int:
    return max(len(floor) for floor in rooms.floors)


def _draw_rooms(axis: Axes, title: str, rooms: Rooms) -> None:
    places, columns = {}, _columns(rooms)
    for number, floor in enumerate(rooms.floors):
        for position, room in enumerate(floor):
            # The middle of each room's share of the width, odd floors moved for arrows to be seen.
            shift = 0.12 * (-1) ** number if len(floor) > 1 or number % 2 else 0.0
            x = (position + 0.5) * columns / len(floor) + shift
            places[room] = (x, float(len(rooms.floors) - 1 - number))
    wrong = set(rooms.wrong)
    for pair, count in sorted(rooms.imports.items(), key=lambda item: item[0] in wrong):
        (x, y), (to_x, to_y) = places[pair[0]], places[pair[1]]
        arrow = FancyArrowPatch(
            (x, y - HEIGHT / 2 if to_y < y else y),
            (to_x, to_y + HEIGHT / 2 if to_y < y else to_y),
            arrowstyle="-|>",
            mutation_scale=7,
            linewidth=0.3 + 0.14 * count**0.5,
            color=WRONG if pair in wrong else PLAIN,
            alpha=1.0 if pair in wrong else 0.5,
            zorder=3 if pair in wrong else 1,
            shrinkA=0,
            shrinkB=0,
        )
        axis.add_patch(arrow)
    for room, (x, y) in places.items():
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        box = FancyBboxPatch(
            corner,
            WIDTH,
            HEIGHT,
            "round,pad=0,rounding_size=0.08",
            fc="white",
            ec="black",
            zorder=2,
        )
        axis.add_patch(box)
        axis.text(x, y + 0.09, room, ha="center", va="center", fontsize=9, zorder=4)
        said = f"{rooms.files[room]} files, {rooms.lines[room] / 1000:.1f}k lines"
        axis.text(x, y - 0.13, said, ha="center", va="center", fontsize=5.5, zorder=4)
    axis.set_title(f"{title}\n{describe(rooms)}", fontsize=10)
    axis.set(xlim=(-0.1, columns + 0.1), ylim=(-0.5, len(rooms.floors) - 0.5))
    axis.axis("off")


def describe(rooms: Rooms) -> str:
    """Its figures in two lines."""
    files, lines = sum(rooms.files.values()), sum(rooms.lines.values())
    return (
        f"{len(rooms.files)} rooms, {files} files of {lines / files:.0f} lines on average\n"
        f"{len(rooms.wrong)} arrows up, {rooms.cycles} import cycles"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        drawn = {
            "before": read_rooms(checked_out(BEFORE, Path(place))),
            "now": read_rooms(ROOT),
        }
    draw(drawn)
    for state, found in drawn.items():
        print(f"{state}: {describe(found)}".replace("\n", "; "))
