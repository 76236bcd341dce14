"""Two-level ART over virtual shards: learn each shard, merge, freeze, assign every row.

The virtual shards are part of the result; who computes them, in which order and on how many workers is not: rows are
placed and ordered by hashes of their ids, merges sort by the whole category, and what is summed over rows is exact.
Work goes through an `Executor`; this module knows nothing about what runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from csrms_dist.art import fuzzy_art, spherical_art, tasks
from csrms_dist.art.clustering import Clustering, canonical
from csrms_dist.art.fuzzy_art import Boxes
from csrms_dist.art.scaling import BLOCK, MinMaxScaling, Scaling, SphericalScaling, save_scaling
from csrms_dist.art.spherical_art import Categories
from csrms_dist.art.vigilance import MAX_STEPS, bisect, target_patterns
from csrms_dist.config import ClusterSettings
from csrms_dist.errors import DataError
from csrms_dist.hashing import Texts, hash_ids, hash_order, text_at

I64 = npt.NDArray[np.int64]
T = TypeVar("T")

PHASES = ("prepare", "vigilance", "learn", "merge", "assign", "recentre", "finish")

#: Fuzzy ART's own tightening (lambda_s, lambda_m): its boxes merge only if the shards and the merge leave room for it.
FUZZY_SHARD_TIGHTENING = 0.35
FUZZY_MERGE_TIGHTENING = 0.1
FLAT_MERGE = 100_000  # categories that are merged at once; above it neighbouring shards are merged first
MAX_RANGES = 64  # tasks of one pass over the rows, so that the recentring sums of all of them fit in memory


class Executor(Protocol):
    """Runs tasks. Assumes that a task may run in any process, in any order, and more than once."""

    def map(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> list[T]:
        """function(*task) for each task, in the order of the tasks."""
        ...


class SerialExecutor:
    """One task after the other, in this process."""

    def map(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> list[T]:
        return [function(*task) for task in tasks]


Phase: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


def _silent(phase: str, done: int, total: int) -> None:
    pass


def _quietly(name: str, total: int) -> AbstractContextManager[Callable[[], None]]:
    """A phase of the search for the vigilance, which is one phase by itself."""
    return nullcontext(lambda: None)


def cluster(
    vectors_path: Path,
    ids: Texts,
    settings: ClusterSettings,
    n_classes: int | None,
    workdir: Path,
    executor: Executor | None = None,
    progress: Callable[[str, int, int], None] = _silent,
    after_phase: Callable[[str], None] | None = None,
) -> Clustering:
    """Cluster the rows of a .npy matrix (N, D) into patterns.

    Parameters
    ----------
    vectors_path: the matrix, which must not change meanwhile. ids: (N,) names of its rows, a sequence of str or Arrow
        strings; they decide each row's shard and place in the order, so the same rows under the same ids give the same
        patterns in whatever order they lie.
    n_classes: K, which sets the number of patterns aimed at; None if unknown.
    workdir: a folder that every worker can read and write; the files made there are removed at the end.
    executor: who runs the tasks; this process by default.
    progress: called as progress(phase, done, total), phases as in PHASES. after_phase: called after each phase.

    Raises
    ------
    DataError: a matrix that is empty, of the wrong shape or type, or has NaN or infinite values (names the row's id).

    Notes
    -----
    Spherical ART (int8 directions): shards learn at rho + shard_tightening (1 - rho), their categories merge at rho,
    the rows that no prototype takes learn once more, prototypes are re-centred on all their rows `recentre` times,
    patterns below `min_size` are dissolved. Fuzzy ART (boxes): as above at rho + .35 (1 - rho) and rho + .1 (1 - rho),
    without re-centring and dissolving, which would give up that each box covers its rows. Because of this tightening a
    fuzzy vigilance of 0 need not give one pattern.
    """
    kind = _Spherical if settings.algorithm == "spherical" else _Fuzzy
    run = kind(Path(vectors_path), ids, settings, Path(workdir), executor or SerialExecutor(), progress, after_phase)
    try:
        return run.cluster(n_classes)
    finally:
        run.clean()


def learning_rows(ids: Texts, shards: int, learn_rows: int, order: I64 | None = None) -> tuple[I64, I64]:
    """The rows to learn, shard after shard, each in hash order (R,), and the first of each shard (V + 1,).

    All rows if there are at most `learn_rows`, else the learn_rows // shards of smallest hash from each shard. order:
    the rows in hash order, where it is known already.
    """
    if order is None:
        order = hash_order(hash_ids(ids, "order"), ids)
    shard = (hash_ids(ids, "shard") % np.uint64(shards)).astype(np.int32)[order]
    quota = len(ids) if len(ids) <= learn_rows else max(1, learn_rows // shards)
    by_shard = order[np.argsort(shard, kind="stable")]
    sizes = np.bincount(shard, minlength=shards)
    ends = np.cumsum(sizes)
    parts = [by_shard[end - size : end][:quota] for end, size in zip(ends, sizes, strict=True)]
    return np.concatenate(parts), np.cumsum([0, *(len(part) for part in parts)])


def merge_all(parts: Sequence[T], merge: Callable[[Sequence[T]], T], size: Callable[[T], int]) -> T:
    """Merge the shards' categories: all at once, or, above FLAT_MERGE, along a fixed binary tree of the shards."""
    level = list(parts)
    while len(level) > 1 and sum(map(size, level)) > FLAT_MERGE:
        level = [merge(level[k : k + 2]) for k in range(0, len(level), 2)]
    return merge(level)


class _Run(ABC):
    """What both algorithms share: the rows, their order, the files in the work folder, the phases."""

    dtype: type[np.generic]

    def __init__(
        self,
        vectors_path: Path,
        ids: Texts,
        settings: ClusterSettings,
        workdir: Path,
        executor: Executor,
        progress: Callable[[str, int, int], None],
        after_phase: Callable[[str], None] | None,
    ) -> None:
        self.vectors_path, self.ids, self.settings = vectors_path, ids, settings
        self.executor, self.progress, self.after_phase = executor, progress, after_phase
        self.workdir = workdir
        self.prepared_path = workdir / "art_prepared.npy"
        self.learnt_path = workdir / "art_learnt.npy"
        self.residual_path = workdir / "art_residual.npy"
        self.scaling_folder = workdir / "art_scaling"
        self.passes = 0
        self.tried: tuple[tuple[float, int], ...] = ()

    @abstractmethod
    def cluster(self, n_classes: int | None) -> Clustering:
        """All phases in order."""

    @contextmanager
    def phase(self, name: str, total: int = 1) -> Iterator[Callable[[], None]]:
        """Report the phase; the value is called once for each of its steps."""
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            self.progress(name, min(done, total), total)

        self.progress(name, 0, total)
        yield step
        if done != total:
            self.progress(name, total, total)
        if self.after_phase is not None:
            self.after_phase(name)

    def clean(self) -> None:
        """Remove what this run made in the work folder."""
        for path in (self.prepared_path, self.learnt_path, self.residual_path):
            path.unlink(missing_ok=True)
        for path in (*self.workdir.glob("art_prototypes_*.npy"), *self.scaling_folder.glob("scaling_*.npy")):
            path.unlink()
        if self.scaling_folder.exists():
            self.scaling_folder.rmdir()

    def ranges(self, n: int) -> list[tuple[int, int]]:
        """At most MAX_RANGES ranges of whole blocks; what is computed does not depend on them."""
        step = -(-n // (BLOCK * MAX_RANGES)) * BLOCK
        return [(start, min(n, start + step)) for start in range(0, n, step)]

    def prepare(self) -> None:
        """Order the rows, fit the scaling, write the prepared rows and those to learn."""
        vectors = np.load(self.vectors_path, mmap_mode="r")
        if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype.kind not in "iuf":
            raise DataError(
                str(self.vectors_path), got=f"{vectors.dtype} of shape {vectors.shape}",
                expected="a matrix of numbers with at least one row and one column",
            )  # fmt: skip
        if len(vectors) != len(self.ids):
            raise DataError("ids", got=f"{len(self.ids)} ids", expected=f"{len(vectors)}, one for each row")
        self.n = len(vectors)
        self.order_of_row = np.empty(self.n, np.int64)
        order = hash_order(hash_ids(self.ids, "order"), self.ids)
        self.order_of_row[order] = np.arange(self.n)
        shards, learn_rows = self.settings.shards, self.settings.learn_rows
        self.learnt, self.first = learning_rows(self.ids, shards, learn_rows, order)
        self.scaling = self.fit_scaling(vectors, np.sort(self.order_of_row[self.learnt]), order)
        self.scaling_folder.mkdir(parents=True, exist_ok=True)
        save_scaling(self.scaling_folder, self.scaling)
        shape = (self.n, self.scaling.dimension)
        np.lib.format.open_memmap(self.prepared_path, mode="w+", dtype=self.dtype, shape=shape).flush()
        where = (self.vectors_path, self.scaling_folder, self.prepared_path)
        done = self.executor.map(tasks.prepare, [(*where, *span) for span in self.ranges(self.n)])
        self.check_finite([bad for bad, _ in done])
        self.zero_rows = sum(empty for _, empty in done)
        np.save(self.learnt_path, np.load(self.prepared_path, mmap_mode="r")[self.learnt])

    @abstractmethod
    def fit_scaling(self, vectors: npt.NDArray[Any], learnt_places: I64, order: I64) -> Scaling:
        """The scaling of all rows; those to learn are order[learnt_places]."""

    def check_finite(self, bad_rows: Sequence[int]) -> None:
        bad = [row for row in bad_rows if row >= 0]
        if bad:
            raise DataError(
                f"vector of '{text_at(self.ids, min(bad))}'", got="NaN or infinite values", expected="finite numbers",
                remedy="remove or repair the row",
            )  # fmt: skip

    def shard_spans(self) -> list[tuple[int, int]]:
        return [(a, b) for a, b in zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True) if a < b]

    @contextmanager
    def stored(self, prototypes: npt.NDArray[Any]) -> Iterator[Path]:
        """Frozen prototypes as a file for the tasks, under a name that no earlier pass used."""
        self.passes += 1
        path = self.workdir / f"art_prototypes_{self.passes}.npy"
        np.save(path, prototypes)
        yield path
        path.unlink()

    def find_vigilance(
        self, n_classes: int | None, count: Callable[[float], tuple[int, bool]], possible: bool
    ) -> float:
        """The configured vigilance, or the one that the bisection finds on the rows to learn."""
        configured = self.settings.vigilance
        with self.phase("vigilance", MAX_STEPS if isinstance(configured, str) else 1) as step:
            if not isinstance(configured, str):
                return configured
            if not possible:
                return 0.0
            target = target_patterns(self.settings.n_patterns, self.n, n_classes)
            rho, self.tried = bisect(count, target, step)
            return rho

    def result(
        self,
        rho: float,
        pattern: npt.NDArray[np.int32],
        score: npt.NDArray[np.float32],
        outlier: npt.NDArray[np.bool_],
        prototypes: npt.NDArray[Any],
    ) -> Clustering:
        """Renumber by (size descending, prototype lexicographically); -1 joins pattern 0."""
        sizes = np.bincount(pattern[pattern >= 0], minlength=len(prototypes))
        order = np.lexsort((*prototypes.T[::-1], -sizes))
        number = np.empty(len(order), np.int32)
        number[order] = np.arange(len(order))
        return Clustering(
            algorithm=self.settings.algorithm,
            pattern=np.where(pattern >= 0, number[pattern], 0).astype(np.int32),
            score=score,
            outlier=outlier,
            prototypes=np.ascontiguousarray(prototypes[order]),
            vigilance=rho,
            tried=self.tried,
            scaling=self.scaling,
            zero_rows=self.zero_rows,
            choice=self.settings.choice,
        )


class _Settled(NamedTuple):
    """Prototypes in canonical order; winner, score and vigilance test of the rows; patterns before dissolving."""

    prototypes: npt.NDArray[np.int8]
    winner: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    passes: npt.NDArray[np.bool_]
    found: int


class _Spherical(_Run):
    dtype = np.int8

    def cluster(self, n_classes: int | None) -> Clustering:
        with self.phase("prepare"):
            self.prepare()
        possible = bool(np.load(self.learnt_path, mmap_mode="r").any())
        rho = self.find_vigilance(n_classes, self.count, possible)
        settled = self.settle(rho, self.prepared_path, self.order_of_row, self.phase)
        with self.phase("finish"):
            p, winner = settled.prototypes, settled.winner
            if not len(p):  # no row has a direction
                p = np.zeros((1, self.scaling.dimension), np.int8)
            # A row of zeros resembles nothing, so it lies below every vigilance but 0.
            outlier = np.where(winner >= 0, ~settled.passes, rho > 0)
            return self.result(rho, winner, settled.score, outlier, p)

    def count(self, rho: float) -> tuple[int, bool]:
        """Patterns of the rows to learn at rho; too high where the mean size is under twice the smallest allowed."""
        settled = self.settle(rho, self.learnt_path, self.order_of_row[self.learnt], _quietly)
        rows = int((settled.winner >= 0).sum())
        return len(settled.prototypes), rows < 2 * self.settings.min_size * settled.found

    def settle(self, rho: float, path: Path, order: I64, phase: Phase) -> _Settled:
        """Learn at rho, then settle the prepared rows of `path`, whose places in the hash order are `order`."""
        settings, n = self.settings, len(order)
        with phase("learn", 1):
            parts = self.learn(rho)
        with phase("merge", 1):
            p = _frozen(self.merge(parts, rho))
        with phase("assign", 2) as step:
            winner, _, passes, _ = self.assign(p, rho, path, n)
            step()
            # Without prototypes yet, every row is residual; learning skips those without direction.
            residual = np.flatnonzero(~passes & ((winner >= 0) | (len(p) == 0)))
            if len(residual):
                p = canonical(np.concatenate([p, _frozen(self.learn_residual(path, residual, order, rho))]))
            winner, score, passes, sums = self.assign(p, rho, path, n, with_sums=settings.recentre > 0)
        with phase("recentre", max(1, settings.recentre)) as step:
            for turn in range(settings.recentre):
                p = recentred(p, sums)
                winner, score, passes, sums = self.assign(p, rho, path, n, with_sums=turn + 1 < settings.recentre)
                step()
            found, kept = len(p), surviving(winner, len(p), settings.min_size)
            if not kept.all():
                p = p[kept]
                winner, score, passes, _ = self.assign(p, rho, path, n)
        return _Settled(p, winner, score, passes, found)

    def fit_scaling(self, vectors: npt.NDArray[Any], learnt_places: I64, order: I64) -> Scaling:
        rows = order[learnt_places]
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            bad = tasks.first_bad_row(vectors[part])
            self.check_finite([int(part[bad])] if bad >= 0 else [])
        return SphericalScaling.fit(vectors, rows)

    def learn(self, rho: float) -> list[Categories]:
        rho_shard = rho + self.settings.shard_tightening * (1 - rho)
        spans = [(self.learnt_path, *span, rho_shard) for span in self.shard_spans()]
        return self.executor.map(tasks.learn_spherical, spans)

    def merge(self, parts: Sequence[Categories], rho: float) -> Categories:
        return merge_all(parts, lambda some: spherical_art.merge(some, rho), lambda part: len(part.counts))

    def learn_residual(self, path: Path, residual: I64, order: I64, rho: float) -> Categories:
        """The residual rows of smallest hash, at most learn_rows, learn at rho in hash order."""
        chosen = residual[np.argsort(order[residual])][: self.settings.learn_rows]
        np.save(self.residual_path, np.load(path, mmap_mode="r")[chosen])
        return self.executor.map(tasks.learn_spherical, [(self.residual_path, 0, len(chosen), rho)])[0]

    def assign(
        self, p: npt.NDArray[np.int8], rho: float, path: Path, n: int, with_sums: bool = False
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.bool_], I64]:
        """Assign the n rows of `path` to the frozen p; sums are all-reduced exactly."""
        sums = np.zeros(p.shape, np.int64)
        if not len(p):
            return np.full(n, -1, np.int32), np.zeros(n, np.float32), np.zeros(n, np.bool_), sums
        with self.stored(p) as frozen:
            spans = [(path, frozen, *span, rho, with_sums) for span in self.ranges(n)]
            done = self.executor.map(tasks.assign_spherical, spans)
        for *_, part in done:
            if part is not None:
                sums += part
        winner, score, passes = (np.concatenate([part[k] for part in done]) for k in range(3))
        return winner, score, passes, sums


