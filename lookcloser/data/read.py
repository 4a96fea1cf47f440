"""`read_data`: what is there is recognized, without a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.storage.files import (
    is_there,
    missing_path,
    own_path,
    refuse_url,
    unreadable,
)
from lookcloser.data.catalog import Catalog
from lookcloser.data.checking.advice import first_reader, unknown_layout
from lookcloser.data.known_tree import read_known_tree
from lookcloser.data.names import tidy
from lookcloser.data.readers.files import is_regular
from lookcloser.data.readers.folders import LAYOUT as FOLDERS
from lookcloser.data.readers.tables import table as tables
from lookcloser.data.readers.tables.delimited import TABLE_SUFFIXES
from lookcloser.data.readers.tables.finding import has_columns
from lookcloser.data.splits import make_splits

# Where a model's header has how its data was split, and what; and what its columns were.
SPLITS, COLUMNS, MADE = "splits", "columns", "made"
_MADE = "Made from a hash of the file names"
SPLIT_OPTIONS = ("seed", "val_share", "test_share")


def read_data(
    path: str | Path,
    *,
    split_seed: int = 0,
    val_share: float = 0.1,
    test_share: float = 0.2,
    skip_missing: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Catalog:
    """Read a data set of any layout in `READERS`; no image is decoded, nothing is downloaded.

    Args:
        path: A folder, or a file: a table, the JSON of COCO, the captions of Flickr8k or 30k.
        split_seed: Seed of the splits that the data does not bring along.
        val_share: Share of the training images that becomes val where there is none.
        test_share: Share of all images that becomes test where there is neither val nor test.
        skip_missing: Leave out images that are listed but not there, instead of failing.
        columns: Of a table: what its columns are, such as {"image": "filename", "label": "species"}
            (also labels, caption, split, x0, y0, x1, y1, bbox); without it their names say it.

    Returns:
        The catalog, in which every sample has a split.

    Raises:
        LookcloserError: If there is no such path, no layout fits (the message says what was found),
            there are no images, or the reader of the layout finds something wrong.
    """
    catalog = read_as_given(path, skip_missing=skip_missing, columns=columns)
    return _with_splits(catalog, split_seed, val_share, test_share)


def _with_splits(catalog: Catalog, split_seed: int, val_share: float, test_share: float) -> Catalog:
    samples = make_splits(
        catalog.samples, seed=split_seed, val_share=val_share, test_share=test_share
    )
    complete = replace(catalog, samples=samples)
    made = tuple(split for split in complete.splits if split not in catalog.splits)
    from_names = [split for split in made if split != "train"]
    notes = [f"{_MADE} (seed {split_seed}): {', '.join(from_names)}"] if from_names else []
    return replace(complete, notes=(*catalog.notes, *notes), made=made)


def read_as_given(
    path: str | Path, *, skip_missing: bool = False, columns: Mapping[str, str] | None = None
) -> Catalog:
    """`read_data` without making splits: where the data brings none along, there are none.

    Raises:
        LookcloserError: As `read_data`.
    """
    refuse_url(path)
    root = own_path(path)
    if not is_there(root):
        raise missing_path(path)
    if not root.is_dir() and not is_regular(root):  # a pipe would be waited for
        raise LookcloserError(f"{path}: not an ordinary file or folder")
    try:
        catalog = tidy(_catalog(root, skip_missing, columns or {}))
    except OSError as error:
        raise unreadable(error.filename, error) from error
    if not catalog.samples:
        raise LookcloserError(f"{path}: {catalog.layout} without any image")
    return catalog


def read_as_trained(
    path: str | Path,
    header: ModelHeader,
    *,
    skip_missing: bool = False,
    columns: str | None = None,
    val_share: float | None = None,
    test_share: float | None = None,
) -> Catalog:
    """`read_data` with the splits that the training of a model made, its columns and its groups.

    Data without splits is split by a seed and shares. With others than those of the training, its
    "test" would hold images that the model has learned from. And which folders of a part of a tree
    are classes is told by the groups that the model knows; see `read_known_tree`.

    Args:
        path: As `read_data` takes it.
        header: Of the model; one from before this was stored gives the defaults.
        skip_missing: As `read_data` takes it.
        columns: As `parse_columns` takes them; None takes those of the training, where the data is
            a table that has them.
        val_share: As `read_data` takes it; None takes that of the training.
        test_share: Likewise.

    Raises:
        LookcloserError: As `read_data`.
    """
    stored = header.provenance.get(SPLITS)
    known = stored if isinstance(stored, Mapping) else {}
    seed, *stored_shares = (known.get(name) for name in SPLIT_OPTIONS)
    shares = [
        share if isinstance(share, int | float) and 0 <= share < 1 else default
        for share, default in zip(stored_shares, (0.1, 0.2), strict=True)
    ]
    given = _stored_columns(path, header) if columns is None else parse_columns(columns)
    catalog = None if given else _by_known_groups(path, header)
    if catalog is None:
        catalog = read_as_given(path, skip_missing=skip_missing, columns=given)
    return _with_splits(
        catalog,
        seed if isinstance(seed, int) else 0,
        shares[0] if val_share is None else val_share,
        shares[1] if test_share is None else test_share,
    )


def _by_known_groups(path: str | Path, header: ModelHeader) -> Catalog | None:
    """Class folders by the tree of a model; None for all else, and where it knows all classes."""
    root = own_path(path)
    if not header.parents or not root.is_dir():
        return None
    try:
        reader = first_reader(root)
        if reader is not None and reader.layout != FOLDERS:
            return None
        plain = None if reader is None else tidy(reader.read(root, False))
        if plain is not None and set(header.names).issuperset(plain.names):
            return None
        found = read_known_tree(root, header.names, header.parents)
    except OSError as error:
        raise unreadable(error.filename, error) from error
    return None if found is None else tidy(found)


def read_to_score(path: str | Path, header: ModelHeader, *, columns: str | None = None) -> Catalog:
    """`read_as_trained` for data that a model is scored on.

    A test split is made only where the training made one too. A model whose data brought its test
    along has seen nothing of any other, so data without splits is all test; and a folder of its
    training images has no test.

    Args:
        path: As `read_data` takes it.
        header: Of the model.
        columns: As `read_as_trained` takes them.

    Raises:
        LookcloserError: As `read_data`.
    """
    catalog = read_as_trained(path, header, columns=columns)
    stored = header.provenance.get(SPLITS)
    made = stored.get(MADE) if isinstance(stored, Mapping) else None
    if not isinstance(made, list) or "test" in made or "test" not in catalog.made:
        return catalog
    split = "test" if "train" in catalog.made else "train"
    samples = tuple(replace(sample, split=split) for sample in catalog.samples)
    notes = tuple(note for note in catalog.notes if not note.startswith(_MADE))
    return replace(catalog, samples=samples, notes=notes, made=())


def _stored_columns(path: str | Path, header: ModelHeader) -> dict[str, str] | None:
    """What the training was told of the columns, where this data has them."""
    stored, root = header.provenance.get(COLUMNS), own_path(path)
    if not isinstance(stored, str):
        return None
    try:
        given = parse_columns(stored)
        return given if has_columns(root, given.values()) else None
    except (LookcloserError, OSError):  # `read_data` says what is wrong
        return None


def _catalog(root: Path, skip_missing: bool, columns: Mapping[str, str]) -> Catalog:
    if columns:
        return tables.read(root, skip_missing, columns)
    reader = first_reader(root)
    if reader is not None:
        return reader.read(root, skip_missing)
    if root.is_dir():
        raise unknown_layout(root)
    raise LookcloserError(
        f"{root}: not a list of images with labels or captions",
        allowed=f"A folder, a table ({', '.join(TABLE_SUFFIXES)}), COCO's .json, YOLO's "
        "data.yaml, or captions in the form of Flickr8k",
    )


def parse_columns(text: str) -> dict[str, str]:
    """The value of ``--columns``, "image=filename,label=species", as role -> column.

    Raises:
        UsageError: If it has another form.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not pairs or not all(role.strip() and name.strip() for role, _, name in pairs):
        raise UsageError(
            f"{text}: not columns of a table", allowed="ROLE=NAME,…, such as image=file,label=kind"
        )
    return {role.strip(): name.strip() for role, _, name in pairs}
