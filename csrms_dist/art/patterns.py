"""Visual patterns: the rows of a feature table, prepared, clustered on two levels, and numbered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csrms_dist.art.clustering import Clustering
from csrms_dist.art.fuzzy.learner import FuzzyLearner
from csrms_dist.art.rows import Rows, open_rows
from csrms_dist.art.scaling import (
    BLOCK,
    MinMaxScaling,
    Scaling,
    SphericalScaling,
    Transform,
    save_scaling,
    scaling_from,
)
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.spherical.learner import SphericalLearner
from csrms_dist.art.two_level import tasks
from csrms_dist.art.two_level.driver import Driver
from csrms_dist.art.two_level.executors import Executor
from csrms_dist.art.two_level.plan import TwoLevel
from csrms_dist.art.two_level.selection import RowKeys
from csrms_dist.art.two_level.steps import Arrays
from csrms_dist.art.two_level.vigilance import target_patterns
from csrms_dist.basics.arrays import I64
from csrms_dist.basics.hashing import Texts
from csrms_dist.errors import DataError


def cluster(
    vectors_path: Path,
    ids: Texts,
    settings: ClusterSettings,
    n_classes: int | None,
    work: Path,
    executor: Executor | None = None,
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
    after_phase: Callable[[str], None] = lambda phase: None,
    inputs: Any = None,
) -> Clustering:
    """Cluster the rows of a matrix (N, D) into patterns.

    Parameters
    ----------
    vectors_path: the matrix, a .npy file or Parquet with a column `vector`, which must not change meanwhile. ids: (N,)
        names of its rows, a sequence of str or Arrow strings; they decide each row's shard and place in the order, so
        the same rows under the same ids give the same patterns in whatever order they lie.
    n_classes: K, which sets the number of patterns aimed at; None if unknown.
    work: a folder that every worker can read and write. Finished steps are kept there, and the same call goes on from
        them after a stop; it is removed at the end. inputs: what names the rows, so that steps of others are not used.
    executor: who runs the tasks; this process by default.
    progress: called as progress(phase, done, total), phases as in sharding.PHASES. after_phase: called after each.

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
    vectors = open_rows(Path(vectors_path))
    keys = RowKeys(len(vectors), ids)
    plan = two_level(settings, len(vectors), n_classes)
    driver = Driver(plan, keys, Path(work), [settings.scaling, inputs], executor, progress, after_phase)
    with driver.phase("prepare") as each:
        prepared, scaling, zero_rows = _prepare(driver, Path(vectors_path), vectors, settings, each)
    found = driver.cluster(prepared)
    spherical = prepared_kind(settings) is SphericalScaling
    directed = found.pattern >= 0
    # A row of zeros resembles nothing, so it lies below every vigilance but 0; a box covers its rows.
    outlier = np.where(directed, ~found.passes, found.vigilance > 0) if spherical else ~found.passes
    driver.remove()
    return Clustering(
        algorithm=settings.algorithm,
        pattern=np.where(directed, found.pattern, 0).astype(np.int32),
        score=found.score,
        outlier=outlier,
        prototypes=found.prototypes,
        vigilance=found.vigilance,
        tried=found.tried,
        scaling=scaling,
        zero_rows=zero_rows,
        choice=settings.choice,
        moved=plan.recentre > 0 or bool(plan.kmeans),
    )


def two_level(settings: ClusterSettings, n_rows: int, n_classes: int | None) -> TwoLevel:
    """The settings as the driver takes them."""
    fuzzy = settings.algorithm == "fuzzy"
    recentre = settings.recentre if isinstance(settings.recentre, int) else 0 if fuzzy else 4
    return TwoLevel(
        learner=FuzzyLearner(settings.choice, settings.learning_rate, settings.adaptation.removeprefix("none"))
        if fuzzy
        else SphericalLearner(settings.shard_tightening),
        vigilance=None if isinstance(settings.vigilance, str) else settings.vigilance,
        n_patterns=target_patterns(settings.n_patterns, n_rows, n_classes),
        kmeans=settings.kmeans_start if settings.algorithm == "kmeans" else "",
        shards=settings.shards,
        learn_rows=settings.learn_rows,
        recentre=recentre,
        min_size=1 if fuzzy and not recentre else settings.min_size,
    )


def prepared_kind(settings: ClusterSettings) -> type[Scaling]:
    """The scaling that the algorithm's rows go through."""
    return MinMaxScaling if settings.algorithm == "fuzzy" else SphericalScaling


def _prepare(
    driver: Driver, path: Path, vectors: Rows, settings: ClusterSettings, each: Callable[..., None]
) -> tuple[Path, Scaling, int]:
    """Fit the scaling and write the prepared rows: (their file, the scaling, rows without a direction)."""
    prepared = driver.folder / "prepared.npy"

    def made() -> Arrays:
        chosen, _ = driver.select()
        scaling = _fitted(driver, path, vectors, driver.keys.in_order(chosen), settings)
        return {**scaling.arrays(), "zero_rows": np.array(prepare_rows(driver, path, vectors, scaling, prepared))}

    arrays = driver.steps.step("prepared", made)
    zero_rows = int(arrays.pop("zero_rows"))
    each()
    return prepared, scaling_from(arrays), zero_rows


def _fitted(driver: Driver, path: Path, vectors: Rows, learnt: I64, settings: ClusterSettings) -> Scaling:
    if settings.algorithm == "fuzzy" and settings.scaling == "min_max":
        done = driver.executor.map(tasks.extremes, [(path, *span) for span in driver.ranges(len(vectors))])
        check_finite(driver.keys, [bad for bad, _, _ in done])
        return MinMaxScaling.combine([(low, high) for _, low, high in done])
    for start in range(0, len(learnt), BLOCK):
        part = learnt[start : start + BLOCK]
        bad = tasks.first_bad_row(np.asarray(vectors[part]))
        check_finite(driver.keys, [int(part[bad])] if bad >= 0 else [])
    if settings.algorithm == "fuzzy":
        return MinMaxScaling.fit_quantiles(vectors, learnt)
    return SphericalScaling.fit(vectors, learnt)


def prepare_rows(driver: Driver, path: Path, vectors: Rows, transform: Transform, prepared: Path) -> int:
    """Write every row as the learner takes it; returns how many have no direction. Raises DataError, naming a row."""
    how: Transform | Path = transform
    if isinstance(transform, SphericalScaling | MinMaxScaling):  # arrays travel as files
        how = driver.folder / "scaling"
        how.mkdir(exist_ok=True)
        save_scaling(how, transform)
    shape = (len(vectors), transform.width(vectors.shape[1]))
    np.lib.format.open_memmap(prepared, "w+", np.dtype(transform.dtype), shape).flush()
    spans = driver.ranges(len(vectors))
    done = driver.executor.map(tasks.prepare, [(path, how, prepared, *span) for span in spans])
    check_finite(driver.keys, [bad for bad, _ in done])
    return sum(empty for _, empty in done)


def check_finite(keys: RowKeys, bad_rows: Sequence[int]) -> None:
    """Raise DataError naming the first of the bad rows; -1 stands for none."""
    bad = [row for row in bad_rows if row >= 0]
    if bad:
        raise DataError(
            f"vector of {keys.name(min(bad))}", got="NaN or infinite values", expected="finite numbers",
            remedy="remove or repair the row",
        )  # fmt: skip
