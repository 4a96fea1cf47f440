"""Work on many images that others do, each with a network of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Spread(Protocol):
    """Does a piece of work on some items at a time, wherever it likes."""

    def __call__(self, work: Callable[[Any, Sequence[T]], R], items: Sequence[T]) -> Iterator[R]:
        """What the work gives for the items, some at a time, in their order.

        Args:
            work: Of an engine and some items that follow each other. It can be sent to other
                machines, so it holds no network.
            items: All of them; they can be sent, too.
        """
