"""Visual patterns: the rows of a feature table, prepared, clustered on two levels, and numbered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from csrms_dist.art.algorithm import algorithm_of
from csrms_dist.art.clustering import Clustering
from csrms_dist.art.placing import Placing
from csrms_dist.art.rows import open_rows
from csrms_dist.art.scaling import Scaling, scaling_from
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.two_level.driver import find_patterns
from csrms_dist.art.two_level.executors import Executor
from csrms_dist.art.two_level.plan import TwoLevel
from csrms_dist.art.two_level.prepare import Given
from csrms_dist.art.two_level.report import Progress, Report
from csrms_dist.art.two_level.selection import RowKeys
from csrms_dist.art.two_level.vigilance import target_patterns
from csrms_dist.art.two_level.work import Work
from csrms_dist.basics.hashing import Texts

OF_THE_CLASSES = 0.9
"""A grain of fewer patterns than this share of the classes tells too little of them."""


def cluster(
    vectors_path: Path,
    ids: Texts,
    settings: ClusterSettings,
    n_classes: int | None,
    work: Path,
    executor: Executor | None = None,
    progress: Progress | None = None,
    after_phase: Callable[[str], None] | None = None,
    inputs: Any = None,
    placing: Placing | None = None,
) -> Clustering:
    """Cluster the rows of a matrix (N, D) into patterns.

    Parameters
    ----------
    vectors_path: the matrix, a .npy file or Parquet with a column `vector`, which must not change meanwhile.
    ids: (N,) names of its rows, a sequence of str or Arrow strings; they decide each row's shard and place in the
        order, so the same rows under the same ids give the same patterns in whatever order they lie.
    n_classes: K, which sets the number of patterns aimed at; None if unknown.
    work: a folder that every worker can read and write. Finished steps are kept there, and the same call goes on from
        them after a stop; it is removed at the end.
    executor: who runs the tasks; this process by default.
    progress: called as progress(phase, done, total), phases as in `two_level.plan.PHASES`.
    after_phase: called after each phase.
    inputs: what names the rows, so that steps of others are not used.
    placing: what places rows, where the algorithm lets it (`Algorithm.on_device`); no result depends on it.

    Raises
    ------
    DataError: a matrix that is empty, of the wrong shape or type, or has NaN or infinite values (names the row's id).

    Notes
    -----
    Spherical ART (int8 directions): shards learn at rho + shard_tightening (1 - rho), their categories merge at rho,
    the rows that no prototype takes learn once more, prototypes are re-centred on all their rows `recentre` times,
    patterns below `min_size` are dissolved. Fuzzy ART (boxes): as above at rho + .35 (1 - rho) and rho + .1 (1 - rho),
    without re-centring and dissolving unless asked for, which gives up that each box covers its rows. Because of this
    tightening a fuzzy vigilance of 0 need not give one pattern.
    """
    path = Path(vectors_path)
    keys = RowKeys(len(open_rows(path)), ids)
    algorithm, plan = algorithm_of(settings.algorithm), two_level(settings, keys.n, n_classes)
    if placing is not None:
        learner = algorithm.placed_by(plan.learner, placing)
        plan = replace(plan, learner=learner, at_once=placing.at_once)
    named = [settings.algorithm, settings.scaling, inputs]
    running = Work(plan, keys, Path(work), named, executor, Report(progress, after_phase))

    def fit(given: Given) -> Scaling:
        return scaling_from(running.steps.step("fitted", lambda: algorithm.fit(settings, given).arrays()))

    found = find_patterns(running, path, fit)
    return Clustering(
        algorithm=settings.algorithm,
        pattern=found.labels,
        score=found.score,
        below_vigilance=found.below,
        prototypes=found.prototypes,
        vigilance=found.vigilance,
        tried=found.tried,
        grain=found.grain,
        scaling=found.transform,
        zero_rows=found.zero_rows,
        choice=settings.choice,
        moved=found.moved,
        cut=found.cut,
    )


def two_level(settings: ClusterSettings, n_rows: int, n_classes: int | None) -> TwoLevel:
    """The settings as a plan for the two levels."""
    algorithm = algorithm_of(settings.algorithm)
    learner, kmeans = algorithm.learner(settings), algorithm.kmeans(settings)
    free = settings.vigilance == settings.n_patterns == "auto" and kmeans != "random"
    recentre = settings.recentre if isinstance(settings.recentre, int) else algorithm.recentre
    return TwoLevel(
        learner=learner,
        vigilance=None if isinstance(settings.vigilance, str) else settings.vigilance,
        n_patterns=target_patterns(settings.n_patterns, n_rows, n_classes),
        kmeans=kmeans,
        shards=settings.shards,
        learn_rows=settings.learn_rows,
        recentre=recentre,
        min_size=1 if learner.covers and not recentre else settings.min_size,
        asked=not isinstance(settings.n_patterns, str),
        grain=max(1, round(OF_THE_CLASSES * (n_classes or 0))) if free else 0,
    )
