"""Making the candidates of some anchors in memory: a strategy by its name, and its pieces joined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import I64, Floats
from csrms_dist.basics.lookup import chosen, resolve
from csrms_dist.errors import ConfigError, DataError
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.candidates import Candidates, indptr_of
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.sampling.strategies import DISTANCES, NEGATIVES, POSITIVES
from csrms_dist.sampling.strategies.lookups import Lookups
from csrms_dist.sampling.strategies.means import nearest_patterns
from csrms_dist.sampling.strategies.strategy import Piece, Queries, Strategy
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE


def positive_candidates(
    graph: HierarchyGraph,
    features: Floats,
    query_features: Floats,
    query_membership: Membership,
    query_rows: npt.ArrayLike,
    strategy: str,
    n: int,
    pool: int,
    distance: str = "cosine",
) -> Candidates:
    """Candidates for the positives of Q anchors (eq. 5 and its variants).

    Parameters
    ----------
    features: (N, D), of the hierarchy's rows; need not be normalised.
    query_features: (Q, D), of the anchors.
    query_membership: (Q, K), their labels.
    query_rows: (Q,) int64, the row that an anchor is, so that it is not its own positive, or -1.
    strategy: a name of POSITIVES, or 'module:function' of your own.
    n, pool, distance: of the settings `sampling.n_positives`, `sampling.pool` and `sampling.distance`.

    Raises ConfigError for an unknown strategy, DataError when shapes disagree or a feature is not finite.
    """
    found: Strategy = chosen(POSITIVES, strategy, "sampling.positives")
    lookups = lookups_of(graph, features, distance)
    queries = queries_of(lookups, query_features, query_membership, query_rows)
    return _joined(len(queries.rows), found(graph, features, queries, n, pool), weighted=graph.multi_label)


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
    distance: str = "cosine",
) -> Candidates:
    """Candidates for the negatives of Q anchors (eq. 6 and its variants).

    Arguments and errors are those of `positive_candidates`, with names of NEGATIVES and `sampling.n_negatives`.
    The pattern of an anchor that is a row is the hierarchy's; of another it is query_patterns[q], or, when that is -1
    or not given, the pattern with the nearest mean.
    """
    found: Strategy = chosen(NEGATIVES, strategy, "sampling.negatives")
    lookups = lookups_of(graph, features, distance)
    queries = queries_of(lookups, query_features, query_membership, query_rows, query_patterns)
    return _joined(len(queries.rows), found(graph, features, queries, m, pool))


def build_candidates(
    graph: HierarchyGraph,
    features: Floats,
    settings: SamplingSettings | None = None,
    rows: npt.ArrayLike | None = None,
) -> dict[str, Candidates]:
    """Both edge types for the hierarchy's own rows: {"positive": candidates, "negative": candidates}.

    Parameters
    ----------
    features: (N, D), of the hierarchy's rows; need not be normalised.
    settings: the default ones where not given.
    rows: some of the rows, in that order. Ranges computed apart and joined by Candidates.concatenate give the same
    arrays as all at once.

    Raises ConfigError for an unknown strategy, DataError when shapes disagree or a feature is not finite.
    """
    wanted = np.arange(graph.n_rows) if rows is None else np.asarray(rows, dtype=np.int64)
    _check_rows("rows", wanted, 0, graph.n_rows)
    vectors = features if rows is None else features[wanted]
    given = settings or SamplingSettings()
    queries = queries_of(lookups_of(graph, features, given.distance), vectors, graph.membership[wanted], wanted)
    return {kind: of_type(kind, queries, given) for kind in (POSITIVE, NEGATIVE)}


def of_type(edge_type: str, queries: Queries, settings: SamplingSettings) -> Candidates:
    """The candidates of one edge type, by the strategy that the settings name."""
    graph, features = queries.lookups.graph, queries.lookups.features
    strategy: Strategy
    if edge_type == POSITIVE:
        strategy, size = chosen(POSITIVES, settings.positives, "sampling.positives"), settings.n_positives
    else:
        strategy, size = chosen(NEGATIVES, settings.negatives, "sampling.negatives"), settings.n_negatives
    pieces = strategy(graph, features, queries, size, settings.pool)
    checked = (_checked(piece, f"sampling.{edge_type}s", len(queries.rows), graph.n_rows) for piece in pieces)
    return _joined(len(queries.rows), checked, weighted=edge_type == POSITIVE and graph.multi_label)


def _checked(piece: Any, setting: str, n_queries: int, n_rows: int) -> Piece:
    """A piece of a strategy. Raises ConfigError for what is none, as a user's own strategy may give."""
    if not isinstance(piece, Piece):
        raise ConfigError(
            setting, got=f"a {type(piece).__name__}", expected="pieces (sampling.strategies.strategy.Piece)"
        )
    for name, values, n in (("query", piece.query, n_queries), ("neighbour", piece.neighbour, n_rows)):
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) != len(piece.query):
            got = f"{array.dtype} of shape {array.shape}"
            raise ConfigError(f"{setting}: {name}", got=got, expected="whole numbers, as many as queries")
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < n:
            got = f"{int(array.min())}..{int(array.max())}"
            raise ConfigError(f"{setting}: {name}", got=got, expected=f"numbers in 0..{n - 1}")
    return piece


def lookups_of(graph: HierarchyGraph, features: Floats, distance: str) -> Lookups:
    """The lookups of a hierarchy by a distance of DISTANCES. Raises DataError when the features are not its rows'."""
    if features.ndim != 2 or len(features) != graph.n_rows:
        raise DataError(
            "features", got=f"shape {features.shape}", expected=f"({graph.n_rows}, D), a row each of the graph"
        )
    if distance not in DISTANCES:
        raise ConfigError("sampling.distance", got=repr(distance), expected=f"one of {', '.join(DISTANCES)}")
    return Lookups(graph, features, resolve(DISTANCES[distance])(features))


def queries_of(
    lookups: Lookups,
    vectors: Floats,
    membership: Membership,
    query_rows: npt.ArrayLike,
    query_patterns: npt.ArrayLike | None = None,
) -> Queries:
    """The anchors of a strategy: checks the shapes and gives every anchor a pattern."""
    graph, features = lookups.graph, lookups.features
    rows = np.asarray(query_rows, dtype=np.int64)
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
        some = vectors[unknown]
        patterns[unknown] = nearest_patterns(graph, features, some, lookups.distance, lookups.means)
    return Queries(vectors, membership, rows, patterns, lookups)


def _check_rows(what: str, rows: I64, low: int, high: int) -> None:
    if rows.ndim != 1 or (rows.size and not (low <= int(rows.min()) and int(rows.max()) < high)):
        got = f"shape {rows.shape}" if rows.ndim != 1 else f"{int(rows.min())}..{int(rows.max())}"
        raise DataError(what, got=got, expected=f"a vector of numbers in {low}..{high - 1}")


def _joined(n_queries: int, pieces: Iterable[Piece], *, weighted: bool = False) -> Candidates:
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
    return Candidates(indptr_of(np.bincount(query, minlength=n_queries)), neighbour[order], level[order], weight)
