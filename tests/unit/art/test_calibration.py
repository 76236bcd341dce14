"""The calibration names a range of vigilance that works and says in words when the configured one does not."""

from __future__ import annotations

import numpy as np
import pytest

from csrms_dist.art.calibration import calibrate, calibrate_rows


def blobs(n=600, d=12, groups=10, noise=0.15, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(groups, d))[rng.integers(0, groups, n)] + noise * rng.normal(size=(n, d))


IDS = [f"row{i}" for i in range(600)]


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
def test_clusters_have_a_usable_range(algorithm):
    found = calibrate(blobs(), IDS, algorithm)
    assert 0 <= found.low < found.suggestion < found.high <= 1
    assert found.warning(found.suggestion) == ""
    assert "one pattern for nearly everything" in found.warning(found.low - 0.01)
    assert "nearly every row" in found.warning(min(1.0, found.high + 0.0001))
    assert f"{found.suggestion:.3f}" in found.report()
    assert list(found.nearest) == sorted(found.nearest)


def test_the_quantiles_are_those_of_the_pairs():
    X = blobs(40, 3)
    found = calibrate(X, IDS[:40], "fuzzy")
    x = X / np.linalg.norm(X, axis=1, keepdims=True)
    x = (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0))
    pairs = np.array([[1 - np.abs(a - b).mean() for b in x] for a in x])
    off = ~np.eye(40, dtype=bool)
    assert found.low == pytest.approx(np.median(pairs[off]), abs=2e-3)  # bytes
    assert found.high == pytest.approx(np.median(np.where(off, pairs, -1).max(axis=1)), abs=2e-3)


def test_prepared_rows_are_measured_as_they_are():
    q = np.array([[100, 0], [0, 100], [100, 1]], np.int8)
    found = calibrate_rows(q, "spherical")
    assert found.high == pytest.approx(100 / np.sqrt(100**2 + 1))
    near = calibrate_rows(np.array([[0, 255], [51, 255]], np.uint8), "fuzzy")
    assert near.high == near.low == pytest.approx(0.9)
    assert calibrate_rows(np.array([[0.0, 1.0], [0.2, 1.0]]), "fuzzy").high == pytest.approx(0.9)


def test_it_depends_on_the_ids_and_not_on_the_order():
    X, order = blobs(), np.random.default_rng(1).permutation(600)
    assert calibrate(X[order], [IDS[k] for k in order]) == calibrate(X, IDS)


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
def test_degenerate_features(algorithm):
    assert "badly" in calibrate(np.ones((20, 3)), IDS[:20], algorithm).warning(0.5)
    assert calibrate(np.ones((1, 3)), IDS[:1], algorithm).warning(0.5) == ""
