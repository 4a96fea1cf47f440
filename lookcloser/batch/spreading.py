"""Evaluation and annotation on Ray: the network runs there, and what is made of it is made here."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lookcloser.batch.job import Job
from lookcloser.batch.on_ray import Actor, acted
from lookcloser.core.extras import needed

T = TypeVar("T")
R = TypeVar("R")
_PIECES = 128


class Worker(Actor):
    """An actor that does pieces of work with its network."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Do what a piece holds: a function of an engine, with all else that it takes."""
        pieces = [pickle.loads(bytes(piece)) for piece in batch["piece"]]  # of our own making
        return {"made": [pickle.dumps(piece(self.answerer.engine)) for piece in pieces]}


@dataclass(frozen=True)
class RaySpread:
    """A `lookcloser.runtime.spread.Spread` on Ray Data.

    Attributes:
        run: The network, as `lookcloser.load` takes it; all machines see it.
        device: Where actors run it; None takes GPUs where the cluster has some.
        actors: How many; None takes one for each core, or GPU, of the cluster.
        address: Of a cluster that is there; None starts one on this machine.
        items: Of one piece of work.
    """

    run: str
    device: str | None = None
    actors: int | None = None
    address: str | None = None
    items: int = _PIECES

    def __post_init__(self) -> None:
        needed("ray.data", "--engine ray")

    def __call__(self, work: Callable[[Any, Sequence[T]], R], items: Sequence[T]) -> Iterator[R]:
        """See `lookcloser.runtime.spread.Spread`.

        Raises:
            LookcloserError: As `lookcloser.batch.on_ray.on_ray`.
        """
        pieces = (items[at : at + self.items] for at in range(0, len(items), self.items))
        rows = [{"piece": pickle.dumps(partial(_done, work, piece))} for piece in pieces]
        job = Job(self.run, Path(), device=self.device)
        for row in acted(Worker, job, rows, self.actors, self.address, in_order=True):
            made: R = pickle.loads(bytes(row["made"]))  # as above
            yield made


def _done(work: Callable[[Any, Sequence[T]], R], items: Sequence[T], engine: Any) -> R:
    return work(engine, items)
