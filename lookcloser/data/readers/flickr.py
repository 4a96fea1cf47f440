"""Flickr8k (Hodosh et al., 2013) and Flickr30k (Young et al., 2014): lines of image and caption."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import leads_to_folder
from lookcloser.core.wording import some
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import Row, inside, keep_present, read_head, read_text
from lookcloser.data.readers.tables.places import image_folder
from lookcloser.data.splits import SPLIT_OF


class _Form(NamedTuple):
    """How a file is written; no header where the captions begin at once."""

    names: re.Pattern[str]
    header: re.Pattern[str] | None
    line: re.Pattern[str]


_FORMS = (
    _Form(
        re.compile(r".+\.token(\.txt)?"),
        None,
        re.compile(r"(?P<image>[^#\t]+)#\d+\t(?P<caption>.*)"),
    ),
    # One line of the published file lacks its second separator.
    _Form(
        re.compile(r"results\.csv"),
        re.compile(r"image_name *\| *comment_number *\| *comment *"),
        re.compile(r"(?P<image>[^|]+)\| *\d+ *\|?(?P<caption>.*)"),
    ),
    _Form(
        re.compile(r"captions\.txt"),
        re.compile(r"image, *caption *"),
        re.compile(r"(?P<image>[^,]+),(?P<caption>.*)"),
    ),
)
_SPLIT_FILE = re.compile(r".*(train|dev|val|test)images\.txt")


def recognizes(root: Path) -> bool:
    """A file of captions in one of the three published forms, or a folder with one."""
    return bool(_files(root))


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read the file ``root``, or the one in the folder ``root`` or in a folder below it.

    Lists such as Flickr_8k.trainImages.txt beside the captions give splits; what is in none of them
    is left out, as in the published protocol.

    Raises:
        LookcloserError: If there are several files of captions, a line is wrong, or an image is
            missing; names the line.
    """
    files = _files(root)
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise LookcloserError(
            f"{root}: several files of captions ({names})", fix="Give one of them"
        )
    base = root if root.is_dir() else root.parent
    captions, places = dict[str, list[str]](), dict[str, str]()
    for where, image, caption in _lines(files[0]):
        name, _ = inside(base, image, where)
        captions.setdefault(name, []).append(caption)
        places.setdefault(name, where)
    splits = _splits(files[0].parent)
    unlisted = [name for name in captions if name not in splits] if splits else []
    for name in unlisted:
        del captions[name]
    folder = image_folder(base, list(captions))
    rows = []
    for name, sentences in captions.items():
        path = posixpath.join(folder, name)
        sample = Sample(path, base / path, captions=tuple(sentences), split=splits.get(name))
        rows.append(Row(places[name], sample))
    samples, skipped = keep_present(rows, skip_missing, base)
    notes = (f"{some(unlisted, 'image')} in no list of a split left out",) if unlisted else ()
    return Catalog(base, "Flickr captions", "captioning", (), samples, skipped, notes)


def _files(root: Path) -> list[Path]:
    """Files of captions: ``root`` itself, else those in it, else those one folder below."""
    if root.is_file():
        return [root] if _is_captions(root) else []
    with os.scandir(root) as entries:
        below = sorted(entry.path for entry in entries if leads_to_folder(entry))
    return _in(root) or [path for folder in below for path in _in(Path(folder))]


def _in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _form(entry.name))
    return [folder / name for name in names if _is_captions(folder / name)]


def _form(name: str) -> _Form | None:
    return next((form for form in _FORMS if form.names.fullmatch(name.lower())), None)


def _is_captions(path: Path) -> bool:
    form = _form(path.name)
    if form is None:
        return False
    try:
        head = read_head(path)
        first = head.partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        return False
    return (form.header or form.line).fullmatch(first) is not None


def _lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """(place, image, caption) of every line that is not blank, without the header."""
    form = _form(path.name)
    assert form is not None  # the file was recognized by it
    # Not splitlines(): a caption may hold characters that it takes for the end of a line.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip() or (number == 1 and form.header):
            continue
        where = f"{path.name} line {number}"
        match = form.line.fullmatch(line.rstrip("\r"))
        if match is None:
            raise LookcloserError(f"{where}: '{line[:60]}' is not an image with a caption")
        caption = _unquoted(match["caption"].strip())
        if not caption:
            raise LookcloserError(f"{where}: the caption is empty")
        yield where, match["image"].strip(), caption


def _unquoted(text: str) -> str:
    """A caption with commas is quoted in some releases and not in others."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"').strip() if quoted else text


def _splits(folder: Path) -> dict[str, str]:
    """Image -> split, from the lists in a folder."""
    splits: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        match = _SPLIT_FILE.fullmatch(path.name.lower())
        if match is None:
            continue
        split = SPLIT_OF[match[1]]
        for name in filter(None, map(str.strip, read_text(path).split("\n"))):
            if splits.setdefault(name, split) != split:
                raise LookcloserError(f"{path.name}: '{name}' is in {splits[name]} already")
    return splits
