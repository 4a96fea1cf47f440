"""From basins that meet to the boxes of all components at all levels.

Levels are whole numbers: something of level v is present at the steps 0 … v - 1. Going down from
the highest step, basins appear, grow and join each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from lookcloser.metrics.level_sets.landscape import Ints

# Above every level; there are at most 256.
_TOP = 512
# Beyond every column and row.
_FAR = 1 << 20


class Tree(NamedTuple):
    """How basins join. At the steps below ``joins[b]``, basin b is a part of another component.

    Attributes:
        joins: (B,) levels; -1 for basin 0, which joins nothing.
        head: (B,) the basin that stands for the component which b becomes part of, just below
            ``joins[b]``. It joins another one at a lower level, so that following heads ends.
    """

    joins: Ints
    head: Ints

    def heads_at(self, basins: Ints, levels: Ints) -> Ints:
        """The basin that stands for the component of each basin at step ``level - 1``."""
        heads = basins.copy()
        moving = np.flatnonzero(self.joins[heads] >= levels)
        while moving.size:
            heads[moving] = self.head[heads[moving]]
            moving = moving[self.joins[heads[moving]] >= levels[moving]]
        return heads


class Events(NamedTuple):
    """What comes to basins, each at its level: a column or row that is reached, or a weight."""

    basin: Ints
    level: Ints
    value: Ints


class Regions(NamedTuple):
    """Components at their steps.

    Attributes:
        basin: (R,) the basin that stands for the component.
        step: (R,)
        box: (R, 4) first and last column and row: x0, y0, x1, y1, all inclusive.
        weight: (R,) sum of the weights that came to the component; 0 where none were given.
    """

    basin: Ints
    step: Ints
    box: Ints
    weight: Ints


def join(count: int, first: Ints, second: Ints, levels: Ints) -> Tree:
    """The tree of ``count`` basins, from the pairs that meet and the levels at which they do.

    Only a maximum spanning tree of the meetings matters. Hung up at basin 0, to which all others
    must be connected, it tells every basin the one neighbor through which it joins.
    """
    joins, head = np.full(count, -1), np.zeros(count, dtype=np.int64)
    if count == 1:
        return Tree(joins, head)
    # One integer per meeting: sorted, the highest meeting of a pair is the last of that pair.
    keys = np.minimum(first, second) * count + np.maximum(first, second)
    pairs, levels = np.divmod(np.sort(keys * _TOP + levels), _TOP)
    last = np.append(pairs[1:] > pairs[:-1], True)
    low, high = np.divmod(pairs[last], count)
    # SciPy minimizes, and reads a weight of 0 as no edge.
    rows = np.searchsorted(low, np.arange(count + 1)).astype(np.int32)
    weights = _TOP - levels[last].astype(np.float64)
    # SciPy before 1.15 takes graphs with 32-bit indices only.
    graph = csr_array((weights, high.astype(np.int32), rows), shape=(count, count))
    tree = minimum_spanning_tree(graph)
    _, parent = breadth_first_order(tree, 0, directed=False)
    one, other = np.repeat(np.arange(count), np.diff(tree.indptr)), tree.indices
    joins[np.where(parent[one] == other, one, other)] = _TOP - tree.data.astype(np.int64)
    head[1:] = parent[1:]
    moving = np.arange(1, count)
    while moving.size:
        moving = moving[joins[head[moving]] >= joins[moving]]
        head[moving] = parent[head[moving]]
    return Tree(joins, head)


def trace(
    tree: Tree, levels: Ints, sides: Sequence[Events], weights: Events | None = None
) -> Regions:
    """All components at all steps.

    Args:
        tree: How the basins join.
        levels: (B,) level of the seat of each basin.
        sides: Columns and rows reached on the left, top, right and bottom.
        weights: Added up for each component.
    """
    ledger = _Ledger(tree, levels)
    # Last columns and rows are negated, so that every side is a minimum.
    for side, events in enumerate(sides):
        places, values = ledger.entries(events)
        np.minimum.at(ledger.extents[side], places, values if side < 2 else -values)
    if weights:
        np.add.at(ledger.totals, *ledger.entries(weights))
    ledger.pass_on()
    left, top, right, bottom = ledger.extents
    box = np.stack([left, top, -right, -bottom], axis=1)
    return Regions(ledger.owners, ledger.steps, box, ledger.totals)


class _Ledger:
    """One place for each basin and each step at which it stands for a component.

    The places of a basin follow each other, the highest step first. What comes to a basin at one
    step is passed on to its lower steps, and from the last of them to its head. Basins are in
    order of their depth below basin 0, the deepest first, so that one passage suffices.
    """

    def __init__(self, tree: Tree, levels: Ints) -> None:
        self.tree, self.levels = tree, levels
        depth = np.zeros(len(levels), dtype=np.int64)
        above = np.arange(len(levels))
        while above.any():
            depth += above > 0
            above = tree.head[above]
        self.order = np.argsort(-depth, kind="stable")
        self.lengths = np.maximum(levels - tree.joins, 0)
        self.lengths[0] = 0
        ends = np.cumsum(self.lengths[self.order])
        self.starts = np.empty_like(ends)
        self.starts[self.order] = ends - self.lengths[self.order]
        self.generations = np.append(0, np.cumsum(np.bincount(depth)[::-1]))
        self.owners = np.repeat(self.order, self.lengths[self.order])
        self.steps = (levels + self.starts)[self.owners] - 1 - np.arange(len(self.owners))
        self.extents = np.full((4, len(self.owners)), _FAR)
        self.totals = np.zeros(len(self.owners), dtype=np.int64)

    def entries(self, events: Events) -> tuple[Ints, Ints]:
        """Where events are written, and their values."""
        seen = np.flatnonzero((events.level > 0) & (events.basin > 0))
        basins, levels, values = (column[seen] for column in events)
        heads = self.tree.heads_at(basins, levels)
        kept = np.flatnonzero(heads > 0)
        return self.places(heads[kept], levels[kept]), values[kept]

    def places(self, basins: Ints, levels: Ints) -> Ints:
        """The first place of basins that things of some levels count for."""
        return self.starts[basins] + self.levels[basins] - levels

    def pass_on(self) -> None:
        """Make every place hold what its component has gathered so far."""
        joins, head = self.tree
        rank = np.empty_like(self.order)
        rank[self.order] = np.arange(len(rank))
        # Each basin's extents are put below those of all before it: then one running minimum
        # over many basins starts anew at each of them.
        shift = rank * (2 * _FAR)
        lowered = shift[self.owners]
        self.extents -= lowered
        for begin, end in zip(self.generations, self.generations[1:], strict=False):
            basins = self.order[begin:end]
            basins = basins[self.lengths[basins] > 0]
            if not basins.size:
                continue
            first, last = self.starts[basins], self.starts[basins] + self.lengths[basins] - 1
            part = slice(first[0], last[-1] + 1)
            np.minimum.accumulate(self.extents[:, part], axis=1, out=self.extents[:, part])
            sums = np.cumsum(self.totals[part])
            before = sums[first - first[0]] - self.totals[first]
            self.totals[part] = sums - np.repeat(before, self.lengths[basins])
            passing = joins[basins] > 0
            passing &= head[basins] > 0
            giver, source = basins[passing], last[passing]
            target = self.places(head[giver], joins[giver])
            change = shift[giver] - shift[head[giver]]
            for extent in self.extents:
                np.minimum.at(extent, target, extent[source] + change)
            np.add.at(self.totals, target, self.totals[source])
        self.extents += lowered
