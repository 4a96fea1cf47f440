"""What stands in the cells of a table: tags and boxes, in the forms that people write."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import image_size
from lookcloser.core.types import Box
from lookcloser.core.wording import named
from lookcloser.data.readers.tables.columns import Columns

Form = Literal["corners", "size", "center"]
_MOST_SIZES = 200
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|[-+]?\.\d+|nan|inf", re.IGNORECASE)
_OPENING, _CLOSING = "[({", "])}"
# Between the texts of a list as NumPy prints it: ['a' 'b'].
_NO_COMMA = re.compile(r"""(?<=['"])\s+(?=['"])""")


# What may also be a part of a name.
_PERHAPS = {"/": "'/'", r"\+": "'+'", "&": "'&'", r"\s+": "blanks"}


def tag_splitter(cells: Sequence[str]) -> tuple[Callable[[str], list[str]], str | None]:
    """How the tags of a column are told apart, by all of its cells; and a note where it is a guess.

    As lists ``['a', 'b']`` where every cell is one, else by ";" or "|" where one of them occurs,
    else by commas, else by blanks, "/", "+" or "&" where parts of the longer cells stand alone in
    others, or where there are fewer parts than cells that differ: parts that are combined are tags.
    """
    filled = [cell for cell in cells if cell]
    bracketed = bool(filled) and all(
        cell[0] in _OPENING and cell[-1] in _CLOSING for cell in filled
    )
    if bracketed and all(_quoted(cell) is not None for cell in filled):
        return _listed, "Tags are lists"
    if any(re.search(r"[;|]", cell) for cell in cells):
        return _by(r"[;|]"), None
    if bracketed:
        return _listed, "Tags are lists"
    if any("," in cell for cell in filled):
        return _by(","), "Tags are separated by ','"
    for separator, words in _PERHAPS.items():
        alone = {cell for cell in filled if not re.search(separator, cell)}
        joined = {cell: _by(separator)(cell) for cell in filled if re.search(separator, cell)}
        parts = alone.union(*joined.values())
        if joined and (
            all(alone.intersection(own) for own in joined.values())
            or len(parts) < len(alone) + len(joined)
        ):
            return _by(separator), f"Tags are separated by {words}"
    whole = [cell for cell in dict.fromkeys(filled) if re.search("|".join(_PERHAPS), cell)]
    note = f"One tag each: {named(whole)}; several stand as 'a;b'" if whole else None
    return _by(r"[;|]"), note


def _by(separator: str) -> Callable[[str], list[str]]:
    return lambda cell: [tag for tag in map(str.strip, re.split(separator, cell)) if tag]


def _listed(cell: str) -> list[str]:
    """The tags of a list, with or without quotes: [a, b]."""
    values = _quoted(cell)
    if values is None:
        values = cell.strip(_OPENING + _CLOSING).split(",")
    return [tag for tag in map(str.strip, values) if tag]


def _quoted(cell: str) -> list[str] | None:
    """The entries of a list in JSON or in Python, in their order; None where it is neither."""
    try:
        values = json.loads(cell)
    except (ValueError, RecursionError):
        try:
            values = _literals(ast.parse(_NO_COMMA.sub(", ", cell), mode="eval").body)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    if not isinstance(values, list):
        return None
    return [str(value) for value in values if value is not None]


def _literals(node: ast.expr) -> list[Any]:
    """The entries of a list, tuple or set as they are written: a set has no order of its own."""
    entries = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    return [ast.literal_eval(entry) for entry in entries]


def boxes_as(
    columns: Columns, rows: Sequence[tuple[Path, Mapping[str, str]]]
) -> tuple[Form | None, str | None]:
    """What four numbers are: corners, a corner or a center and a size; None where not read.

    Of a column ``bbox`` the numbers decide: corners grow, and sizes stay inside of the image. Where
    both hold they are sizes, as in COCO. Shares of the image (all numbers in 0…1) are not read, nor
    is a place beside the size of the whole image.

    Args:
        columns: Of the table.
        rows: (file, cells) of each row.

    Raises:
        LookcloserError: If the numbers can be neither.
    """
    if not columns.box:
        return None, None
    boxes = [
        (file, values)
        for file, cells in rows
        for values in _quadruples([cells[column] for column in columns.box])
    ]
    if boxes and all(0 <= v <= 1 for _, values in boxes for v in values):
        return None, f"Boxes in shares of the image ({', '.join(columns.box)}) are not read"
    if columns.box_kind != "list":
        inside = list(_sampled(boxes)) if columns.box_kind == "size" else []
        if inside and not any(inside):
            return None, f"{', '.join(columns.box)} reach out of every image: not read as boxes"
        return columns.box_kind, None
    as_corners = all(x0 < x1 and y0 < y1 for _, (x0, y0, x1, y1) in boxes)
    as_sizes = not as_corners or all(_sampled(boxes))
    if not as_corners and not all(_sampled(boxes)):
        raise LookcloserError(
            f"'{columns.box[0]}' holds boxes that are neither x0, y0, x1, y1 nor x, y, width, "
            "height inside of their images",
            fix="Write them into four columns x0, y0, x1, y1",
        )
    said = "x, y, width, height" if as_sizes else "x0, y0, x1, y1"
    return "size" if as_sizes else "corners", f"'{columns.box[0]}' is read as {said}"


def _sampled(boxes: Sequence[tuple[Path, Box]]) -> Iterator[bool]:
    return islice(_inside_as_sizes(boxes), _MOST_SIZES)


def _inside_as_sizes(boxes: Sequence[tuple[Path, Box]]) -> Iterator[bool]:
    """Whether each box is inside of its image if it is x, y, width, height."""
    for file, (x, y, width, height) in boxes:
        try:
            size = image_size(file)
        except LookcloserError:
            continue
        yield x + width <= size[0] + 1 and y + height <= size[1] + 1


def _quadruples(texts: Sequence[str]) -> list[Box]:
    numbers = [float(found) for text in texts for found in _NUMBER.findall(text)]
    return [
        (numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3])
        for i in range(0, len(numbers) - 3, 4)
    ]


def _in_fours(text: str) -> bool:
    return len(_NUMBER.findall(text)) % 4 == 0


def read_boxes(
    where: str, cells: Mapping[str, str], columns: Sequence[str], kind: Form | None
) -> list[Box]:
    """The boxes of a row: none, one in four columns, or any number in one column.

    Raises:
        LookcloserError: For numbers that are no box.
    """
    texts = [cells.get(column, "") for column in columns]
    if kind is None or not any(text.strip("[]() ") for text in texts):
        return []
    boxes = _quadruples(texts)
    complete = all(map(_NUMBER.fullmatch, texts)) if len(texts) > 1 else _in_fours(texts[0])
    if kind == "size":
        boxes = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    elif kind == "center":
        boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in boxes]
    # Written so that NaN fails too.
    sound = all(
        -math.inf < x0 < x1 < math.inf and -math.inf < y0 < y1 < math.inf
        for x0, y0, x1, y1 in boxes
    )
    if not boxes or not complete or not sound:
        raise LookcloserError(
            f"{where}: {', '.join(texts)} is not a box",
            allowed="Numbers x0 < x1 and y0 < y1"
            if kind == "corners"
            else "Numbers x, y, width, height, the last two above 0",
        )
    return boxes
