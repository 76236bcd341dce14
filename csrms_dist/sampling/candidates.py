"""Candidate neighbours of every anchor, per edge type, in CSR form: made once a hierarchy, drawn from every epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F32, F64, I64, U8, U64, Floats
from csrms_dist.basics.hashing import mix
from csrms_dist.basics.lookup import nearest
from csrms_dist.basics.progress import Progress
from csrms_dist.errors import ConfigError, DataError, RunDirectoryError
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.sampling.strategies.strategy import (
    NEGATIVES,
    POSITIVES,
    Piece,
    Queries,
    Strategy,
    nearest_patterns,
    pattern_means,
)
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE

_ARRAYS = {"indptr": np.int64, "neighbours": np.int64, "priority": np.uint8, "weight": np.float32}
_RANGE = 1 << 14
"""Anchors whose candidates are in memory at once."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of one edge type for A anchors.

    indptr: (A + 1,) int64. neighbours: (E,) int64, rows of the hierarchy; those of anchor a are
    neighbours[indptr[a]:indptr[a + 1]], no row twice, in the order of the strategy (positives farthest first, negatives
    own pattern first and nearest first). priority: (E,) uint8; a candidate of higher priority is always drawn before
    one of lower priority. weight: (E,) float32 in (0, 1], how readily each is drawn among its equals, or None where all
    weigh 1; the positives of multi-label data have the Jaccard similarity of the label sets.
    """

    indptr: I64
    neighbours: I64
    priority: U8
    weight: F32 | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def of(self, anchor: int) -> I64:
        """The candidates of one anchor."""
        return self.neighbours[self.indptr[anchor] : self.indptr[anchor + 1]]

    def edges(self, anchors: I64) -> tuple[I64, I64]:
        """The candidate edges of some anchors (B,): (position in `anchors` (E',), index into `neighbours` (E',))."""
        start = self.indptr[anchors]
        degree = self.indptr[anchors + 1] - start
        position = np.repeat(np.arange(len(anchors)), degree)
        first = np.repeat(start - (np.cumsum(degree) - degree), degree)
        return position, first + np.arange(len(position))

    def save(self, folder: Path) -> None:
        """Write indptr.npy, neighbours.npy, priority.npy and, if there are weights, weight.npy.

        Equal candidates give equal bytes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, dtype in _ARRAYS.items():
            if getattr(self, name) is not None:
                np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(self, name), dtype=dtype))

    @classmethod
    def load(cls, folder: Path) -> Candidates:
        """Memory-map what `save` wrote. Raises RunDirectoryError when it is not all there.

        The maps are private (copy on write): the file is safe, and libraries that ask for writable arrays take them
        without a copy.
        """
        names = [name for name in _ARRAYS if name != "weight" or (folder / "weight.npy").exists()]
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in names}
        except (OSError, ValueError) as error:
            raise RunDirectoryError(
                f"the candidates in {folder}", got=str(error), expected="three .npy files", remedy="make them again"
            ) from error
        found = cls(**arrays)
        sizes = {len(array) for name, array in arrays.items() if name != "indptr"}
        if sizes != {int(found.indptr[-1]) if len(found.indptr) else -1}:
            raise RunDirectoryError(
                f"the candidates in {folder}", got="arrays of different lengths", remedy="make them again"
            )
        return found

    @classmethod
    def concatenate(cls, parts: Sequence[Candidates]) -> Candidates:
        """Candidates of consecutive ranges of anchors -> of all of them. All parts have weights, or none has."""
        degrees = [np.diff(part.indptr) for part in parts]
        weights = [part.weight for part in parts if part.weight is not None]
        return cls(
            _indptr(np.concatenate([np.zeros(0, dtype=np.int64), *degrees])),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.neighbours for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.uint8), *(part.priority for part in parts)]),
            np.concatenate(weights) if weights else None,
        )


def positive_candidates(
    graph: HierarchyGraph,
    features: Floats,
    query_features: Floats,
    query_membership: Membership,
    query_rows: npt.ArrayLike,
    strategy: str,
    n: int,
    pool: int,
) -> Candidates:
    """Candidates for the positives of Q anchors (eq. 5 and its variants).

    features: (N, D) of the hierarchy's rows. query_features: (Q, D); query_membership: (Q, K); query_rows: (Q,) int64,
    the row that an anchor is, so that it is not its own positive, or -1. Features need not be normalised. Raises
    ConfigError for an unknown strategy, DataError when shapes disagree or a feature is not finite.
    """
    chosen = _strategy("sampling.positives", POSITIVES, strategy)
    queries = _queries(graph, features, query_features, query_membership, query_rows)
    return _join(len(queries.rows), chosen(graph, features, queries, n, pool), weighted=graph.multi_label)


