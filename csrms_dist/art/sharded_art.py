"""Sharded clustering as an estimator: any of the single ones, on two levels, over rows that need not fit in memory."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from warnings import warn

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin

from csrms_dist.art.calibration import one_for_all
from csrms_dist.art.fuzzy.adaptive_vigilance import AdaptiveVigilanceART, AdaptiveVigilanceSettings
from csrms_dist.art.fuzzy.estimator import FuzzyART
from csrms_dist.art.fuzzy.learner import FuzzyLearner
from csrms_dist.art.inputs import (
    check_columns,
    check_fitted,
    check_vigilance,
    kept_on_failure,
    parameter,
    rows_to_learn,
    rows_to_place,
)
from csrms_dist.art.rows import Rows, open_rows
from csrms_dist.art.spherical.estimator import SphericalART
from csrms_dist.art.spherical.kmeans import SphericalKMeans
from csrms_dist.art.spherical.learner import SphericalLearner
from csrms_dist.art.two_level.driver import find_patterns
from csrms_dist.art.two_level.executors import Executor
from csrms_dist.art.two_level.incremental import Drift, Growth, grown
from csrms_dist.art.two_level.learner import Assigned, Learner
from csrms_dist.art.two_level.placement import placed, transformed
from csrms_dist.art.two_level.plan import TwoLevel
from csrms_dist.art.two_level.selection import RowKeys
from csrms_dist.art.two_level.work import Work
from csrms_dist.basics.arrays import F32, I32, Bools, Matrix
from csrms_dist.basics.hashing import Texts
from csrms_dist.errors import ConfigError, DataError

Single = SphericalART | FuzzyART | AdaptiveVigilanceART | SphericalKMeans


class ShardedART(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Two-level clustering over virtual shards, for a single estimator of this package.

    Each row belongs to a virtual shard by a hash of its id. From each shard a few rows learn in hash order, the shards'
    categories merge, the merged ones are frozen, and every row is assigned; rows that none takes learn once more.
    Shards, not workers, decide the result: it does not depend on who computes what, or in which order.

    Parameters
    ----------
    estimator: SphericalART, FuzzyART, AdaptiveVigilanceART or SphericalKMeans; its parameters count, it is not fitted.
    n_shards: virtual shards.
    learn_rows: rows learnt in all; the number of patterns grows with it, and the others are assigned.
    n_patterns: how many patterns to aim at, by a search for the vigilance; None takes the estimator's vigilance.
    recentre: how many times patterns move to the mean of their rows; more even sizes, but boxes cover no longer.
    min_size: patterns with fewer rows are dissolved. Boxes that cover their rows allow 1 alone.
    executor: who runs the tasks (`two_level.executors.ThreadExecutor(2)`, Ray actors); this process by default.
    folder: where work is kept while fit runs, so that the same fit goes on after a stop; a temporary folder by default.

    Attributes
    ----------
    labels_: (N,) int32, the pattern of each row, numbered by (size descending, prototype); nothing is left over.
    scores_: (N,) float32, cosine or choice value. below_vigilance_: (N,) bool, resemblance below the vigilance.
    prototypes_: (J, D) int8 directions or (J, 2D) boxes. sizes_: (J,) int64. vigilance_: the value used.
    tried_: (vigilance, patterns) of each step of the search. n_features_in_: D. drift_: after partial_fit.

    Notes
    -----
    Spherical rows are int8; other numbers are L2-normalised and rounded, without centring. Fuzzy rows are uint8
    (value / 255), which give the same bytes on every machine, or floats in [0, 1]. See docs/clustering.md.

    Examples
    --------
    >>> X = np.repeat(np.eye(3), 4, axis=0)
    >>> ShardedART(SphericalART(vigilance=0.9), n_shards=2).fit(X).sizes_
    array([4, 4, 4])
    """

    def __init__(
        self,
        estimator: Any = None,
        n_shards: int = 4,
        *,
        learn_rows: int = 20_000,
        n_patterns: int | None = None,
        recentre: int = 0,
        min_size: int = 1,
        executor: Executor | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_shards = n_shards
        self.learn_rows = learn_rows
        self.n_patterns = n_patterns
        self.recentre = recentre
        self.min_size = min_size
        self.executor = executor
        self.folder = folder

    def fit(self, X: npt.ArrayLike | str | Path, y: object = None, *, ids: Texts | None = None) -> Self:
        """Cluster X (N, D): an array, or the path of a .npy file or of Parquet with a column `vector`.

        ids: (N,) distinct names, str, Arrow strings or whole numbers; the row number by default, of files too, whose
        other columns are not read. The same rows under the same ids give the same patterns in whatever order they lie.
        Raises ConfigError or DataError; what an earlier fit has learnt is then still there.
        """
        plan = self._plan()
        kept = self._work_folder()
        try:
            with kept_on_failure(self, anew=True):
                self._fit(X, ids, plan, kept)
        finally:
            if self.folder is None:
                shutil.rmtree(kept, ignore_errors=True)
        shutil.rmtree(kept / "rows", ignore_errors=True)
        return self

    def _fit(self, X: Any, ids: Any, plan: TwoLevel, kept: Path) -> None:
        source = Path(X) if isinstance(X, str | Path) else rows_to_learn(self, X)
        path, facts = _on_disk(source, kept / "rows")
        rows = open_rows(path)
        if isinstance(source, Path):
            check_columns(self, rows, reset=True)
        keys = RowKeys(len(rows), ids)
        keys.refuse_repeated()
        work = Work(plan, keys, kept / "steps", [facts, _digest(keys.ids)], self.executor)
        found = find_patterns(work, path, lambda given: plan.learner.transform(given.rows.dtype))
        self.labels_: I32 = found.labels
        self.scores_: F32 = found.score
        self.below_vigilance_: Bools = found.below
        self.prototypes_ = found.prototypes
        self.sizes_ = np.bincount(self.labels_, minlength=len(found.prototypes)).astype(np.int64)
        self.vigilance_, self.tried_ = found.vigilance, found.tried
        self._moved = found.moved
        if plan.vigilance is None and plan.misses(len(self.sizes_)):
            warn(
                f"{len(self.sizes_)} patterns were found, not {plan.n_patterns}: the nearest number that these rows, "
                f"of which equal ones stay together, learn_rows={plan.learn_rows} and min_size={plan.min_size} allow",
                stacklevel=3,
            )
        if plan.vigilance is not None and isinstance(plan.learner, SphericalLearner):
            share = float(self.sizes_[0] / len(rows))
            if sentence := one_for_all(rows[: min(len(rows), 2048)], share, plan.vigilance, type(self).__name__):
                warn(sentence, stacklevel=3)

    def predict(self, X: npt.ArrayLike | str | Path, *, nearest: bool = False) -> I32:
        """The pattern of each row of an array or a file, (M,) int32; -1 where the vigilance is not reached.

        nearest: the nearest then. Where fit saw no row with a direction, no row reaches any vigilance.
        """
        winner, _, passes = self._assigned(X, "predict", nearest)
        return np.where(passes | nearest, winner, -1).astype(np.int32)

    def score_samples(self, X: npt.ArrayLike | str | Path) -> F32:
        """How much each row resembles its nearest pattern, (M,) float32: the cosine, or the choice value."""
        return self._assigned(X, "score_samples", True)[1]

    def partial_fit(self, X: npt.ArrayLike | str | Path, y: object = None, *, ids: Texts | None = None) -> Self:
        """Add rows without moving what is there.

        They join the patterns that take them; the rest learn at the vigilance and found patterns, which are numbered
        after the others. Afterwards labels_, scores_ and below_vigilance_ are those of the new rows, and drift_ says
        how the new rows differ from the old. Before any fit it is fit. The new rows, prepared, must fit in memory.
        """
        if not hasattr(self, "prototypes_"):
            return self.fit(X, ids=ids)
        plan, source = self._plan(), self._known(X, "partial_fit")
        rows = np.concatenate(list(self._prepared(source, plan.learner)))
        before = Growth(self.prototypes_, self.sizes_, float(self.below_vigilance_.mean()), float(self.scores_.mean()))
        found, self.drift_ = grown(
            plan.learner, before, rows, ids, self.vigilance_, moved=self._moved, learn_rows=plan.learn_rows,
            min_size=plan.min_size,
        )  # fmt: skip
        self.prototypes_, self.sizes_ = found.prototypes, found.sizes
        self.labels_, self.scores_, self.below_vigilance_ = found.pattern, found.score, found.below
        return self

    drift_: Drift

    def _plan(self) -> TwoLevel:
        """The parameters, checked."""
        single = SphericalART() if self.estimator is None else self.estimator
        if not isinstance(single, Single):
            known = "SphericalART, FuzzyART, AdaptiveVigilanceART or SphericalKMeans"
            raise ConfigError("ShardedART: estimator", got=type(single).__name__, expected=known)

        if self.executor is not None and not callable(getattr(self.executor, "map", None)):
            raise ConfigError(
                "ShardedART: executor", got=" ".join(repr(self.executor).split())[:80],
                expected="an executor, such as art.two_level.executors.ThreadExecutor(2), or None",
            )  # fmt: skip
        n_patterns = None
        if self.n_patterns is not None:
            n_patterns = int(parameter(self, "n_patterns", also=" or None"))
        kmeans, vigilance = "", None
        if isinstance(single, SphericalKMeans):
            n_patterns = n_patterns or int(parameter(single, "n_clusters", field="n_patterns"))
            kmeans = parameter(single, "start", field="kmeans_start")
        elif n_patterns is None:
            vigilance = check_vigilance(single)
        recentre, min_size = int(parameter(self, "recentre")), int(parameter(self, "min_size"))
        learner = _learner(single)
        if learner.covers and min_size > 1 and not recentre:
            raise ConfigError(
                "ShardedART: min_size", got=str(min_size), expected="1, because boxes cover their rows",
                remedy="set recentre above 0, which gives that up",
            )  # fmt: skip
        shards, learn_rows = int(parameter(self, "n_shards", field="shards")), int(parameter(self, "learn_rows"))
        return TwoLevel(learner, vigilance, n_patterns or 1, kmeans, shards, learn_rows, recentre, min_size, asked=True)

    def _work_folder(self) -> Path:
        if self.folder is None:
            return Path(tempfile.mkdtemp(prefix="art-"))
        try:
            folder = Path(self.folder)
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, TypeError) as error:
            got = f"'{self.folder}' ({getattr(error, 'strerror', None) or error})"
            expected = "the path of a folder that may be written, or None"
            raise ConfigError("ShardedART: folder", got=got, expected=expected) from error
        return folder

    def _known(self, X: Any, method: str) -> Rows:
        """The rows of an array or a file, with as many columns and of the kind as in fit."""
        rows: Rows
        if isinstance(X, str | Path):
            check_fitted(self, method)
            rows = open_rows(Path(X))
            check_columns(self, rows, reset=False)
        else:
            rows = rows_to_place(self, X, method)
        boxes, bytes_known = self.prototypes_.dtype != np.int8, self.prototypes_.dtype == np.uint8
        if boxes and (rows.dtype == np.uint8) != bytes_known:
            kind = "uint8" if bytes_known else "numbers in [0, 1]"
            raise DataError("X", got=str(rows.dtype), expected=f"{kind} as in fit", remedy="convert the rows as then")
        return rows

    def _prepared(self, rows: Rows, learner: Learner) -> Iterator[Matrix]:
        """The rows block by block as the learner takes them."""
        return transformed(rows, learner.transform(self.prototypes_.dtype))

    def _assigned(self, X: Any, method: str, nearest: bool) -> Assigned:
        x, learner = self._known(X, method), _learner(self.estimator)
        found = placed(
            learner, self._prepared(x, learner), self.prototypes_, self.vigilance_, moved=self._moved or nearest
        )
        return found._replace(winner=np.maximum(found.winner, 0)) if nearest else found


def _learner(single: Single | None) -> Learner:
    if single is None or isinstance(single, SphericalART | SphericalKMeans):
        return SphericalLearner()
    choice, rate = (parameter(single, name) for name in ("choice", "learning_rate"))
    if isinstance(single, AdaptiveVigilanceART):
        names = ("kind", "sigma", "delta")
        adaptation = {name: parameter(single, name, table=AdaptiveVigilanceSettings) for name in names}
        return FuzzyLearner(choice, rate, **adaptation)
    return FuzzyLearner(choice, rate)


def _on_disk(source: Path | Matrix, folder: Path) -> tuple[Path, Any]:
    """The rows as a file, and what names them."""
    if isinstance(source, Path):
        files = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
        return source, [str(source), stats]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.npy"
    contiguous = np.ascontiguousarray(source)
    digest = hashlib.blake2b(contiguous.data.cast("B"), digest_size=16).hexdigest()
    if not (path.exists() and (folder / digest).exists()):
        np.save(path, contiguous)
        (folder / digest).touch()
    return path, [digest, str(source.dtype), list(source.shape)]


def _digest(ids: Any) -> str:
    if ids is None:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for name in ids:
        digest.update(f"{name}\0".encode())
    return digest.hexdigest()
