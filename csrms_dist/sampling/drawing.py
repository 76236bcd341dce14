"""The draw of a batch, compiled: the keys of its candidates, and of each anchor's candidates the first by them.

The keys are those of `protocol.edge_keys`, bit for bit, and both samplers have theirs from here; the contract suite
compares them with plain loops. Callers check shapes and types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F64, I64
from csrms_dist.basics.compiling import compiled
from csrms_dist.basics.hashing import mix
from csrms_dist.basics.ranges import ranges, starts
from csrms_dist.sampling.candidates import Candidates
from csrms_dist.sampling.protocol import DRAW, lightened
from csrms_dist.sampling.subgraph import Edges

_LIMITS = np.nextafter(np.arange(256) + 1.0, 0.0)
"""The largest key of each priority."""

_BUCKETS = 64


@dataclass(frozen=True, eq=False)
class Keyed:
    """Candidates of B anchors with their keys: those of anchor b are rows[first[b]:first[b + 1]], of any order.

    first: (B + 1,) int64. rows: (E,) int64, of the hierarchy. keys: (E,) float64.
    """

    first: I64
    rows: I64
    keys: F64

    def narrowed(self, size: int) -> Keyed:
        """Without candidates that are certainly not among the `size` first of their anchor: few more are left."""
        kept, bounds = np.empty(len(self.rows) + 1, np.int64), np.empty(len(self.first), np.int64)
        kept = kept[: _narrow(self.keys, self.first, size, kept, bounds)]
        return Keyed(bounds, self.rows[kept], self.keys[kept])

    def ranks(self) -> I64:
        """(E,) of each candidate how many of its anchor go before it: by falling key, equal keys by the lower row."""
        found = np.empty(len(self.rows), np.int64)
        _rank(self.keys, self.rows, self.first, found)
        return found

    def first_of(self, size: int) -> Edges:
        """The edges of the `size` first candidates of each anchor, in order."""
        few = self.narrowed(size)
        ranks, counts = few.ranks(), np.diff(few.first)
        anchor = np.repeat(np.arange(len(counts)), counts)
        drawn, begin = ranks < size, starts(np.minimum(counts, size))
        neighbour = np.empty(begin[-1], np.int64)
        neighbour[begin[anchor[drawn]] + ranks[drawn]] = few.rows[drawn]
        return Edges(anchor[drawn], neighbour)


def keyed(some: Candidates, anchors: I64, seed: int, epoch: int) -> Keyed:
    """The candidates of anchors (B,) in an epoch. The work grows with these, not with the number of rows."""
    start = np.asarray(some.indptr[anchors])
    degree = some.indptr[anchors + 1] - start
    first = starts(degree)
    rows, keys, levels = np.empty(first[-1], np.int64), np.empty(first[-1]), np.empty(first[-1], np.uint8)
    _copy(np.asarray(some.neighbours), np.asarray(some.priority), start, first, rows, levels)
    _hash(mix(DRAW, seed, epoch)[0], anchors, first, rows, keys)
    if some.weight is not None:
        keys = lightened(keys, some.weight[ranges(start, degree)[1]])
    _add_levels(levels, _LIMITS, keys)
    return Keyed(first, rows, keys)


@compiled
def _copy(neighbours: Any, priority: Any, start: Any, first: Any, rows: Any, levels: Any) -> None:
    """The candidates at start[b] ... one anchor after the other.

    Alone and through slices it is a plain copy, so the processor waits for the memory of many anchors at once.
    """
    for b in range(start.shape[0]):
        low, high = first[b], first[b + 1]
        source, target = neighbours[start[b] : start[b] + high - low], rows[low:high]
        for e in range(high - low):
            target[e] = source[e]
        level, into = priority[start[b] : start[b] + high - low], levels[low:high]
        for e in range(high - low):
            into[e] = level[e]


@compiled
def _finalise(x: Any) -> Any:
    """The output function of SplitMix64, as in `basics.hashing`."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def _hash(state: Any, anchors: Any, first: Any, rows: Any, out: Any) -> None:
    """out = hashing.uniform(..., row, anchor), where `state` is the hash of the words before these."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    for b in range(anchors.shape[0]):
        last = np.uint64(anchors[b])
        for e in range(first[b], first[b + 1]):
            x = _finalise((state ^ np.uint64(rows[e])) + golden)
            x = _finalise((x ^ last) + golden)
            out[e] = np.float64(x >> np.uint64(11)) * 2.0**-53


@compiled
def _add_levels(levels: Any, limits: Any, keys: Any) -> None:
    """keys += priority, and below the next priority, to which the sum may have been rounded up."""
    for e in range(keys.shape[0]):
        keys[e] = min(levels[e] + keys[e], limits[levels[e]])


@compiled
def _narrow(keys: Any, first: Any, size: Any, kept: Any, bounds: Any) -> Any:
    """kept[bounds[b]:bounds[b + 1]] = places of the largest keys of anchor b, at least `size` if there are as many.

    The range of an anchor's keys is cut into equal parts, which are counted, and are kept from the top until they hold
    enough. No branch depends on a key, so the processor does not guess wrong. kept: one longer than keys.
    """
    counts = np.empty(_BUCKETS, np.int64)
    n = bounds[0] = 0
    for b in range(first.shape[0] - 1):
        low, high = first[b], first[b + 1]
        bucket, least, scale = 0, 0.0, 0.0
        if high - low > size:
            least, most = keys[low], keys[low]
            for e in range(low, high):
                least, most = min(least, keys[e]), max(most, keys[e])
            if most - least > 1e-200:  # else its inverse is not finite
                scale = (_BUCKETS - 1) / (most - least)
            counts[:] = 0
            for e in range(low, high):
                counts[int((keys[e] - least) * scale)] += 1
            bucket, enough = _BUCKETS - 1, counts[_BUCKETS - 1]
            while enough < size:
                bucket -= 1
                enough += counts[bucket]
        for e in range(low, high):
            kept[n] = e
            n += int((keys[e] - least) * scale) >= bucket
        bounds[b + 1] = n
    return n


@compiled
def _rank(keys: Any, rows: Any, first: Any, out: Any) -> None:
    """Each is compared with each: there are few, and no branch depends on a key. A row that is there twice has two
    ranks."""
    for b in range(first.shape[0] - 1):
        for i in range(first[b], first[b + 1]):
            key, row, rank = keys[i], rows[i], 0
            for j in range(first[b], first[b + 1]):
                before = (rows[j] < row) | ((rows[j] == row) & (j < i))
                rank += (keys[j] > key) | ((keys[j] == key) & before)
            out[i] = rank