def negative_candidates(
    graph: HierarchyGraph,
    features: Floats,
    query_features: Floats,
    query_membership: Membership,
    query_rows: npt.ArrayLike,
    strategy: str,
    m: int,
    pool: int,
    query_patterns: npt.ArrayLike | None = None,
) -> Candidates:
    """Candidates for the negatives of Q anchors (eq. 6 and its variants); the arguments of `positive_candidates`.

    The pattern of an anchor that is a row is the hierarchy's; of another it is query_patterns[q], or, when that is -1
    or not given, the pattern with the nearest mean.
    """
    chosen = _strategy("sampling.negatives", NEGATIVES, strategy)
    queries = _queries(graph, features, query_features, query_membership, query_rows, query_patterns)
    return _join(len(queries.rows), chosen(graph, features, queries, m, pool))


def build_candidates(
    graph: HierarchyGraph, features: Floats, settings: SamplingSettings, rows: npt.ArrayLike | None = None
) -> dict[str, Candidates]:
    """Both edge types for the hierarchy's own rows (or for some of them, in that order): {"positive", "negative"}.

    features: (N, D). Ranges of rows computed apart and joined by Candidates.concatenate give the same arrays.
    """
    chosen = np.arange(graph.n_rows) if rows is None else np.asarray(rows, dtype=np.int64)
    _check_rows("rows", chosen, 0, graph.n_rows)
    vectors = features if rows is None else features[chosen]
    queries = _queries(graph, features, vectors, graph.membership[chosen], chosen)
    return {kind: _of_type(kind, graph, features, queries, settings) for kind in (POSITIVE, NEGATIVE)}


def write_candidates(
    folder: Path,
    graph: HierarchyGraph,
    features: Floats,
    settings: SamplingSettings,
    progress: Progress | None = None,
    edge_types: Sequence[str] = (POSITIVE, NEGATIVE),
) -> None:
    """Write what `save_candidates` writes of `build_candidates`, in memory that does not grow with the rows.

    features: (N, D), may be memory-mapped. progress: counts anchors, each of them once for each of `edge_types`.

    Anchors are taken in ranges of those that look at the same rows: by labels for positives, by pattern for negatives.
    So however many ranges there are, each row is read about once. What is found is kept in a file in that order, and
    moved to the order of the anchors at the end.
    """
    means = cache(lambda: pattern_means(graph, features))
    if progress:
        progress.total = progress.total or len(edge_types) * graph.n_rows
    for edge_type in edge_types:
        order = _by_labels(graph.membership) if edge_type == POSITIVE else graph.member_rows

        def found(rows: I64, edge_type: str = edge_type) -> Candidates:
            queries = _queries(graph, features, features[rows], graph.membership[rows], rows, means=means)
            return _of_type(edge_type, graph, features, queries, settings)

        _write_ranges(folder / edge_type, order, found, progress)


def _of_type(
    edge_type: str, graph: HierarchyGraph, features: Floats, queries: Queries, settings: SamplingSettings
) -> Candidates:
    if edge_type == POSITIVE:
        strategy, size = _strategy("sampling.positives", POSITIVES, settings.positives), settings.n_positives
    else:
        strategy, size = _strategy("sampling.negatives", NEGATIVES, settings.negatives), settings.n_negatives
    pieces = strategy(graph, features, queries, size, settings.pool)
    return _join(len(queries.rows), pieces, weighted=edge_type == POSITIVE and graph.multi_label)


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
    spilled = {name: folder / f".{name}" for name in _ARRAYS if name != "indptr"}
    try:
        with ExitStack() as stack:
            files = {name: stack.enter_context(path.open("wb")) for name, path in spilled.items()}
            for rows in _ranges(order):
                some = found(rows)
                indptr[rows + 1] = np.diff(some.indptr)
                for name, file in files.items():
                    if getattr(some, name) is not None:
                        file.write(np.ascontiguousarray(getattr(some, name), _ARRAYS[name]).data)
                if progress:
                    progress.update(len(rows))
        np.cumsum(indptr, out=indptr)
        np.save(folder / "indptr.npy", indptr)
        for name, path in spilled.items():
            if name != "weight" or path.stat().st_size:
                _sort_spilled(path, folder / f"{name}.npy", np.dtype(_ARRAYS[name]), order, indptr)
    finally:
        for path in spilled.values():
            path.unlink(missing_ok=True)