def _frozen(categories: Categories) -> npt.NDArray[np.int8]:
    p: npt.NDArray[np.int8] = canonical(spherical_art.freeze(categories.sums))
    return p


def recentred(p: npt.NDArray[np.int8], sums: I64) -> npt.NDArray[np.int8]:
    """Prototypes of the sums of all their rows; one whose rows are none or cancel stays where it is."""
    moved: npt.NDArray[np.int8] = canonical(
        np.where(sums.any(axis=1, keepdims=True), spherical_art.freeze(sums), p) if len(p) else p
    )
    return moved


def surviving(winner: npt.NDArray[np.int32], n: int, min_size: int) -> npt.NDArray[np.bool_]:
    """Which of n patterns have at least min_size rows; the largest (lowest index) if none has. (n,) bool."""
    sizes = np.bincount(winner[winner >= 0], minlength=n)
    kept: npt.NDArray[np.bool_] = sizes >= min_size
    if n and not kept.any():
        kept[np.argmax(sizes)] = True
    return kept


class _Fuzzy(_Run):
    dtype = np.float32

    def cluster(self, n_classes: int | None) -> Clustering:
        with self.phase("prepare"):
            self.prepare()
        rho = self.find_vigilance(n_classes, self.count, possible=True)
        w, winner, score = self.settle(rho, self.prepared_path, self.order_of_row, self.phase)
        with self.phase("recentre"):
            pass  # boxes that follow their rows' mean would no longer cover them
        with self.phase("finish"):
            return self.result(rho, winner, score, np.zeros(self.n, np.bool_), w)

    def count(self, rho: float) -> tuple[int, bool]:
        """Boxes that hold some of the rows to learn."""
        return len(self.settle(rho, self.learnt_path, self.order_of_row[self.learnt], _quietly)[0]), False

    def settle(
        self, rho: float, path: Path, order: I64, phase: Phase
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Learn at rho; boxes that hold rows, in canonical order, with winner and score of the rows of `path`."""
        with phase("learn", 1):
            parts = self.learn(rho)
        with phase("merge", 1):
            w = self.merge(parts, rho)
        with phase("assign", 2) as step:
            winner, score = self.assign(w, rho, path, len(order))
            step()
            residual = np.flatnonzero(winner < 0)
            if len(residual):
                w = canonical(np.concatenate([w, self.learn_residual(path, residual, order, rho)]))
                winner, score = self.assign(w, rho, path, len(order))
            used = np.bincount(winner, minlength=len(w)) > 0
            place = np.cumsum(used) - 1
        return w[used], place[winner].astype(np.int32), score

    def fit_scaling(self, vectors: npt.NDArray[Any], learnt_places: I64, order: I64) -> Scaling:
        done = self.executor.map(tasks.extremes, [(self.vectors_path, *span) for span in self.ranges(self.n)])
        self.check_finite([bad for bad, _, _ in done])
        return MinMaxScaling.combine([(low, high) for _, low, high in done])

    def learn(self, rho: float) -> list[Boxes]:
        rho_shard = rho + FUZZY_SHARD_TIGHTENING * (1 - rho)
        rest = (rho_shard, self.settings.choice, self.settings.learning_rate)
        return self.executor.map(tasks.learn_fuzzy, [(self.learnt_path, *span, *rest) for span in self.shard_spans()])

    def merge(self, parts: Sequence[Boxes], rho: float) -> npt.NDArray[np.float64]:
        rho_merge = rho + FUZZY_MERGE_TIGHTENING * (1 - rho)
        boxes = merge_all(
            parts,
            lambda some: fuzzy_art.merge(some, rho_merge, choice=self.settings.choice),
            lambda part: len(part.counts),
        )
        w: npt.NDArray[np.float64] = canonical(boxes.weights)
        return w

    def learn_residual(self, path: Path, residual: I64, order: I64, rho: float) -> npt.NDArray[np.float64]:
        """Boxes over all residual rows in hash order, merged like the shards': each covers its rows."""
        chosen = residual[np.argsort(order[residual])]
        rows = np.load(path, mmap_mode="r")
        shape = (len(chosen), rows.shape[1])
        residuals = np.lib.format.open_memmap(self.residual_path, mode="w+", dtype=rows.dtype, shape=shape)
        for start in range(0, len(chosen), BLOCK):
            residuals[start : start + BLOCK] = rows[chosen[start : start + BLOCK]]
        residuals.flush()
        task = (self.residual_path, 0, len(chosen), rho, self.settings.choice, 1.0)
        return self.merge(self.executor.map(tasks.learn_fuzzy, [task]), rho)

    def assign(
        self, w: npt.NDArray[np.float64], rho: float, path: Path, n: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        with self.stored(w) as frozen:
            spans = [(path, frozen, *span, rho, self.settings.choice) for span in self.ranges(n)]
            done = self.executor.map(tasks.assign_fuzzy, spans)
        return np.concatenate([winner for winner, _ in done]), np.concatenate([score for _, score in done])
