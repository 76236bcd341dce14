"""Uniform draws of rows for many anchors, each at a cost of the number drawn, whatever the size of its class.

The candidates of an anchor lie in intervals of a listing: the rows by class (`Lookups.by_class`), or by pattern
(`member_rows`). A hash of (anchor's row, try) gives a place in them; a row that was there before, or that does not fit,
is passed over, so each row that fits is as likely. Where the intervals hold few places, or hardly a row in them fits,
all are looked through, and the rows with the smallest hash of (anchor's row, row) are taken. Anchors that are no rows
share the hash of row -1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from csrms_dist.basics.arrays import I64
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.distances import blocks
from csrms_dist.sampling.strategies.kernels import ANYWHERE, draw
from csrms_dist.sampling.strategies.strategy import Piece, Queries


def of_same_class(
    graph: HierarchyGraph, queries: Queries, size: int, *, only: I64 | None = None, avoid_own: bool = False
) -> Iterator[Piece]:
    """Rows that share a label with the anchor, itself left out: at most `size` for each, drawn uniformly.

    only: (K,) int64, the pattern that the rows of each class must lie in; -1 for a class that has none.
    avoid_own: leave out the anchor's own pattern.
    """
    where = np.full(graph.n_classes, ANYWHERE, dtype=np.int64) if only is None else only
    yield from _drawn(graph, queries, size, where, avoid_own=avoid_own, same=True)


def of_other_classes(graph: HierarchyGraph, queries: Queries, size: int, *, avoid_own: bool = False) -> Iterator[Piece]:
    """Rows that share no label with the anchor, itself left out: at most `size` for each, drawn uniformly.

    avoid_own: leave out the anchor's own pattern.
    """
    nowhere = np.zeros(0, dtype=np.int64)
    yield from _drawn(graph, queries, size, nowhere, avoid_own=avoid_own, same=False)


def _drawn(
    graph: HierarchyGraph, queries: Queries, size: int, only: I64, *, avoid_own: bool, same: bool
) -> Iterator[Piece]:
    begins, places = queries.lookups.by_class
    own, theirs = queries.membership, graph.membership
    avoid = queries.patterns if avoid_own else np.full(len(queries.rows), -1, dtype=np.int64)
    for part in blocks(len(queries.rows), size):
        anchors = np.arange(len(queries.rows), dtype=np.int64)[part]
        found = np.full((len(anchors), size), -1, dtype=np.int64)
        draw(
            found, anchors, queries.rows, avoid, own.indptr, own.indices, only, begins, places, graph.member_rows,
            graph.member_indptr, graph.pattern, theirs.indptr, theirs.indices, same,
        )  # fmt: skip
        anchor, column = np.nonzero(found >= 0)
        yield Piece(anchors[anchor], found[anchor, column], 1)