def _sort_spilled(source: Path, target: Path, dtype: Any, order: I64, indptr: I64) -> None:
    """Move the values of each anchor from their place along `order` to their place by `indptr`."""
    with target.open("w+b") as file:
        _reserve(file, dtype, int(indptr[-1]))
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


def _reserve(file: BinaryIO, dtype: Any, length: int) -> None:
    """The header and the space of a .npy vector: a full disk is an error here, where a memory map would be a crash."""
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, facts)
    if length:
        os.posix_fallocate(file.fileno(), file.tell(), length * dtype.itemsize)


def save_candidates(folder: Path, candidates: Mapping[str, Candidates]) -> None:
    """Write each edge type to a folder of its name."""
    for edge_type, some in candidates.items():
        some.save(folder / edge_type)


def load_candidates(folder: Path, edge_types: Iterable[str] = (POSITIVE, NEGATIVE)) -> dict[str, Candidates]:
    """Memory-map what `save_candidates` wrote. Raises RunDirectoryError when an edge type is not there."""
    return {edge_type: Candidates.load(folder / edge_type) for edge_type in edge_types}


def _strategy(key: str, known: Mapping[str, Strategy], name: str) -> Strategy:
    if name not in known:
        raise ConfigError(
            key,
            got=repr(name),
            expected=f"one of {sorted(known)}",
            remedy=f"the nearest is {nearest(name, list(known))!r}",
        )
    return known[name]


def _queries(
    graph: HierarchyGraph,
    features: Floats,
    vectors: Floats,
    membership: Membership,
    query_rows: npt.ArrayLike,
    query_patterns: npt.ArrayLike | None = None,
    means: Callable[[], F64] | None = None,
) -> Queries:
    """Check the shapes and give every anchor a pattern."""
    rows = np.asarray(query_rows, dtype=np.int64)
    if features.ndim != 2 or len(features) != graph.n_rows:
        raise DataError(
            "features", got=f"shape {features.shape}", expected=f"({graph.n_rows}, D), a row each of the graph"
        )
    if vectors.shape != (len(rows), features.shape[1]):
        raise DataError("query features", got=f"shape {vectors.shape}", expected=f"{(len(rows), features.shape[1])}")
    if membership.shape != (len(rows), graph.n_classes):
        raise DataError("query labels", got=f"shape {membership.shape}", expected=f"{(len(rows), graph.n_classes)}")
    _check_rows("query rows", rows, -1, graph.n_rows)
    patterns = np.full(len(rows), -1, dtype=np.int64)
    if query_patterns is not None:
        patterns = np.array(query_patterns, dtype=np.int64)
        if patterns.shape != rows.shape:
            raise DataError("query patterns", got=f"shape {patterns.shape}", expected=f"{rows.shape}")
        _check_rows("query patterns", patterns, -1, graph.n_patterns)
    inside = rows >= 0
    patterns[inside] = graph.pattern[rows[inside]]
    unknown = patterns < 0
    if unknown.any():
        patterns[unknown] = nearest_patterns(graph, features, vectors[unknown])
    return Queries(vectors, membership, rows, patterns, means or cache(lambda: pattern_means(graph, features)))


def _check_rows(what: str, rows: I64, low: int, high: int) -> None:
    if rows.ndim != 1 or (rows.size and not (low <= int(rows.min()) and int(rows.max()) < high)):
        got = f"shape {rows.shape}" if rows.ndim != 1 else f"{int(rows.min())}..{int(rows.max())}"
        raise DataError(what, got=got, expected=f"a vector of numbers in {low}..{high - 1}")


def _join(n_queries: int, pieces: Iterable[Piece], *, weighted: bool = False) -> Candidates:
    """Pieces -> CSR; the pieces of one anchor keep their order."""
    found = list(pieces)
    empty = np.zeros(0, dtype=np.int64)
    query = np.concatenate([empty, *(piece.query for piece in found)])
    neighbour = np.concatenate([empty, *(piece.neighbour for piece in found)])
    level = np.concatenate([np.zeros(0, np.uint8), *(np.full(len(p.query), p.priority, np.uint8) for p in found)])
    order = np.argsort(query, kind="stable")
    weight = None
    if weighted:
        parts = (p.weight if p.weight is not None else np.ones(len(p.query), np.float32) for p in found)
        weight = np.concatenate([np.zeros(0, np.float32), *parts])[order]
    return Candidates(_indptr(np.bincount(query, minlength=n_queries)), neighbour[order], level[order], weight)


def _indptr(degrees: npt.NDArray[np.integer]) -> I64:
    indptr = np.zeros(len(degrees) + 1, dtype=np.int64)
    np.cumsum(degrees, out=indptr[1:])
    return indptr
