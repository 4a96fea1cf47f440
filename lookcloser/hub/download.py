"""One model file of the hub, chosen and bounded before anything of it is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lookcloser.core.errors import LookcloserError
from lookcloser.core.wording import named
from lookcloser.hub.address import HubAddress, is_hub, parse_address
from lookcloser.hub.client import is_unreachable, make_client, translated

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MODEL_FILE, ONNX_FILE = "model.safetensors", "model.onnx"
LARGEST_DOWNLOAD = 4 * 2**30  # bytes
_SECONDS = 10  # until the hub answers


def fetched(path: str | Path) -> str | Path:
    """A path as it is; of "hub:OWNER/NAME" the file that was fetched from there."""
    return fetch(parse_address(str(path))) if is_hub(path) else path


def fetch(address: HubAddress) -> Path:
    """The model file of a repository, from the client's cache where it has this version.

    Only one file is ever fetched: model.safetensors, else model.onnx, else the only .onnx file.
    Neither runs code when it is read. The commit is looked up first, with the sizes of its files.

    Args:
        address: Of the model.

    Returns:
        The file in the cache of the hub's client.

    Raises:
        LookcloserError: Without network and without a copy in the cache; for a repository or
            revision that is not there or not open to you; for one without such a file, and for a
            file larger than ``LARGEST_DOWNLOAD``, or of another size than the hub says.
    """
    api = make_client()
    try:
        with translated(str(address)):
            info = api.model_info(
                address.repository,
                revision=address.revision,
                files_metadata=True,
                timeout=_SECONDS,
            )
            sizes = {file.rfilename: file.size for file in info.siblings or ()}
    except LookcloserError as error:
        known = _cached(address) if is_unreachable(error.__cause__) else None
        if known is None:
            raise
        return known
    name = _chosen(address, sizes)
    size = _bounded(f"{address}, {name}", sizes[name])
    return _download(api, address, name, info.sha, size)


def _download(api: HfApi, address: HubAddress, name: str, commit: str | None, size: int) -> Path:
    """By the name of the revision, under which the cache finds it again without a network."""
    with translated(str(address)):
        path = Path(api.hf_hub_download(address.repository, name, revision=address.revision))
        found = path.stat().st_size
    if found != size or commit not in (None, path.parent.name):
        raise LookcloserError(
            f"{address}, {name}: {found:,} bytes of commit {path.parent.name}, where the hub says "
            f"{size:,} of {commit}",
            fix="It has just been changed, or is damaged; try again",
        )
    return path


def _chosen(address: HubAddress, sizes: Mapping[str, int | None]) -> str:
    for name in (MODEL_FILE, ONNX_FILE):
        if name in sizes:
            return name
    exported = [name for name in sizes if "/" not in name and name.lower().endswith(".onnx")]
    if len(exported) == 1:
        return exported[0]
    there = f"it has {named(sorted(sizes))}" if sizes else "it is empty"
    raise LookcloserError(
        f"{address}: no model of lookcloser; {there}",
        allowed=f"{MODEL_FILE}, {ONNX_FILE} or one .onnx file",
        fix="Name a repository that `lookcloser push` has made",
    )


def _bounded(subject: str, size: int | None) -> int:
    if size is None:
        raise LookcloserError(
            f"{subject}: the hub does not say how large it is",
            fix="Fetch the file yourself and give that",
        )
    if not 0 <= size <= LARGEST_DOWNLOAD:
        raise LookcloserError(
            f"{subject}: {size:,} bytes",
            allowed=f"At most {LARGEST_DOWNLOAD:,}",
            fix="If you trust it, fetch the file yourself and give that",
        )
    return size


def _cached(address: HubAddress) -> Path | None:
    """What an earlier call has fetched of this revision."""
    from huggingface_hub import try_to_load_from_cache

    for name in (MODEL_FILE, ONNX_FILE):
        found = try_to_load_from_cache(address.repository, name, revision=address.revision)
        if isinstance(found, str) and Path(found).stat().st_size <= LARGEST_DOWNLOAD:
            return Path(found)
    return None
