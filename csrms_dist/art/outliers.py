"""Outliers: images that lie far from the images nearest to them, farther than those lie from theirs.

The distance of a row is that to the NEAREST-th nearest training row, Euclidean between L2-normalised feature vectors
(Ramaswamy, Rastogi and Shim, SIGMOD 2000). Rows that are equal count as one, and the fifth instead of the mean of five
lets no pair, nor a group of up to five, hide its members. The full vectors are compared, neither centred nor projected,
because what the projection leaves out is most of what tells a strange image from a photograph (docs/clustering.md has
the figures). Rows are found through patterns: those of the patterns next to one's own are searched, at most
PATTERN_ROWS of each, so the time is linear in the rows. No label is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from csrms_dist.art.clustering import Clustering
from csrms_dist.art.rows import open_rows
from csrms_dist.art.scaling import BLOCK, blas, unit
from csrms_dist.art.surroundings import Surroundings
from csrms_dist.art.two_level.executors import Executor, SerialExecutor
from csrms_dist.art.two_level.work import ranges
from csrms_dist.basics.arrays import F32, F64, I32, I64, U64, Bools
from csrms_dist.errors import DataError

NEAREST = 5
PATTERNS = 8
"""Patterns whose rows are searched: one's own and those next to it."""
PATTERN_ROWS = 1000
"""Rows that are searched of a pattern at the most: those of smallest hash."""
FENCE, APART = 2.5, 1.0
"""How far above the median, in distances from the median to the 90 % quantile, an outlier's figures lie."""
_TASK_ROWS = 2048
_STEP = 256
_ARRAYS = ("distance", "outlier", "searched")
_FACTS = "outliers.json"


class Fences(NamedTuple):
    """What an outlier exceeds. strange: log distance + log ratio; ratio: log of it; least: of the distance divided by.

    The ratio is that of a row's distance to the median distance of its nearest rows, or to `least`, the lower quartile
    of all distances, where that is larger.
    """

    strange: float
    ratio: float
    least: float

    @classmethod
    def of(cls, distance: F32, typical: F32) -> Self:
        """From the figures of the training rows (N,). Where they do not differ nothing is an outlier.

        In a Gaussian group of d dimensions the log distance is about chi-squared / (2 d), normal for large d and skewed
        for small; the upper tenth of the distribution, doubled and more, measures that tail, and is not moved by
        outliers until they are a tenth of all.
        """
        known = distance > 0
        if not known.any():
            return cls(np.inf, np.inf, 0.0)
        least = float(np.quantile(distance[known], 0.25))
        ratio = _log_ratio(distance[known], typical[known], least)
        return cls(_fence(np.log(distance[known]) + ratio, FENCE), _fence(ratio, APART), least)

    def exceeded(self, distance: F32, typical: F32) -> Bools:
        """Which rows are outliers, (M,) bool."""
        if self.least == 0:
            return np.zeros(len(distance), np.bool_)
        near = distance <= 0
        given = np.where(near, self.least, distance)
        ratio = _log_ratio(given, typical, self.least)
        return np.asarray(~near & (np.log(given) + ratio > self.strange) & (ratio > self.ratio))


def _log_ratio(distance: F32, typical: F32, least: float) -> F64:
    ratio: F64 = np.log(distance.astype(np.float64) / np.maximum(typical, least))
    return ratio


def _fence(values: F64, times: float) -> float:
    middle, upper = np.quantile(values, [0.5, 0.9])
    return float(middle + times * (upper - middle)) if upper > middle else np.inf


class Placed(NamedTuple):
    """Where M other rows lie, each (M,): the pattern, the score (IN_PATTERN.score), distance and outlier as of rows."""

    pattern: I32
    score: F32
    distance: F32
    outlier: Bools


