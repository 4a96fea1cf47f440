"""What is the address of a model on the hub, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookcloser.core.errors import UsageError
from lookcloser.hub import HubAddress, check_repository, is_hub, parse_address


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hub:me/birds", HubAddress("me/birds")),
        ("hub:me/birds@main", HubAddress("me/birds", "main")),
        ("hub:A-1/b_c.d@v1.0/x-y", HubAddress("A-1/b_c.d", "v1.0/x-y")),
    ],
)
def test_addresses_are_read_and_written_alike(text: str, wanted: HubAddress) -> None:
    assert parse_address(text) == wanted
    assert str(wanted) == text
    assert is_hub(text)


@pytest.mark.parametrize(
    "name",
    [
        *("", "birds", "a/b/c", "../b", "a/..", "a/b..c", "a/-b", "a/b-", "/b", "a/", "a b/c"),
        *("a/b\n", "https://x/y", "a/b?c", "a/%2e%2e", "a\\b/c", "ä/b", "a/" + "b" * 200),
    ],
)
def test_what_is_no_name_never_reaches_the_client(name: str) -> None:
    with pytest.raises(UsageError, match="OWNER/NAME"):
        parse_address(f"hub:{name}")
    with pytest.raises(UsageError, match="OWNER/NAME"):
        check_repository(name)


@pytest.mark.parametrize("given", [None, 3, ["me/birds"], Path("me/birds")])
def test_what_is_no_text_is_refused_likewise(given: object) -> None:
    with pytest.raises(UsageError, match="OWNER/NAME"):
        check_repository(given)


@pytest.mark.parametrize("revision", ["", "../main", "a b", "-x", "a\n", "a" * 300, "?", "a@b"])
def test_what_is_no_revision_is_refused(revision: str) -> None:
    with pytest.raises(UsageError, match="REVISION"):
        parse_address(f"hub:me/birds@{revision}")


def test_paths_are_no_addresses() -> None:
    assert not is_hub("runs/hub")
    assert not is_hub(Path("hub:me/birds"))
