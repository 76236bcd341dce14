"""Writing the candidates of a whole hierarchy, in memory that does not grow with its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from csrms_dist.artefacts.files import reserve_npy
from csrms_dist.basics.arrays import I64, U64, Floats
from csrms_dist.basics.hashing import mix
from csrms_dist.basics.progress import Progress
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.build import lookups_of, of_type, queries_of
from csrms_dist.sampling.candidates import ARRAYS, Candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE

_RANGE = 1 << 14
"""Anchors whose candidates are in memory at once."""


def write_candidates(
    folder: Path,
    graph: HierarchyGraph,
    features: Floats,
    settings: SamplingSettings,
    progress: Progress | None = None,
    edge_types: Sequence[str] = (POSITIVE, NEGATIVE),
) -> None:
    """Write the files that `save_candidates` writes of `build_candidates`, in memory that does not grow with the rows.

    Parameters
    ----------
    folder: gets a folder for each edge type.
    features: (N, D), may be memory-mapped.
    progress: counts anchors, each of them once for each of `edge_types`.

    Anchors are taken in ranges of those that look at the same rows: by labels for positives, by pattern for negatives.
    So however many ranges there are, each row is read about once. What is found is kept in a file in that order, and
    moved to the order of the anchors at the end.
    """
    lookups = lookups_of(graph, features, settings.distance)
    if progress:
        progress.total = progress.total or len(edge_types) * graph.n_rows
    for edge_type in edge_types:
        order = _by_labels(graph.membership) if edge_type == POSITIVE else graph.member_rows

        def found(rows: I64, edge_type: str = edge_type) -> Candidates:
            queries = queries_of(lookups, features[rows], graph.membership[rows], rows)
            return of_type(edge_type, queries, settings)

        _write_ranges(folder / edge_type, order, found, progress)


def _by_labels(membership: Membership) -> I64:
    """The rows in an order in which equal label sets lie together, (N,) int64."""
    key: U64 = np.zeros(membership.shape[0], dtype=np.uint64)
    rows = membership.shape[0]
    for start in range(0, rows, _RANGE):
        stop = min(rows, start + _RANGE)
        some = membership.indptr[start : stop + 1]
        sums = np.zeros(int(some[-1] - some[0]) + 1, dtype=np.uint64)
        np.cumsum(mix(membership.indices[some[0] : some[-1]]), out=sums[1:])
        key[start:stop] = sums[some[1:] - some[0]] - sums[some[:-1] - some[0]]
    return np.argsort(key, kind="stable")


def _write_ranges(
    folder: Path, order: I64, found: Callable[[I64], Candidates], progress: Progress | None = None
) -> None:
    """Candidates of the anchors range(len(order)), computed range by range along `order`, as the files of `save`."""
    folder.mkdir(parents=True, exist_ok=True)
    n = len(order)
    indptr = np.zeros(n + 1, dtype=np.int64)
    spilled = {name: folder / f".{name}" for name in ARRAYS if name != "indptr"}
    try:
        with ExitStack() as stack:
            files = {name: stack.enter_context(path.open("wb")) for name, path in spilled.items()}
            for rows in _ranges(order):
                some = found(rows)
                indptr[rows + 1] = np.diff(some.indptr)
                for name, file in files.items():
                    if getattr(some, name) is not None:
                        file.write(np.ascontiguousarray(getattr(some, name), ARRAYS[name]).data)
                if progress:
                    progress.update(len(rows))
        np.cumsum(indptr, out=indptr)
        np.save(folder / "indptr.npy", indptr)
        for name, path in spilled.items():
            if name != "weight" or path.stat().st_size:
                _sort_spilled(path, folder / f"{name}.npy", np.dtype(ARRAYS[name]), order, indptr)
    finally:
        for path in spilled.values():
            path.unlink(missing_ok=True)


def _sort_spilled(source: Path, target: Path, dtype: np.dtype[Any], order: I64, indptr: I64) -> None:
    """Move the values of each anchor from their place along `order` to their place by `indptr`."""
    reserve_npy(target, dtype, (int(indptr[-1]),))
    if not indptr[-1]:
        return
    values, out = np.memmap(source, dtype, "r"), np.load(target, mmap_mode="r+")
    done = 0
    for rows in _ranges(order):
        degree = indptr[rows + 1] - indptr[rows]
        ends = np.cumsum(degree)
        place = np.repeat(indptr[rows] - (ends - degree), degree) + np.arange(int(ends[-1]))
        out[place] = values[done : done + int(ends[-1])]
        done += int(ends[-1])
    out.flush()


def _ranges(order: I64) -> Iterator[I64]:
    for start in range(0, len(order), _RANGE):
        yield np.asarray(order[start : start + _RANGE])
