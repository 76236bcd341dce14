"""Lookups of strategies in a hierarchy: each made when first asked for, once for all ranges of its anchors."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np

from csrms_dist.basics.arrays import F64, I64, Bools, Floats
from csrms_dist.basics.hashing import mix
from csrms_dist.hierarchy.csr import canonical_csr, stored_rows
from csrms_dist.hierarchy.dominance import dominators, largest_dominated_pattern
from csrms_dist.hierarchy.graph import Csr, HierarchyGraph
from csrms_dist.sampling.distances import Distance
from csrms_dist.sampling.strategies.means import pattern_means

RANKED = 1 << 11
"""Of more rows than this an anchor does not rank each: those of smallest hash stand for all, the same for all anchors.

Else every member of a class or pattern would be compared with every other, which is quadratic in its size.
"""

_RANK = 0x72616E6B
"""Keeps the hash that chooses who is ranked apart from the hashes that draw."""

_REMEMBERED = 256


def ranked_size(n: int, pool: int) -> int:
    """How many rows are ranked at most: RANKED, or more where so long lists are wanted that it would be too few."""
    return max(RANKED, 4 * max(pool, n))


def sampled(rows: I64, size: int) -> I64:
    """The rows, or of more than `size` a uniform sample: those of smallest hash. In the order of `rows`.

    The sample of a union is the sample of the union of its parts' samples.
    """
    if len(rows) <= size:
        return rows
    return rows[np.sort(np.argpartition(mix(_RANK, rows), size - 1)[:size])]


class Lookups:
    """Lookups in one hierarchy, whose rows have `features` (N, D), by one distance."""

    def __init__(self, graph: HierarchyGraph, features: Floats, distance: Distance) -> None:
        self.graph, self.features, self.distance = graph, features, distance
        self.strangers = lru_cache(_REMEMBERED)(self._strangers)
        self._carriers: dict[tuple[int, int], I64] = {}

    @cached_property
    def means(self) -> F64:
        """`pattern_means` of the hierarchy, (J, D), as the distance prepares vectors: a pass over all its rows."""
        return pattern_means(self.graph, self.features, self.distance)

    @cached_property
    def chosen(self) -> I64:
        """The pattern that the positives of each class come from (eq. 5), (K,); -1 for a class in no pattern."""
        return largest_dominated_pattern(self.graph)

    @cached_property
    def dominating(self) -> Csr:
        """(J, K) int32: 1 where the class dominates the pattern."""
        return dominators(self.graph)

    @cached_property
    def carried_by_all(self) -> Csr:
        """(J, K) int32: 1 where every row of the pattern carries the class."""
        counts = self.graph.counts
        kept = counts.data == self.graph.sizes[stored_rows(counts)]
        indptr = np.concatenate([[0], np.cumsum(kept)])[counts.indptr]
        return canonical_csr(np.ones(int(kept.sum()), np.int32), counts.indices[kept], indptr, counts.shape)

    @cached_property
    def by_class(self) -> tuple[I64, I64]:
        """Rows by class, (K + 2,) where each begins, and (E,) places in `member_rows`, ascending in each class.

        So the rows of a class that lie in one pattern are neighbours. Rows without a label are class K.
        """
        graph = self.graph
        ordered = graph.membership[graph.member_rows]
        classes = ordered.tocsc()
        unlabelled = np.flatnonzero(np.diff(ordered.indptr) == 0).astype(classes.indices.dtype)
        places = np.concatenate([classes.indices, unlabelled])
        return np.append(classes.indptr.astype(np.int64), len(places)), places

    def carriers(self, label: int, size: int) -> I64:
        """The rows of its pattern (`chosen`) that carry the label, at most `size` of them, ascending."""
        if (label, size) not in self._carriers:
            pattern = int(self.chosen[label])
            rows = self.graph.members(pattern) if pattern >= 0 else np.zeros(0, dtype=np.int64)
            self._carriers[label, size] = sampled(rows[self._have(rows, label)], size)
        return self._carriers[label, size]

    def class_rows(self, label: int, size: int) -> I64:
        """The rows that carry the label, at most `size` of them, ascending."""
        begins, places = self.by_class
        return sampled(np.sort(self.graph.member_rows[places[begins[label] : begins[label + 1]]]), size)

    def _strangers(self, pattern: int, without: tuple[int, ...], dominant: bool, size: int) -> tuple[I64, bool]:
        """Rows of a pattern that carry none of some labels, at most `size`, ascending; and whether there are more.

        dominant: only rows that carry a class that dominates the pattern. Asked for as `strangers`.
        """
        rows = self.graph.members(pattern)
        if dominant:
            classes = self.dominating.indices[slice(*self.dominating.indptr[pattern : pattern + 2])]
            rows = rows[self._have(rows, *classes.tolist())]
        if without:
            rows = rows[~self._have(rows, *without)]
        return sampled(rows, size), len(rows) > size

    def _have(self, rows: I64, *labels: int) -> Bools:
        """(R,): which of the rows carry at least one of the labels."""
        theirs = self.graph.membership[rows]
        found: Bools = np.zeros(len(rows), dtype=np.bool_)
        found[stored_rows(theirs)[np.isin(theirs.indices, labels)]] = True
        return found
