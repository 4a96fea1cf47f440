"""The image of a Label Studio task: inside the task, in a folder, or at that Label Studio.

No other address is ever asked: a task may come from anybody.
"""

from __future__ import annotations

import asyncio
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from lookcloser.core.errors import UsageError
from lookcloser.core.storage.files import own_path
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.images import Upload, from_data_url, shown_name
from lookcloser.serve.limits import Access, Limits

_LOCAL_FILES = "/data/local-files/"
_UPLOADS = "/data/"
_AS_IT_IS = "%/:@!$&'()*+,;=?~"  # in a path or a query; anything else is spelled in percents


class _NoRedirect(HTTPRedirectHandler):
    """An answer that sends elsewhere is an error."""

    def redirect_request(self, *_given: Any, **_named: Any) -> None:
        """See `urllib.request.HTTPRedirectHandler`."""
        return


class TaskImages:
    """Finds images of tasks.

    Args:
        access: Which folder and which address may be read.
        limits: Of bytes and seconds.

    Raises:
        UsageError: For a folder that is not there, an address that is none.
    """

    def __init__(self, access: Access, limits: Limits) -> None:
        self._limits = limits
        self._key = access.label_studio_key
        self._root = None if access.files is None else own_path(access.files).resolve()
        if self._root is not None and not self._root.is_dir():
            raise UsageError(f"{access.files}: not a folder", fix="Fix --files")
        self._base = None if access.label_studio is None else _parts(access.label_studio)
        if self._base is not None and (
            self._base.scheme not in ("http", "https") or not self._base.netloc
        ):
            raise UsageError(f"{access.label_studio}: not an address", fix="Give http://HOST:PORT")
        self._opener = build_opener(_NoRedirect, ProxyHandler({}))

    async def find(self, place: object) -> Upload:
        """The image at a place.

        Raises:
            Problem: 422 for a place that is not to be read, or not there.
        """
        if not isinstance(place, str):
            raise Problem(422, "A task has no image in the field that the interface names.")
        if place.lower().startswith("data:"):
            return from_data_url(place)
        parts = _parts(place)
        if self._root is not None and not parts.netloc and parts.path == _LOCAL_FILES:
            return await asyncio.to_thread(self._read, parse_qs(parts.query).get("d", [""])[0])
        if self._base is not None and self._is_upload(parts):
            return await asyncio.to_thread(self._fetch, parts)
        raise Problem(
            422,
            "A task's image is at an address that is not fetched; start the server with --files "
            "FOLDER or --label-studio-url URL.",
        )

    def _is_upload(self, parts: SplitResult) -> bool:
        """Whether a place is below /data/ of the Label Studio."""
        assert self._base is not None  # asked only then
        same = not parts.netloc or (parts.scheme, parts.netloc) == self._base[:2]
        path = unquote(parts.path.removeprefix(self._base.path.rstrip("/")))
        return same and path.startswith(_UPLOADS) and ".." not in path.split("/")

    def _read(self, name: str) -> Upload:
        assert self._root is not None  # asked only then
        missing = Problem(422, "A task's image is not in the folder of --files.")
        try:
            path = (self._root / name.lstrip("/")).resolve()
            if not path.is_relative_to(self._root) or not path.is_file():
                raise missing
            with path.open("rb") as file:
                return Upload(self._bounded(file), shown_name(path.name))
        except (OSError, ValueError) as error:
            raise missing from error

    def _fetch(self, parts: SplitResult) -> Upload:
        assert self._base is not None  # asked only then
        inside = parts.path.removeprefix(self._base.path.rstrip("/"))
        path = self._base.path.rstrip("/") + inside
        headers = {} if self._key is None else {"Authorization": f"Token {self._key}"}
        try:
            path, query = quote(path, _AS_IT_IS), quote(parts.query, _AS_IT_IS)
            address = urlunsplit((*self._base[:2], path, query, ""))
            asked = Request(address, headers=headers)
            with self._opener.open(asked, timeout=self._limits.seconds) as answer:
                return Upload(self._bounded(answer), shown_name(parts.path))
        except (OSError, ValueError, HTTPException) as error:  # the last: it speaks no HTTP
            if isinstance(error, HTTPError):
                error.close()  # the connection is open still
            raise Problem(422, "Label Studio did not give a task's image.") from error

    def _bounded(self, file: IO[bytes]) -> bytes:
        content = file.read(self._limits.body + 1)
        if len(content) > self._limits.body:
            raise Problem(413, f"An image may have {self._limits.body:,} bytes at most.")
        return content


def _parts(place: str) -> SplitResult:
    """A place, taken apart; of what is no address, such as "http://[", nothing is left."""
    try:
        return urlsplit(place)
    except ValueError:
        return urlsplit("")
