"""``data.yaml``: read as text alone, so that a class may be called "no" or "007".

Nothing in it is run, built or fetched: `yaml.compose` makes a tree of texts, in which an anchor
that is used a thousand times is one node.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.files import read_head
from lookcloser.data.readers.yolo.description import (
    MOST_BYTES,
    SPLITS,
    Description,
    Part,
    read_page,
)

USUAL = ("data.yaml", "data.yml", "dataset.yaml")
_SUFFIXES = (".yaml", ".yml")
_NULL = ("", "~", "null", "Null", "NULL")
_MOST_CLASSES = 100_000
_CLASSES = re.compile(r"(^|[{,])\s*[\"']?(names|nc)[\"']?\s*:", re.MULTILINE)
_IMAGES = re.compile(rf"(^|[{{,])\s*[\"']?({'|'.join(SPLITS)})[\"']?\s*:", re.MULTILINE)

_Entries = dict[str, yaml.Node]


def is_page(path: Path) -> bool:
    """Whether a YAML file has keys of classes and of splits; it is not parsed.

    Of one that is called ``data.yaml`` classes are enough: the folders tell the splits.
    """
    if not path.name.lower().endswith(_SUFFIXES):
        return False
    head = read_head(path, MOST_BYTES).replace(b"\0", b"").decode("utf-8", "replace")
    return bool(_CLASSES.search(head) and (path.name.lower() in USUAL or _IMAGES.search(head)))


def read_yaml(path: Path) -> Description:
    """Read ``path``, ``train``, ``val``, ``test``, ``names``, ``nc`` and ``kpt_shape``.

    Raises:
        LookcloserError: If it is larger than 1 MiB or no YAML, or one of these is not as it has to
            be; names the line.
    """
    text, note = read_page(path)
    entries = _entries(text, path.name)
    invented = None
    if "names" in entries:
        names = dict(_names(entries["names"], path.name))
        given = _whole(entries["nc"]) if "nc" in entries else len(names)
        if given != len(names):
            raise LookcloserError(
                f"{_place(entries['nc'], path.name)}: nc is {_shown(entries['nc'])}, and there are "
                f"{len(names)} names",
                fix="Correct the one that is wrong",
            )
    else:
        names = _numbered(entries.get("nc"), path.name)
        invented = f"{path.name} has no names: classes are called class_0, class_1 and so on"
    fetched = f"{path.name}: 'download' is not run" if "download" in entries else None
    return Description(
        where=path.name,
        names=names,
        parts=tuple(_parts(entries, path.name)),
        key_points=_key_points(entries.get("kpt_shape"), path.name),
    ).with_notes(note, invented, fetched)


def _entries(text: str, where: str) -> _Entries:
    """Key -> value of the outermost mapping."""
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise LookcloserError(
            f"{where} line {line}: not YAML: {error.problem}",
            fix="Correct the line; blanks, not tabs, stand before a key",
        ) from error
    except (yaml.YAMLError, RecursionError) as error:  # signs that are none; thousands of brackets
        reason = str(error).splitlines()[0]
        raise LookcloserError(f"{where}: not YAML: {reason}") from error
    if not isinstance(root, yaml.MappingNode):
        raise LookcloserError(f"{where}: no keys such as train, val and names")
    return dict(_pairs(root, where))


def _pairs(node: yaml.MappingNode, where: str) -> Iterator[tuple[str, yaml.Node]]:
    """(key, value) of a mapping; the parser itself takes the last of equal keys."""
    lines: dict[str, int] = {}
    for key, value in node.value:
        line, text = key.start_mark.line + 1, _shown(key)
        if text in lines:
            raise LookcloserError(
                f"{where} line {line}: '{text}' is at line {lines[text]} already",
                fix="Keep one of them",
            )
        lines[text] = line
        yield text, value


def _names(node: yaml.Node, where: str) -> Iterator[tuple[int, str]]:
    """(number, class) of a list, or of a mapping with numbers as keys."""
    if isinstance(node, yaml.MappingNode):
        pairs = list(_pairs(node, where))
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(number), value) for number, value in enumerate(node.value)]
    else:
        pairs = []
    if not pairs:
        raise LookcloserError(
            f"{_place(node, where)}: 'names' is {_shown(node)!r}",
            allowed="A list of the names of the classes, or a mapping such as 0: cat",
        )
    for key, value in pairs:
        if not key.isascii() or not key.isdigit() or len(key) > 9:
            raise LookcloserError(
                f"{_place(value, where)}: '{key}' is not a class number", allowed="0 and above"
            )
        if not isinstance(value, yaml.ScalarNode) or not value.value.strip():
            raise LookcloserError(f"{_place(value, where)}: class {key} has no name")
        yield int(key), value.value.strip()


def _numbered(node: yaml.Node | None, where: str) -> dict[int, str]:
    """Names for the classes of a file that only counts them."""
    number = None if node is None else _whole(node)
    if node is None or number is None or not 1 <= number <= _MOST_CLASSES:
        place = where if node is None else _place(node, where)
        raise LookcloserError(
            f"{place}: no names of classes", fix="Write them: a line such as names: [cat, dog]"
        )
    return {i: f"class_{i}" for i in range(number)}


def _parts(entries: _Entries, where: str) -> Iterator[Part]:
    base = entries.get("path")
    if base is not None and not isinstance(base, yaml.ScalarNode):
        raise LookcloserError(f"{_place(base, where)}: 'path' is {_shown(base)!r}, not a folder")
    folder = "" if base is None or _is_null(base) else base.value.strip()
    for key, split in SPLITS.items():
        node = entries.get(key)
        if node is None or _is_null(node):
            continue
        for value in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            place = _place(value, where)
            if not isinstance(value, yaml.ScalarNode) or not value.value.strip():
                raise LookcloserError(
                    f"{place}: '{key}' is {_shown(value)!r}",
                    allowed="A folder, a list of images (.txt), or several of these",
                )
            listed = value.value.strip()
            # A URL stays one, and is refused where the images are looked for.
            yield Part(split, listed if "://" in listed else posixpath.join(folder, listed), place)


def _key_points(node: yaml.Node | None, where: str) -> int:
    """How many numbers the key points of an object are: 17 points of x, y and visibility are 51."""
    if node is None or _is_null(node):
        return 0
    shape = list(map(_whole, node.value)) if isinstance(node, yaml.SequenceNode) else []
    number, size = shape if len(shape) == 2 else (None, None)
    if not number or size not in (2, 3):
        raise LookcloserError(
            f"{_place(node, where)}: kpt_shape is {_shown(node)}",
            allowed="[POINTS, 2], or [POINTS, 3] with their visibility",
        )
    return number * size


def _whole(node: yaml.Node) -> int | None:
    """A number of at most nine digits; None for anything else."""
    text = node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _is_null(node: yaml.Node) -> bool:
    """Whether there is no value: "test: # optional"."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULL


def _place(node: yaml.Node, where: str) -> str:
    return f"{where} line {node.start_mark.line + 1}"


def _shown(node: yaml.Node) -> str:
    """A value as an error names it: a text, or what else it is."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)[:60]
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
