"""Candidate neighbours of every anchor, per edge type, in CSR form: made once a hierarchy, drawn from every epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csrms_dist.config import SamplingSettings, nearest
from csrms_dist.errors import ConfigError, DataError, RunDirectoryError
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.strategies import NEGATIVES, POSITIVES, Piece, Queries, Strategy, nearest_patterns
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE

I64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

_ARRAYS = {"indptr": np.int64, "neighbours": np.int64, "priority": np.uint8}


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of one edge type for A anchors.

    indptr: (A + 1,) int64. neighbours: (E,) int64, rows of the hierarchy; those of anchor a are
    neighbours[indptr[a]:indptr[a + 1]], no row twice, in the order of the strategy (positives farthest first, negatives
    own pattern first and nearest first). priority: (E,) uint8; a candidate of higher priority is always drawn before
    one of lower priority, and among equals the draw is uniform.
    """

    indptr: I64
    neighbours: I64
    priority: npt.NDArray[np.uint8]

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
        """Write indptr.npy, neighbours.npy and priority.npy; equal candidates give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, dtype in _ARRAYS.items():
            np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(self, name), dtype=dtype))

    @classmethod
    def load(cls, folder: Path) -> Candidates:
        """Memory-map what `save` wrote. Raises RunDirectoryError when it is not all there."""
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        except (OSError, ValueError) as error:
            raise RunDirectoryError(
                f"the candidates in {folder}", got=str(error), expected="three .npy files", remedy="make them again"
            ) from error
        found = cls(**arrays)
        sizes = {len(found.neighbours), len(found.priority), int(found.indptr[-1]) if len(found.indptr) else -1}
        if len(sizes) != 1:
            raise RunDirectoryError(
                f"the candidates in {folder}", got="arrays of different lengths", remedy="make them again"
            )
        return found

    @classmethod
    def concatenate(cls, parts: Sequence[Candidates]) -> Candidates:
        """Candidates of consecutive ranges of anchors -> of all of them."""
        degrees = [np.diff(part.indptr) for part in parts]
        return cls(
            _indptr(np.concatenate([np.zeros(0, dtype=np.int64), *degrees])),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.neighbours for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.uint8), *(part.priority for part in parts)]),
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
    return _join(len(queries.rows), chosen(graph, features, queries, n, pool))


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
    asked = (graph, features, vectors, graph.membership[chosen], chosen)
    return {
        POSITIVE: positive_candidates(*asked, settings.positives, settings.n_positives, settings.pool),
        NEGATIVE: negative_candidates(*asked, settings.negatives, settings.n_negatives, settings.pool),
    }


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
    return Queries(vectors, membership, rows, patterns)


def _check_rows(what: str, rows: I64, low: int, high: int) -> None:
    if rows.ndim != 1 or (rows.size and not (low <= int(rows.min()) and int(rows.max()) < high)):
        got = f"shape {rows.shape}" if rows.ndim != 1 else f"{int(rows.min())}..{int(rows.max())}"
        raise DataError(what, got=got, expected=f"a vector of numbers in {low}..{high - 1}")


def _join(n_queries: int, pieces: Iterable[Piece]) -> Candidates:
    """Pieces -> CSR; the pieces of one anchor keep their order."""
    found = list(pieces)
    empty = np.zeros(0, dtype=np.int64)
    query = np.concatenate([empty, *(piece.query for piece in found)])
    neighbour = np.concatenate([empty, *(piece.neighbour for piece in found)])
    level = np.concatenate([np.zeros(0, np.uint8), *(np.full(len(p.query), p.priority, np.uint8) for p in found)])
    order = np.argsort(query, kind="stable")
    return Candidates(_indptr(np.bincount(query, minlength=n_queries)), neighbour[order], level[order])


def _indptr(degrees: npt.NDArray[np.integer]) -> I64:
    indptr = np.zeros(len(degrees) + 1, dtype=np.int64)
    np.cumsum(degrees, out=indptr[1:])
    return indptr
