"""Rows of nested states: picked, kept, reused."""

from __future__ import annotations

import numpy as np
import torch

from lookcloser.decoding.states import StateBank, select


def rows(*values):
    column = torch.tensor(values, dtype=torch.float32)[:, None]
    return {"a": column, "b": (column.long() * 10, column.repeat(1, 3))}


def values(state):
    assert torch.equal(state["a"][:, 0].long() * 10, state["b"][0][:, 0])
    assert torch.equal(state["a"].expand(-1, 3), state["b"][1])
    return state["a"][:, 0].tolist()


def test_select_picks_and_repeats_rows_of_every_tensor():
    assert values(select(rows(5, 6, 7), np.array([2, 0, 0]))) == [7, 5, 5]


def test_a_bank_keeps_what_was_put_however_far_it_grows():
    bank = StateBank()
    numbers = bank.put(rows(0, 1))
    assert numbers == [0, 1]
    for value in range(2, 60, 3):
        numbers += bank.put(rows(value, value + 1, value + 2))
    assert len(set(numbers)) == len(numbers)
    order = list(reversed(range(len(numbers))))
    assert values(bank.take([numbers[i] for i in order])) == order


def test_a_bank_reuses_freed_places_only():
    bank = StateBank()
    bank.put(rows(0, 1, 2))
    (third,) = bank.put(rows(3))
    bank.free([1, third])
    again = bank.put(rows(4, 5, 6))
    assert {1, third} < set(again)
    assert values(bank.take([0, 2])) == [0, 2]
    assert values(bank.take(again)) == [4, 5, 6]


def test_a_bank_does_not_write_to_the_state_it_was_given():
    first = rows(0, 1)
    bank = StateBank()
    bank.put(first)
    bank.free([0])
    bank.put(rows(9))
    assert values(first) == [0, 1]
    assert values(bank.take([0])) == [9]
