"""Several processes that train one model: who is who, and what they tell each other.

Where there is no process group, every function answers for the one process there is. All of them
but `rank` and `world_size` are collective: every process has to call them, in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import distributed

from lookcloser.core.errors import LookcloserError

T = TypeVar("T")


def is_joined() -> bool:
    """Whether this process belongs to a group."""
    return distributed.is_available() and distributed.is_initialized()


def world_size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if is_joined() else 1


def rank() -> int:
    """The number of this one; the first, 0, writes the files and shows the progress.

    Before and after the group lives, it is the number that torchrun gave, if it did.
    """
    return distributed.get_rank() if is_joined() else _given("RANK", 0)


def local_world_size() -> int:
    """How many of the processes run on this machine."""
    return _given("LOCAL_WORLD_SIZE", world_size())


def local_rank() -> int:
    """The number of this one among those of its machine, which is that of its GPU."""
    return _given("LOCAL_RANK", rank())


def given_from_outside() -> bool:
    """Whether torchrun has started several processes, of which this is one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def any_of(flag: bool) -> bool:
    """Whether ``flag`` is set in any process; cheap enough for every step."""
    if world_size() == 1:
        return flag
    flags = torch.tensor([flag], dtype=torch.uint8)
    distributed.all_reduce(flags, distributed.ReduceOp.MAX)
    return bool(flags)


def mean_of(value: float) -> float:
    """The mean over the processes, the same in all of them."""
    if world_size() == 1:
        return value
    total = torch.tensor([value], dtype=torch.float64)
    distributed.all_reduce(total)
    return float(total) / world_size()


def all_of(value: T) -> list[T]:
    """What each process has, in the order of their numbers."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def first_decides(make: Callable[[], T]) -> T:
    """What ``make`` gives in the first process, the only one that calls it.

    Raises:
        LookcloserError: In all of them, where ``make`` raises it.
    """
    if world_size() == 1:
        return make()
    outcome: list[Any] = [None]
    if rank() == 0:
        try:
            outcome = [make()]
        except LookcloserError as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome)
    if isinstance(outcome[0], LookcloserError):
        raise outcome[0]
    return cast(T, outcome[0])


def _given(name: str, otherwise: int) -> int:
    """What torchrun says, where it has started this process."""
    return int(os.environ[name]) if given_from_outside() else otherwise
