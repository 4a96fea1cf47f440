"""The hub's own client, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lookcloser.core.errors import LookcloserError
from lookcloser.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOGIN = "Log in with `hf auth login`, or set HF_TOKEN"
# Of httpx, of requests (which older clients use), and of what lies below them.
_NETWORK = ("httpx", "httpcore", "requests", "urllib3")


def make_client() -> HfApi:
    """The client, at the endpoint and with the token that are set up for it.

    Raises:
        LookcloserError: Where it is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise LookcloserError(
            "models of the hub need huggingface-hub, which is not installed",
            fix="Install it: `pip install huggingface-hub`",
        ) from error
    return HfApi(library_name="lookcloser", library_version=__version__)


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Whatever the client raises inside becomes one sentence about ``subject``.

    No text of the client is passed on: it may hold addresses with signatures.
    """
    try:
        yield
    except LookcloserError:
        raise
    except Exception as error:  # the client has dozens of classes, and lets others through
        raise _said(subject, error) from error


def is_unreachable(error: BaseException | None) -> bool:
    """Whether there was no answer at all: no network, a wrong endpoint, or told to be offline."""
    if error is None or _status(error) is not None:
        return False
    is_network = type(error).__module__.startswith(_NETWORK)
    return isinstance(error, ConnectionError | TimeoutError) or is_network


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _said(subject: str, error: Exception) -> LookcloserError:
    what, fix = _meaning(_innermost(error))
    return LookcloserError(f"{subject}: {what}", fix=fix)


def _innermost(error: Exception) -> Exception:
    """What the client had before it said in other words that a file could not be sent."""
    while type(error) is RuntimeError and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _meaning(error: Exception) -> tuple[str, str]:
    """What happened, and what to do."""
    from huggingface_hub import constants, errors

    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        found = "gated, its owner decides who may have it", f"Ask on its page, then: {LOGIN}"
    elif isinstance(error, errors.RevisionNotFoundError):
        found = "no such revision", "Name a branch, tag or commit"
    elif status == 403:
        found = "the hub refuses, the token has no right to this", "Take a token that may write"
    elif isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        found = (
            "not found on the hub, or private and you are not logged in",
            f"Check the name; for a private one: {LOGIN}",
        )
    elif status is not None:
        found = f"the hub answers with error {status}", "Try again later"
    elif is_unreachable(error):
        found = (
            f"the hub cannot be reached at {constants.ENDPOINT}",
            "Check the network, and HF_ENDPOINT and HF_HUB_OFFLINE if they are set; offline, give "
            "a run folder or a model file",
        )
    elif isinstance(error, OSError) and error.strerror:
        found = error.strerror, "Give the hub's cache another place with HF_HOME"
    else:
        found = (
            f"the hub's answer cannot be read ({type(error).__name__})",
            "Try again later, or fetch the file yourself and give that",
        )
    return found
