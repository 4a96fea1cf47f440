"""Which columns of a table are boxes, under their usual names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.tables.delimited import Table
from lookcloser.data.readers.tables.names import by_plain_name, usual

BoxKind = Literal["corners", "size", "center", "list"]

CORNERS = ("x0", "y0", "x1", "y1")
_LISTS = ("bbox", "box", "boundingbox", "bboxes", "boxes")
# Of each of four numbers the usual names, with "?" for x and y; the clearest family first.
_MIN = ("?min", "min?", "start?", "?start", "?tl", "topleft?", "upperleft?", "?left", "left?")
_MAX = ("?max", "max?", "end?", "?end", "?br", "bottomright?", "lowerright?", "?right", "right?")
_MIDDLE = ("?center", "center?", "?centre", "centre?", "?c", "c?", "?mid", "mid?")
_SIZE = (("w", "width", "bw"), ("h", "height", "bh"))
_PREFIXES = ("", "bbox", "boundingbox", "bndbox", "box", "roi", "rect", "bb", "object")


def _pair(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of x and of y."""
    x, y = (tuple(name.replace("?", axis) for name in names) for axis in "xy")
    return x, y


_FAMILIES: tuple[tuple[tuple[tuple[str, ...], ...], BoxKind], ...] = (
    ((*_pair(("?0",)), *_pair(("?1",))), "corners"),
    ((*_pair(_MIN), *_pair(_MAX)), "corners"),
    ((*_pair(("?1",)), *_pair(("?2",))), "corners"),
    ((("left",), ("top",), ("right",), ("bottom",)), "corners"),
    ((*_pair(("?", "?0", "?1", "b?", *_MIN)), *_SIZE), "size"),
    ((("left",), ("top",), *_SIZE), "size"),
    ((*_pair(_MIDDLE), *_SIZE), "center"),
)


def box_columns(table: Table, chosen: Mapping[str, str]) -> tuple[tuple[str, ...], BoxKind | None]:
    """Four columns of a box, or one that lists it, and what they hold; () and None without boxes.

    Args:
        table: Its columns are looked at.
        chosen: Role -> column, as the user says.

    Raises:
        LookcloserError: If some of x0, y0, x1 and y1 are there, and not all.
    """
    if "bbox" in chosen:
        return (chosen["bbox"],), "list"
    if set(CORNERS) & set(chosen):
        return tuple(chosen.get(name, name) for name in CORNERS), "corners"
    found = next(_complete(by_plain_name(table.columns)), None)
    if found is not None:
        return found
    if set(CORNERS) & set(table.columns):
        raise LookcloserError(
            f"{table.path}: a box needs columns {', '.join(CORNERS)}; "
            f"columns found: {', '.join(table.columns)}"
        )
    lists = usual(table.columns, _LISTS, 1)
    return (tuple(lists), "list") if lists else ((), None)


def _complete(by_name: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], BoxKind]]:
    """Families of names of which all four are there, alone or behind one prefix."""
    for names, kind in _FAMILIES:
        for prefix in _PREFIXES:
            columns = [
                next((by_name[prefix + name] for name in one if prefix + name in by_name), None)
                for one in names
            ]
            present = tuple(column for column in columns if column is not None)
            if len(present) == len(names):
                yield present, kind
