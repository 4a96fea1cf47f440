"""What names a model on the hub: hub:OWNER/NAME, or hub:OWNER/NAME@REVISION."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lookcloser.core.errors import UsageError

HUB = "hub:"
# As the hub has them: letters, digits, and - _ . between them.
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True)
class HubAddress:
    """A model on the hub.

    Attributes:
        repository: "OWNER/NAME".
        revision: A branch, tag or commit; None for the newest.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{HUB}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def is_hub(path: str | Path) -> bool:
    """Whether a path is meant as a model of the hub."""
    return isinstance(path, str) and path.startswith(HUB)


def parse_address(text: str) -> HubAddress:
    """The address that "hub:OWNER/NAME" or "hub:OWNER/NAME@REVISION" is.

    Raises:
        UsageError: For any other text.
    """
    repository, at, revision = text.removeprefix(HUB).partition("@")
    wrong_revision = bool(at) and (".." in revision or not _REVISION.fullmatch(revision))
    if wrong_revision or not _is_repository(repository):
        raise UsageError(
            f"{text}: not the address of a model on the hub",
            allowed=f"{HUB}OWNER/NAME, or {HUB}OWNER/NAME@REVISION with a branch, tag or commit",
        )
    return HubAddress(repository, revision or None)


def check_repository(repository: object) -> str:
    """``repository`` if it is "OWNER/NAME".

    Raises:
        UsageError: If not.
    """
    if not isinstance(repository, str) or not _is_repository(repository):
        raise UsageError(
            f"{repository}: not the name of a model on the hub",
            allowed="OWNER/NAME of letters, digits, and - _ . between them",
        )
    return repository


def _is_repository(text: str) -> bool:
    forbidden = ("..", "--")  # the hub keeps them for itself
    return bool(_REPOSITORY.fullmatch(text)) and not any(part in text for part in forbidden)
