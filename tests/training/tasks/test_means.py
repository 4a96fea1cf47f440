"""Mean losses, whatever the epoch is broken into."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lookcloser.training.parallel import processes
from lookcloser.training.tasks.means import LossMeans


def added(*batches: tuple[float, int], means: LossMeans | None = None) -> LossMeans:
    found = LossMeans() if means is None else means
    for loss, images in batches:
        found.add({"loss": torch.tensor(loss)}, images)
    return found


def test_an_image_counts_as_much_in_a_small_batch() -> None:
    assert added((1.0, 3), (5.0, 1))() == {"loss": 2.0}


def test_a_loss_that_comes_later_is_a_mean_of_its_own_batches() -> None:
    means = added((1.0, 2))
    means.add({"loss": torch.tensor(3.0), "ranking": torch.tensor(0.25)}, 6)
    assert means() == {"loss": 2.5, "ranking": 0.25}
    assert means.latest("ranking") == 0.25


def test_before_the_first_batch_there_is_none() -> None:
    means = LossMeans()
    assert means() == {}
    assert means.latest("loss") is None
    means.clear()
    assert added((7.0, 1), means=means)() == {"loss": 7.0}
    means.clear()
    assert means() == {}


def test_many_small_losses_are_not_lost_beside_a_large_one() -> None:
    """In float32 the sum would stay 2 ** 24."""
    means = added((float(2**24), 1), *[(1.0, 1)] * 8)
    assert means()["loss"] * 9 == pytest.approx(2**24 + 8, rel=1e-12)


def test_losses_hold_no_graph() -> None:
    weight = torch.ones(1, requires_grad=True)
    means = LossMeans()
    means.add({"loss": (2 * weight).sum()}, 1)
    assert not any(total.requires_grad for total in means._sums.values())


@pytest.mark.parametrize("end", range(4))
def test_a_break_changes_nothing(end: int) -> None:
    batches = [(0.1, 16), (0.7, 16), (0.3, 5)]
    first, second = added(*batches[:end]), added((9.0, 9))
    state = first.state_dict()
    assert all(type(value) in (int, float) for pair in state.values() for value in pair)
    second.load_state_dict(state)
    assert added(*batches[end:], means=second)() == added(*batches)()


def test_of_several_processes_the_first_takes_over_what_all_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = added((1.0, 2)), added((4.0, 1))
    second.add({"ranking": torch.tensor(0.5)}, 1)

    def all_of(_own: Any) -> list[Any]:
        return [
            {name: (float(total), own._images[name]) for name, total in own._sums.items()}
            for own in (first, second)
        ]

    monkeypatch.setattr(processes, "all_of", all_of)
    assert first() == second() == {"loss": 2.0, "ranking": 0.5}
    state = first.state_dict()
    for rank, means in enumerate((first, second)):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        means.load_state_dict(state)
    assert first() == {"loss": 2.0, "ranking": 0.5}, "each image once"
    assert second.latest("loss") is None
