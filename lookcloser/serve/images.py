"""Images as clients send them: bytes of an upload, a data URL, a file that was asked for."""

from __future__ import annotations

import base64
import io
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes

from PIL import Image

from lookcloser.core.errors import LookcloserError, TooLargeError
from lookcloser.core.images import load_image
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.core.sizes import ImageSize
from lookcloser.core.wording import printable
from lookcloser.runtime import Loaded
from lookcloser.serve.http.problems import Problem

_LONGEST_NAME = 255
_BEHIND = 5  # of 19: about a third of the time of a thread that wants as much


class _Named(io.BytesIO):
    """Bytes that errors call by a name."""

    name = "image"


def give_way() -> None:
    """Let the other threads of the process come first, where the system ranks threads.

    The parts of a forward pass wait for the slowest, which is one that a decoder interrupts.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BEHIND)


@dataclass(frozen=True)
class Upload:
    """An image that was sent.

    Attributes:
        content: The bytes of its file.
        name: The last part of the file name that the client gave, printable; None of none. It is
            only ever shown.
    """

    content: bytes
    name: str | None = None

    def opened(self, max_pixels: int) -> Image.Image:
        """The image, upright, in RGB.

        Raises:
            LookcloserError: See `lookcloser.core.images.load_image`.
        """
        file = _Named(self.content)
        file.name = self.name or file.name
        return load_image(file, max_pixels=max_pixels)


def shown_name(name: str | None) -> str | None:
    """A client's file name without folders and without signs that command anything."""
    if name is None:
        return None
    last = PureWindowsPath(PurePosixPath(name).name).name
    return printable(last)[:_LONGEST_NAME] or None


def decoded(upload: Upload, preprocessing: Preprocessing, max_pixels: int) -> Loaded:
    """The input of the network, or why there is none; the size is looked at before decoding."""
    try:
        image = upload.opened(max_pixels)
    except LookcloserError as error:
        return Loaded(None, error=str(error), kind=error.kind)
    return Loaded(input_pixels(image, preprocessing), ImageSize(*image.size))


def from_data_url(url: str) -> Upload:
    """The image inside a "data:" URL.

    Raises:
        Problem: 422 for anything else; no address is ever asked.
    """
    head, comma, data = url.partition(",")
    if not comma or not head.lower().startswith("data:"):
        raise Problem(
            422,
            "An image is given by an address that is not fetched; send it inside the request as "
            "'data:image/jpeg;base64,…'.",
        )
    if not head.lower().endswith(";base64"):
        return Upload(unquote_to_bytes(data.encode("utf-8", "replace")))
    try:
        return Upload(base64.b64decode(data, validate=True))
    except ValueError as error:  # no base64, or no ASCII
        raise Problem(422, "A data URL is not base64.") from error


def unreadable(error: str, kind: str | None) -> Problem:
    """What is said of an image that was not read: 413 where it is too large, else 422.

    Args:
        error: The sentence.
        kind: The `LookcloserError.kind` of the error.
    """
    return Problem(413 if kind == TooLargeError.kind else 422, error)
