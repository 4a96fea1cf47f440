"""Memory is kept from step to step where there is enough of it."""

from pathlib import Path

import pytest

from lookcloser.data import read_data
from lookcloser.training.callbacks import memory
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options


@pytest.mark.parametrize("room", [True, False])
def test_memory_is_kept_once_a_step_has_shown_that_there_is_enough(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(memory, "keep", told.append)
    monkeypatch.setattr(memory, "has_room", lambda: room)
    options = make_options(
        backbone="test_resnet", weights="none", method="cam", size=32, epochs=2, batch_size=8,
        workers=0,
    )  # fmt: skip
    fit(read_data(squares), options, tmp_path / "run", quiet=True)
    start, first_step, two_epochs, after = [False], [room], [room, room], [True]
    assert told == start + first_step + two_epochs + after
