"""Outliers: the distances by plain loops, the cut on planted groups, and what must stand out whatever the groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from csrms_dist.art import outliers, surroundings
from csrms_dist.art.clustering import Clustering
from csrms_dist.art.outliers import Fences, Outliers, find_outliers, nearest
from csrms_dist.art.patterns import cluster
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.two_level.executors import ThreadExecutor
from csrms_dist.basics.arrays import F32, Matrix
from csrms_dist.errors import DataError

Found = Callable[..., tuple[Clustering, Outliers]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """The patterns and outliers of some vectors."""

    def run(vectors: Matrix, executor: ThreadExecutor | None = None, **settings: object) -> tuple[Clustering, Outliers]:
        path = tmp_path / "vectors.npy"
        np.save(path, np.asarray(vectors, np.float32))
        ids = [f"row {n}" for n in range(len(vectors))]
        clustering = cluster(path, ids, ClusterSettings(**settings), None, tmp_path / "work")  # type: ignore[arg-type]
        return clustering, find_outliers(path, clustering, executor)

    return run


def groups(seed: int, n: int, k: int, dimension: int, spread: float | np.ndarray = 0.2, shift: float = 0.0) -> F32:
    """n rows of k Gaussian groups; spread: of all, or of each."""
    rng = np.random.default_rng(seed)
    middles, y = rng.normal(size=(k, dimension)) + shift, rng.integers(0, k, n)
    rows = middles[y] + np.broadcast_to(spread, k)[y][:, None] * rng.normal(size=(n, dimension))
    return rows.astype(np.float32)


def fifth(rows: F32, row: int) -> float:
    """The distance to the fifth nearest of the other distinct rows, by a plain loop."""
    unit = [np.asarray(x, np.float64) / (np.linalg.norm(np.asarray(x, np.float64)) or 1.0) for x in rows]
    others = {x.tobytes(): u for x, u in zip(rows, unit, strict=True) if x.tobytes() != rows[row].tobytes()}
    distances = sorted(float(np.linalg.norm(unit[row] - u)) for u in others.values())
    return distances[min(5, len(distances)) - 1] if distances else 0.0


def test_distances_equal_a_plain_loop_where_every_pattern_is_searched(found: Found) -> None:
    rows = groups(0, 60, 3, 4)
    rows[40:50] = rows[0]  # equal rows count as one, and pass over each other
    clustering, far = found(rows, n_patterns=4)
    assert clustering.n_patterns <= outliers.PATTERNS
    assert far.distance.tolist() == pytest.approx([fifth(rows, n) for n in range(60)], abs=1e-6)
    assert far.searched.sum() == 50


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_rows_have_the_distance_to_the_farthest(found: Found, n: int) -> None:
    rows = groups(1, n, 1, 3)
    _, far = found(rows, n_patterns=1)
    assert far.distance.tolist() == pytest.approx([fifth(rows, k) for k in range(n)], abs=1e-6)
    assert np.isfinite(far.distance).all()


def test_equal_rows_have_no_distance_and_are_no_outliers(found: Found) -> None:
    _, far = found(np.ones((30, 5)))
    assert not far.distance.any()
    assert not far.outlier.any()


PLANTED = {
    "tight": groups(0, 1500, 10, 32),
    "loose": groups(1, 1500, 20, 32, 0.6),
    "few dimensions": groups(2, 1000, 5, 3),
    "many dimensions": groups(3, 1000, 5, 200, 0.5),
    "far from the origin": groups(4, 1500, 10, 32, 0.3, shift=3.0),
    "one group": groups(5, 1000, 1, 16, 1.0),
    "uneven spreads": groups(6, 1500, 10, 16, 0.1 * np.geomspace(1, 10, 10)),
    "one loose group": groups(7, 1500, 20, 32, np.r_[np.full(19, 0.15), 0.45]),
    "a cube": np.random.default_rng(8).random((1000, 10)),
    "heavy tails": groups(9, 1000, 1, 20, 0.0) + np.random.default_rng(9).exponential(size=(1000, 20)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_of_planted_groups_hardly_a_row_stands_out(found: Found, name: str) -> None:
    assert found(PLANTED[name])[1].outlier.mean() <= 0.01


@pytest.mark.parametrize("name", ["tight", "many dimensions", "far from the origin", "a cube"])
def test_two_equal_rows_far_from_all_groups_stand_out(found: Found, name: str) -> None:
    rows = PLANTED[name]
    far = -3 * rows.mean(axis=0) + np.random.default_rng(1).normal(size=(1, rows.shape[1])) * 3
    _, beside = found(np.concatenate([rows, far, far]))
    assert beside.outlier[-2:].all()
    assert beside.outlier[:-2].mean() <= 0.01


def test_noise_and_a_blank_image_stand_out_among_digits(found: Found) -> None:
    images = load_digits().data
    strange = np.stack([np.random.default_rng(0).integers(0, 17, 64), np.full(64, 16)])
    clustering, far = found(np.concatenate([images, strange]))
    assert far.outlier[-2:].all()
    assert far.outlier[:-2].mean() < 0.01
    assert (far.distance[-2:] > far.distance[:-2].max()).all()
    # That a row resembles its pattern less than the vigilance says little: other rows do, too.
    assert clustering.below_vigilance.sum() > 2


def test_a_pair_of_near_copies_stands_out(found: Found) -> None:
    rows = groups(0, 1000, 10, 32)
    odd = np.random.default_rng(5).normal(size=(1, 32)) * 2
    _, far = found(np.concatenate([rows, odd, odd + 1e-4]))
    assert far.outlier[-2:].all()


@pytest.mark.parametrize("algorithm", ["spherical", "kmeans", "fuzzy"])
def test_workers_and_the_order_of_rows_change_nothing(found: Found, algorithm: str) -> None:
    rows = groups(3, 400, 6, 12)
    one, two = found(rows, algorithm=algorithm)[1], found(rows, ThreadExecutor(3), algorithm=algorithm)[1]
    assert one.distance.tobytes() == two.distance.tobytes()
    assert (one.outlier == two.outlier).all()
    assert one.fences == two.fences


def test_of_a_large_pattern_some_rows_are_searched(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = groups(0, 600, 3, 16)
    _, every = found(rows, n_patterns=3)
    monkeypatch.setattr(outliers, "PATTERN_ROWS", 50)
    clustering, some = found(rows, n_patterns=3)
    assert (np.bincount(clustering.pattern[some.searched]) == np.minimum(clustering.sizes(), 50)).all()
    assert (some.distance >= every.distance - 1e-6).all()
    assert some.outlier.mean() <= 0.01


def test_new_rows_are_measured_as_the_old_ones_were(found: Found, tmp_path: Path) -> None:
    rows = groups(0, 700, 5, 16)
    clustering, far = found(rows)
    pattern, _ = clustering.predict(rows)
    distance, outlier = far.of_new(rows, pattern, rows, clustering)
    assert distance.tolist() == pytest.approx(far.distance.tolist(), abs=1e-6)
    assert (outlier == far.outlier).all()
    strange = np.random.default_rng(2).normal(size=(3, 16)).astype(np.float32) * 4
    assert far.of_new(strange, clustering.predict(strange)[0], rows, clustering)[1].all()
    same = groups(0, 1400, 5, 16)[700:]  # of the same groups
    assert far.of_new(same, clustering.predict(same)[0], rows, clustering)[1].mean() <= 0.02
    with pytest.raises(DataError, match="training vectors: got 699 rows, expected 700"):
        far.of_new(rows, pattern, rows[1:], clustering)
    clustering.save(tmp_path)
    far.save(tmp_path)
    again = Outliers.load(tmp_path)
    assert again.fences == far.fences
    assert (again.distance == far.distance).all()
    (tmp_path / "outliers.json").unlink()
    with pytest.raises(DataError, match="cluster again"):
        Outliers.load(tmp_path)


def test_a_row_beside_copies_of_one_image_is_no_outlier() -> None:
    """The five nearest of the last row are as good as equal: its distance is usual, only theirs is not."""
    rng = np.random.default_rng(0)
    distance, typical = (rng.uniform(0.3, 0.4, 100).astype(np.float32) for _ in range(2))
    distance[-1], typical[-1] = 0.35, 1e-7
    fences = Fences.of(distance, typical)
    assert not fences.exceeded(distance, typical)[-1]
    assert fences.exceeded(np.float32([3.0]), np.float32([0.3]))[0]


def test_nearest_without_candidates_is_nothing() -> None:
    distance, places = nearest(np.ones((2, 3)), np.ones((0, 3)))
    assert not distance.any()
    assert (places == -1).all()


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
def test_the_patterns_around_a_row_are_those_of_largest_cosine(
    found: Found, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = groups(2, 300, 6, 10)
    clustering, _ = found(rows, algorithm=algorithm)
    whole = list(surroundings.Surroundings(clustering).of_rows(rows, 4))
    monkeypatch.setattr(surroundings, "_CELLS", 7 * clustering.n_patterns)
    near, cosine = (np.concatenate(parts) for parts in zip(*whole, strict=True))
    again = [np.concatenate(p) for p in zip(*surroundings.Surroundings(clustering).of_rows(rows, 4), strict=True)]
    assert (near == again[0]).all()
    assert cosine == pytest.approx(again[1], abs=1e-6)
    prepared = clustering.scaling.transform_block(rows).astype(np.float64)
    middles = clustering.prototypes.astype(np.float64)
    if algorithm == "fuzzy":
        middles = (middles[:, :10] + 255 - middles[:, 10:]) / 2
        centre = (middles * clustering.sizes()[:, None]).sum(axis=0) / len(rows)
        prepared, middles = prepared - centre, middles - centre
    for n in range(len(rows)):
        full = [float(prepared[n] @ m / np.linalg.norm(prepared[n]) / np.linalg.norm(m)) for m in middles]
        assert cosine[n] == pytest.approx(sorted(full, reverse=True)[:4], abs=1e-5)
        assert [full[k] for k in near[n]] == pytest.approx(cosine[n].tolist(), abs=1e-5)
