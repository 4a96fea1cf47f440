"""Bounds that go together, and the defaults that let nobody in from outside."""

from dataclasses import FrozenInstanceError

import pytest

from lookcloser.core.errors import UsageError
from lookcloser.serve.limits import Access, Limits


def test_a_request_has_to_fit_into_the_queue():
    assert Limits(images=8, queue=8).queue == 8
    with pytest.raises(UsageError, match="images = 9: .* a queue of 8. Raise --max-queue"):
        Limits(images=9, queue=8)


def test_a_single_body_always_fits_into_the_memory_of_all():
    assert Limits(body=2**29).held == 2**29
    assert Limits(body=2**20).held == Limits().held


def test_nobody_changes_them_while_the_server_runs():
    with pytest.raises(FrozenInstanceError):
        Limits().body = 1
    with pytest.raises(FrozenInstanceError):
        Access().key = None


def test_by_default_no_file_and_no_address_is_read():
    access = Access()
    assert (access.files, access.label_studio, access.label_studio_key) == (None, None, None)
