"""The data that a run was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookcloser.core.errors import LookcloserError
from lookcloser.data import Catalog, read_as_trained
from lookcloser.training.folder import read_config

if TYPE_CHECKING:
    from lookcloser.recognizer.recognizer import Recognizer


def data_of_run(recognizer: Recognizer) -> Catalog | None:
    """The data that the run of a recognizer was trained on; None where it is no longer there."""
    if recognizer.folder is None:
        return None
    try:
        catalog = read_as_trained(read_config(recognizer.folder)[0], recognizer.header)
    except LookcloserError:
        return None
    return catalog if catalog.task == recognizer.header.task else None
