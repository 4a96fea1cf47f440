"""The images of a request, from a multipart form or from the raw body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lookcloser.core.wording import count
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.images import Upload, shown_name

_FORM = "multipart/form-data"
_WEB = "application/x-www-form-urlencoded"  # also what curl's --data-binary says of any body
_RAW = ("", "application/octet-stream", _WEB)


class _InMemory(MultiPartParser):
    """Keeps files in memory, where the body was counted, and refuses what is no file at once."""

    spool_max_size = 2**40

    def on_headers_finished(self) -> None:
        """See `MultiPartParser`."""
        super().on_headers_finished()
        if self._current_part.file is None:
            raise Problem(
                422, "A field of the form is no file; send images as files, each with a filename."
            )


async def read_uploads(request: Request, most: int) -> list[Upload]:
    """The images in a request's body.

    Args:
        request: With one image as its body, or with a form of files.
        most: Images.

    Raises:
        Problem: 413 for too many, 415 for another kind of body, 422 for a broken form or an empty
            body.
    """
    kind = _kind(request)
    if kind == _FORM:
        return await _form(request, most)
    if kind not in _RAW and not kind.startswith("image/"):
        raise _another_kind()
    content = await request.body()
    if not content:
        raise Problem(422, "There is no image: the body is empty.")
    if kind == _WEB and content.isascii():  # a web form indeed
        raise _another_kind()
    return [Upload(content)]


def _another_kind() -> Problem:
    return Problem(
        415,
        "Send a form of files (multipart/form-data), or one image as the body with its own "
        "Content-Type, such as image/jpeg.",
    )


def _kind(request: Request) -> str:
    """The media type of the body, without its parameters; "" where none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@asynccontextmanager
async def _closing(form: FormData) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await form.close()


async def _form(request: Request, most: int) -> list[Upload]:
    parser = _InMemory(request.headers, request.stream(), max_files=most + 1)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        if sum(isinstance(value, UploadFile) for _, value in parser.items) > most:
            raise too_many(most) from error
        raise Problem(422, "The form is broken.") from error
    async with _closing(form):
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not files:
            raise Problem(422, "There is no image: the form has no file.")
        if len(files) > most:
            raise too_many(most)
        return [Upload(await file.read(), shown_name(file.filename)) for file in files]


async def json_only(request: Request) -> None:
    """What the routes that take JSON depend on.

    Raises:
        Problem: 415 for a body of another kind, which would be read as a text.
    """
    kind = _kind(request)
    if kind.partition("/")[0] != "application" or not kind.endswith(("/json", "+json")):
        raise Problem(415, "Send JSON, with the header Content-Type: application/json.")


def too_many(most: int) -> Problem:
    """What is said of a request with more than ``most`` images."""
    return Problem(413, f"A request may hold {count(most, 'image')} at most.")
