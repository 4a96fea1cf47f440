"""How inputs are tried, and damaged."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.wording import printable

TIMES = int(os.environ.get("LOOKCLOSER_FUZZ", "1"))
# What the process may grow by over all inputs of a test: one bad size in a header would be more.
GROWTH = 1 << 30
# Seconds of processor time for one input of some kilobytes.
SLOWEST = 10.0

Attempt = Callable[[random.Random], None]
TryAll = Callable[[int, Attempt], int]
Damage = Callable[[bytes, random.Random], bytes]


@pytest.fixture
def try_all() -> TryAll:
    """Run an attempt with seeds 0, 1, …; returns how many were not refused.

    Whatever comes out but a `LookcloserError` is a failure, and so is one that takes long or much.
    """

    def run(count: int, attempt: Attempt) -> int:
        before, accepted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
        for seed in range(count * TIMES):
            started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            try:
                attempt(random.Random(seed))
                accepted += 1
            except LookcloserError as error:
                said = str(error)
                if said.encode().decode() != "\n".join(map(printable, said.split("\n"))):
                    raise AssertionError(f"seed {seed}: not printable: {said!r}") from error
            except Exception as error:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
            spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - started
            assert spent < SLOWEST, f"seed {seed}: {spent:.0f} s"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown * 1024 < GROWTH
        return accepted

    return run


@pytest.fixture
def damaged() -> Damage:
    """Some bytes changed, cut out, doubled or put in."""

    def damage(content: bytes, draw: random.Random) -> bytes:
        data = bytearray(content)
        for _ in range(draw.randint(1, 8)):
            place = draw.randrange(len(data) + 1)
            kind = draw.randrange(4)
            if kind == 0 and place < len(data):
                data[place] = draw.randrange(256)
            elif kind == 1:
                del data[place : place + draw.choice((1, 7, 100))]
            elif kind == 2:
                data[place:place] = data[place : place + draw.choice((1, 50))]
            else:
                data[place:place] = draw.randbytes(draw.choice((1, 4)))
        return bytes(data)

    return damage