@dataclass(frozen=True, eq=False)
class Outliers:
    """The distances of N training rows, and all that is needed to say the same of new ones.

    distance: (N,) float32, in [0, 2]; 0 where there is no other row. outlier: (N,) bool. searched: (N,) bool, the rows
    among which nearest ones are looked for.
    """

    distance: F32
    outlier: Bools
    searched: Bools
    fences: Fences

    def of_new(self, vectors: Any, pattern: I32, known: Any, clustering: Clustering) -> tuple[F32, Bools]:
        """(distance, outlier), each (M,), of other rows by the same measure.

        vectors: (M, D). pattern: (M,), theirs (`Clustering.predict`). known: (N, D), the training vectors. A row that
        equals a training row has that one's distance, as nearly as the same patterns are searched.
        """
        if known.shape[0] != len(self.distance):
            raise DataError("training vectors", got=f"{known.shape[0]} rows", expected=f"{len(self.distance)}")
        distance, typical = np.zeros(len(pattern), np.float32), np.zeros(len(pattern), np.float32)
        for rows, candidates in _pieces(pattern, clustering, self.searched):
            for start in range(0, len(rows), _TASK_ROWS):
                part = rows[start : start + _TASK_ROWS]
                distance[part], near = nearest(np.asarray(vectors[part]), np.asarray(known[candidates]))
                typical[part] = _typical(near, candidates, self.distance)
        return distance, self.fences.exceeded(distance, typical)

    def place(self, vectors: Any, known: Any, clustering: Clustering) -> Placed:
        """Where other rows (M, D) lie. known: see `of_new`."""
        pattern, score = clustering.predict(vectors)
        return Placed(pattern, score, *self.of_new(vectors, pattern, known, clustering))

    def save(self, folder: str | Path) -> None:
        """Write .npy files and outliers.json beside a clustering; equal values give equal bytes."""
        for name in _ARRAYS:
            np.save(Path(folder) / f"{name}.npy", np.ascontiguousarray(getattr(self, name)))
        (Path(folder) / _FACTS).write_text(json.dumps(self.fences._asdict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Memory-map what `save` wrote. Raises DataError where a file is missing."""
        try:
            facts = json.loads((Path(folder) / _FACTS).read_text(encoding="utf-8"))
            arrays = {name: np.asarray(np.load(Path(folder) / f"{name}.npy", mmap_mode="r")) for name in _ARRAYS}
        except FileNotFoundError as error:
            raise DataError(
                str(folder), got=str(error), expected="a clustering with its outliers", remedy="cluster again"
            ) from error
        return cls(**arrays, fences=Fences(**facts))


def find_outliers(vectors_path: Path, clustering: Clustering, executor: Executor | None = None) -> Outliers:
    """The outliers among the clustered rows.

    vectors_path: the matrix (N, D) that was clustered, .npy or Parquet. executor: who runs the tasks, which are the
    same whoever does. Time is linear in the rows; beside about 70 bytes a row, memory holds the vectors of PATTERNS
    patterns, at most PATTERN_ROWS of each.
    """
    path, executor, n = Path(vectors_path), executor or SerialExecutor(), len(clustering.pattern)
    parts = executor.map(row_hashes, [(path, start, stop) for start, stop in ranges(n)])
    searched = _searched(np.concatenate([np.zeros(0, np.uint64), *parts]), clustering.pattern)
    tasks = [(path, task) for task in _tasks(_pieces(clustering.pattern, clustering, searched))]
    distance, near = np.zeros(n, np.float32), np.full((n, NEAREST), -1, np.int64)
    for (_, task), found in zip(tasks, executor.map(nearest_rows, tasks), strict=True):
        for (rows, candidates), (far, places) in zip(task, found, strict=True):
            distance[rows] = far
            near[rows] = np.where(places >= 0, candidates[places], -1)
    typical = np.concatenate(
        [np.zeros(0, np.float32)] + [_typical(near[a : a + BLOCK], np.arange(n), distance) for a in range(0, n, BLOCK)]
    )
    fences = Fences.of(distance, typical)
    return Outliers(distance, fences.exceeded(distance, typical), searched, fences)


def row_hashes(path: Path, start: int, stop: int) -> U64:
    """A hash of the content of rows start..stop of a matrix, (stop - start,) uint64."""
    rows = open_rows(path)
    hashes = np.empty(stop - start, np.uint64)
    for first in range(start, stop, BLOCK):
        block = np.asarray(rows[first : min(stop, first + BLOCK)]) + 0.0  # -0.0 is 0.0
        for place, row in enumerate(block, first - start):
            hashes[place] = int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest(), "little")
    return hashes


def _searched(hashes: U64, pattern: I32) -> Bools:
    """The first of each distinct row, and of those the PATTERN_ROWS of smallest hash in every pattern. (N,) bool."""
    chosen = np.zeros(len(hashes), np.bool_)
    order = np.lexsort((np.arange(len(hashes)), hashes, pattern))
    new = np.ones(len(order), np.bool_)
    new[1:] = (hashes[order][1:] != hashes[order][:-1]) | (pattern[order][1:] != pattern[order][:-1])
    kept = order[new]
    rank = np.arange(len(kept)) - np.searchsorted(pattern[kept], pattern[kept])
    chosen[kept[rank < PATTERN_ROWS]] = True
    return chosen


def _pieces(pattern: I32, clustering: Clustering, searched: Bools) -> Iterator[tuple[I64, I64]]:
    """For each pattern that has some: the rows in it, and the training rows among which they look for nearest ones."""
    around = Surroundings(clustering).of_patterns(PATTERNS)
    kept = np.flatnonzero(searched)
    kept = kept[np.argsort(clustering.pattern[kept], kind="stable")]
    bounds = np.searchsorted(clustering.pattern[kept], np.arange(clustering.n_patterns + 1))
    order = np.argsort(pattern, kind="stable")
    starts = np.searchsorted(pattern[order], np.arange(clustering.n_patterns + 1))
    for k in range(clustering.n_patterns):
        rows = order[starts[k] : starts[k + 1]]
        if len(rows):
            yield rows, np.concatenate([kept[bounds[j] : bounds[j + 1]] for j in around[k]])


def _tasks(pieces: Iterator[tuple[I64, I64]]) -> Iterator[list[tuple[I64, I64]]]:
    """Pieces in lists of about _TASK_ROWS rows; a piece of more is cut."""
    task: list[tuple[I64, I64]] = []
    for rows, candidates in pieces:
        for start in range(0, len(rows), _TASK_ROWS):
            task.append((rows[start : start + _TASK_ROWS], candidates))
            if sum(len(part) for part, _ in task) >= _TASK_ROWS:
                yield task
                task = []
    if task:
        yield task


def nearest_rows(path: Path, task: Sequence[tuple[I64, I64]]) -> list[tuple[F32, I64]]:
    """`nearest` of each piece of a task, over the rows of a file."""
    rows = open_rows(path)
    return [nearest(np.asarray(rows[part]), np.asarray(rows[candidates])) for part, candidates in task]


def nearest(rows: Any, candidates: Any) -> tuple[F32, I64]:
    """The distance from each row (B, D) to the fifth nearest candidate (C, D), and the places of the five, -1 for none.

    A candidate that equals the row is passed over; with fewer than five others it is the farthest. Returns (B,) float32
    and (B, NEAREST) int64.
    """
    x, y = unit(rows), unit(candidates)
    distance, places = np.zeros(len(x), np.float32), np.full((len(x), NEAREST), -1, np.int64)
    count = min(NEAREST + 1, len(y))
    if not count:
        return distance, places
    # Products in float32 choose, differences in float64 measure: so equal rows have the same figures wherever they lie.
    single, lengths = y.astype(np.float32).T, (y * y).sum(axis=1).astype(np.float32)
    for start in range(0, len(x), _STEP):
        block = x[start : start + _STEP]
        with blas().limit(limits=1, user_api="blas"):
            squares = lengths - 2 * (block.astype(np.float32) @ single)
        few = np.sort(np.argpartition(squares, count - 1, axis=1)[:, :count], axis=1)
        exact = np.sqrt(np.square(block[:, None, :] - y[few]).sum(axis=2))
        exact[exact == 0] = np.inf
        order = np.argsort(exact, axis=1, kind="stable")[:, :NEAREST]
        exact, few = np.take_along_axis(exact, order, axis=1), np.take_along_axis(few, order, axis=1)
        there = np.isfinite(exact)
        distance[start : start + len(block)] = np.where(there, exact, 0).max(axis=1)
        places[start : start + len(block), : few.shape[1]] = np.where(there, few, -1)
    return distance, places


def _typical(near: I64, candidates: I64, distance: F32) -> F32:
    """The median distance of the rows that are nearest, (B,); 0 where there are none. near: (B, NEAREST) places."""
    there = near >= 0
    values = np.where(there, distance[candidates[near]] if len(candidates) else 0.0, np.nan)
    values[~there.any(axis=1)] = 0
    return np.nanmedian(values, axis=1).astype(np.float32)
