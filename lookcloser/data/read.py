"""`read_data`: what is there is recognized, without a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.storage.files import is_there, missing_path, own_path, refuse_url
from lookcloser.data.catalog import Catalog
from lookcloser.data.checking.advice import first_reader, unknown_layout
from lookcloser.data.names import tidy
from lookcloser.data.readers.files import is_regular
from lookcloser.data.readers.tables import table as tables
from lookcloser.data.readers.tables.delimited import TABLE_SUFFIXES
from lookcloser.data.readers.tables.finding import has_columns
from lookcloser.data.splits import make_splits

# Where a model's header has how its data was split, and what; and what its columns were.
SPLITS, COLUMNS = "splits", "columns"
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
    samples = make_splits(
        catalog.samples, seed=split_seed, val_share=val_share, test_share=test_share
    )
    complete = replace(catalog, samples=samples)
    given = {*catalog.splits, "train"}
    made = [split for split in complete.splits if split not in given]
    if not made:
        return complete
    note = f"Made from a hash of the file names (seed {split_seed}): {', '.join(made)}"
    return replace(complete, notes=(*catalog.notes, note))


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
        raise LookcloserError(f"{error.filename}: cannot be read: {error.strerror}") from error
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
    """`read_data` with the splits that the training of a model made, and its columns.

    Data without splits is split by a seed and shares. With others than those of the training, its
    "test" would hold images that the model has learned from.

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
    given = stored if isinstance(stored, Mapping) else {}
    seed, *stored_shares = (given.get(name) for name in SPLIT_OPTIONS)
    shares = [
        share if isinstance(share, int | float) and 0 <= share < 1 else default
        for share, default in zip(stored_shares, (0.1, 0.2), strict=True)
    ]
    return read_data(
        path,
        split_seed=seed if isinstance(seed, int) else 0,
        val_share=shares[0] if val_share is None else val_share,
        test_share=shares[1] if test_share is None else test_share,
        skip_missing=skip_missing,
        columns=_stored_columns(path, header) if columns is None else parse_columns(columns),
    )


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
        allowed=f"A folder, a table ({', '.join(TABLE_SUFFIXES)}), COCO's .json, or captions "
        "in the form of Flickr8k",
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
