"""Hills and hollows of maps: the few pixels where level sets appear, meet and have their edges.

A map is read as a landscape. As the water rises from the lowest to the highest value, the land that
is left falls apart into components. Three facts make all water levels together as cheap as one:

- From every pixel one can climb, never descending, to a summit. The pixels that lead to the same
  summit form its basin, and the part of a basin above any level is connected. A component is
  therefore a set of basins.
- Components only join at a pixel whose higher neighbors form two or more groups: a meeting.
  The neighbors within a group touch each other already.
- The leftmost column of a component holds an outpost: a pixel that is higher than the one above it
  and the one below it, and has no higher neighbor on its left. The same holds for each side.

Components of land are 8-connected. Their holes are 4-connected lakes that do not reach the frame of
the map, and the three facts hold for lakes upside down, with the frame as the lowest point.

The maps of a batch lie in one flat array with a frame of minus infinity between them, so that a
neighbor is a fixed step away and no border is a case of its own. Of two equal pixels the later one
counts as higher. This makes the order strict, and plateaus harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Area = Literal["polygon", "pixels"]
Ints = NDArray[np.int64]
Maps = NDArray[np.floating[Any]]

# Bit i of a pixel's code is set where neighbor i is higher; clockwise from the right.
E, SE, S, SW, W, NW, N, NE = range(8)
# Sides are left, top, right, bottom. A pixel is an outpost of land where none of these is higher,
_LAND_SIDES: Final = ((N, S, W, NW, SW), (W, E, N, NW, NE), (N, S, E, NE, SE), (W, E, S, SW, SE))
# and of a lake where each of these is higher.
_LAKE_SIDES: Final = ((N, S, W), (W, E, N), (N, S, E), (W, E, S))


class Relief(NamedTuple):
    """The basins of the land, or of the lakes.

    Attributes:
        seats: (B,) flat index of the summit (lowest point) of each basin, in the order of the maps.
            Basin 0 is none of them: for lakes it is the frame, for land the root of all maps.
        runs: For every place of the flat array, the stretch of its row that leads to one pixel.
        of_run: The basin of every stretch.
        meetings: (3, M) rows: pixel, basin, other basin.
        outposts: For each side the pixels that can be at the edge of a component.
    """

    seats: Ints
    runs: NDArray[np.int32]
    of_run: Ints
    meetings: Ints
    outposts: tuple[Ints, ...]

    def at(self, pixels: Ints) -> Ints:
        """The basins of pixels given by flat index."""
        return self.of_run[self.runs[pixels]]


class Landscape:
    """A batch of finite maps (N, h, w), prepared for reading its level sets.

    Attributes:
        flat: The maps with their frames, one after the other.
        stride: Steps from one row to the next.
        block: Steps from one map to the next.
        sites: Flat indices of the pixels that are a meeting or an outpost.
    """

    def __init__(self, maps: Maps) -> None:
        count, height, width = maps.shape
        self.stride = width + 1
        self.block = (height + 1) * self.stride
        self.flat = np.full(count * self.block + self.stride + 1, -np.inf, dtype=maps.dtype)
        self.inside(self.flat)[:] = maps
        forward = np.array([1, self.stride + 1, self.stride, self.stride - 1])
        self._ring = np.concatenate([forward, -forward])
        self._codes = self._higher_neighbors()
        sites = np.flatnonzero(_tables().telling.take(self._codes))
        self.sites = sites[self.flat[sites] > -np.inf]

    def inside(self, flat: NDArray[Any]) -> NDArray[Any]:
        """A view (N, h, w), without the frames, of an array laid out like `flat`."""
        framed = flat[: len(self.flat) - self.stride - 1]
        return framed.reshape(len(framed) // self.block, -1, self.stride)[:, 1:, 1:]

    def columns(self, pixels: Ints) -> Ints:
        """The columns x of pixels given by flat index."""
        # As pixels % stride, which NumPy computes several times slower.
        columns: Ints = pixels - pixels // self.stride * self.stride - 1
        return columns

    def rows(self, pixels: Ints) -> Ints:
        """The rows y of pixels given by flat index."""
        lines = pixels // self.stride
        height = self.block // self.stride
        rows: Ints = lines - lines // height * height - 1
        return rows

    def land(self) -> Relief:
        """Where each pixel climbs to, by steps to any of its 8 neighbors."""
        peaks, pits = self._turns
        runs = _runs(pits[:-1], int(pits[-1]))
        steps = _tables().climb[self._codes[peaks]]
        leads_to = runs[peaks + np.where(steps < 0, 0, self._ring[steps])]
        of_run, roots = _basins(leads_to, first=1)
        seats = np.concatenate([[0], peaks[roots]])
        return self._relief(seats, runs, of_run, _tables().land, sides=slice(0, 4))

    def lakes(self) -> Relief:
        """Where each pixel drains to, by steps to any of its 4 neighbors."""
        peaks, pits = self._turns
        runs = _runs(np.concatenate([[0], peaks]), len(self.flat))
        # Pits outside the maps belong to run 0, and so to the frame.
        leads_to = np.zeros(len(pits), dtype=np.int32)
        real = np.flatnonzero(self.flat[pits] > -np.inf)
        steps = _tables().drain[self._codes[pits[real]]]
        below = pits[real] + np.where(steps < 0, 0, self._ring[steps])
        leads_to[real] = np.where(self.flat[below] > -np.inf, runs[below], 0)
        of_run, roots = _basins(leads_to, first=0)
        return self._relief(pits[roots], runs, of_run, _tables().lakes, sides=slice(4, 8))

    def _higher_neighbors(self) -> NDArray[np.uint8]:
        """The code of every place."""
        codes = np.zeros(len(self.flat), dtype=np.uint8)
        scratch = np.empty_like(codes)
        for bit, step in enumerate(self._ring[:4]):
            later_is_higher = (self.flat[:-step] <= self.flat[step:]).view(np.uint8)
            part = scratch[:-step]
            codes[:-step] |= np.multiply(later_is_higher, np.uint8(1 << bit), out=part)
            np.bitwise_xor(later_is_higher, 1, out=part)
            codes[step:] |= np.multiply(part, np.uint8(16 << bit), out=part)
        return codes

    @cached_property
    def _turns(self) -> tuple[Ints, Ints]:
        """Along the flat array: where it turns down, and where it turns up, from its start on.

        There is one turn up before each turn down, and one after the last.
        """
        rising = self.flat[:-1] <= self.flat[1:]
        # The frame counts as rising, at the start and at the end: turns down and up alternate.
        turns = np.flatnonzero(rising[:-1] != rising[1:]) + 1
        return turns[::2], np.concatenate([[0], turns[1::2]])

    def _relief(
        self,
        seats: Ints,
        runs: NDArray[np.int32],
        of_run: Ints,
        groups: NDArray[np.int8],
        sides: slice,
    ) -> Relief:
        codes = self._codes[self.sites]
        outposts = tuple(
            self.sites[np.flatnonzero(side.take(codes))] for side in _tables().sides[sides]
        )
        relief = Relief(seats, runs, of_run, np.zeros((3, 0), dtype=np.int64), outposts)
        pixels = self.sites[np.flatnonzero(groups[:, 1].take(codes) >= 0)]
        members = groups[self._codes[pixels]]
        first = relief.at(pixels + self._ring[members[:, 0]])
        pairs = []
        for column in members[:, 1:].T:
            some = np.flatnonzero(column >= 0)
            second = relief.at(pixels[some] + self._ring[column[some]])
            pair = np.stack([pixels[some], first[some], second])
            pairs.append(pair[:, pair[1] != pair[2]])
        return relief._replace(meetings=np.concatenate(pairs, axis=1))


class _Tables(NamedTuple):
    """What each of the 256 codes means.

    Attributes:
        telling: (256,) whether a pixel of this code is a meeting or any outpost.
        land: (256, 4) one member of each group of higher neighbors; -1 where there are fewer.
        lakes: (256, 4) one member of each group of lower neighbors, 4-connected.
        sides: (8, 256) outposts of land on the left, top, right, bottom, and of lakes.
        climb: (256,) a higher neighbor in the row above or below; -1 for none.
        drain: (256,) a lower neighbor straight above or below; -1 for none.
    """

    telling: NDArray[np.bool_]
    land: NDArray[np.int8]
    lakes: NDArray[np.int8]
    sides: NDArray[np.bool_]
    climb: NDArray[np.int8]
    drain: NDArray[np.int8]


@cache
def _tables() -> _Tables:
    land, lakes = np.full((2, 256, 4), -1, dtype=np.int8)
    climb, drain = np.full((2, 256), -1, dtype=np.int8)
    sides = np.zeros((8, 256), dtype=np.bool_)
    for code in range(256):
        high = [i for i in range(8) if code >> i & 1]
        low = [i for i in range(8) if i not in high]
        for table, groups in (
            (land, _groups(high, high, _touch_by_corner)),
            (lakes, _groups([i for i in low if i % 2 == 0], low, _touch_by_side)),
        ):
            table[code, : len(groups)] = groups
        climb[code] = next((i for i in (S, SE, SW, N, NE, NW) if i in high), -1)
        drain[code] = next((i for i in (N, S) if i in low), -1)
        sides[:4, code] = [not set(side) & set(high) for side in _LAND_SIDES]
        sides[4:, code] = [not set(side) & set(low) for side in _LAKE_SIDES]
    return _Tables((land[:, 1] >= 0) | sides.any(axis=0), land, lakes, sides, climb, drain)


def _touch_by_side(a: int, b: int) -> bool:
    """Whether two neighbors of a pixel share a side: those next to each other on the ring do."""
    return (a - b) % 8 in (1, 7)


def _touch_by_corner(a: int, b: int) -> bool:
    """Whether they share a side or a corner: so do, for instance, the upper and the right one."""
    return _touch_by_side(a, b) or (a % 2 == 0 and (a - b) % 8 in (2, 6))


def _groups(
    starts: Sequence[int], members: Sequence[int], linked: Callable[[int, int], bool]
) -> list[int]:
    """The first of ``starts`` in each connected group of ``members`` that has one."""
    firsts: list[int] = []
    seen: set[int] = set()
    for start in starts:
        if start in seen:
            continue
        firsts.append(start)
        front = {start}
        while front:
            seen |= front
            front = {b for b in members if b not in seen and any(linked(a, b) for a in front)}
    return firsts


def _runs(starts: Ints, end: int) -> NDArray[np.int32]:
    """For each of ``end`` places the number of the run it is in; runs begin at ``starts``."""
    lengths = np.diff(starts, append=end)
    return np.repeat(np.arange(len(starts), dtype=np.int32), lengths)


def _basins(leads_to: NDArray[np.int32], first: int) -> tuple[Ints, Ints]:
    """The basin of every run, numbered from ``first``, and the runs that lead to themselves."""
    while not np.array_equal(further := leads_to[leads_to], leads_to):
        leads_to = further
    roots = np.flatnonzero(leads_to == np.arange(len(leads_to)))
    number = np.zeros(len(leads_to), dtype=np.int64)
    number[roots] = np.arange(first, first + len(roots))
    return number[leads_to], roots
