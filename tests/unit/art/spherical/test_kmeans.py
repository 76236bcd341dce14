"""k-means on the sphere against plain loops, and as an estimator."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.datasets import load_digits

from csrms_dist.art import SphericalKMeans
from csrms_dist.art.scaling import SphericalScaling
from csrms_dist.errors import ConfigError, DataError

SMALL = hnp.arrays(np.int8, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(-5, 5))


@settings(deadline=None, max_examples=60)
@given(SMALL, st.integers(1, 6))
def test_every_row_is_with_the_nearest_and_every_prototype_is_its_rows_direction(q, n):
    found = SphericalKMeans(n).fit(q)
    assert len(found.prototypes_) <= n
    wide, p = q.astype(np.float64), found.prototypes_.astype(np.float64)
    for row, label in zip(wide, found.labels_, strict=True):
        if not row.any():
            assert label == -1
            continue
        values = (p @ row) / np.sqrt((p * p).sum(axis=1))
        assert values[label] == values.max()
    if found.n_iter_ < 100:
        for k, prototype in enumerate(found.prototypes_):
            total = q[found.labels_ == k].astype(np.int64).sum(axis=0)
            if total.any():
                assert prototype.tolist() == np.rint(127 * total / np.abs(total).max()).tolist()
    assert found.predict(q).tolist() == found.labels_.tolist()


@pytest.mark.parametrize("start", ["random", "art"])
def test_it_finds_the_digits(start):
    X, y = load_digits(return_X_y=True)
    q = SphericalScaling.fit(X).transform_block(X)
    found = SphericalKMeans(60, start).fit(q)
    assert abs(len(found.prototypes_) - 60) <= 6
    assert sum(np.bincount(y[found.labels_ == k]).max() for k in range(60) if (found.labels_ == k).any()) > 0.9 * len(y)
    assert 1 < found.n_iter_ <= 100
    assert found.transform(q).argmin(axis=1).tolist() == found.labels_.tolist()


def test_it_is_an_estimator():
    X = np.random.default_rng(0).normal(size=(40, 3))
    found = SphericalKMeans(4).fit(X)
    assert clone(found).get_params() == {"n_clusters": 4, "start": "random"}
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert again.predict(X).tolist() == found.fit_predict(X).tolist()
    with pytest.raises(ConfigError, match="SphericalKMeans: n_clusters: got 0"):
        SphericalKMeans(0).fit(X)
    with pytest.raises(ConfigError, match="SphericalKMeans: start: got 'best'"):
        SphericalKMeans(2, "best").fit(X)
    with pytest.raises(DataError, match="expecting 3 features"):
        found.predict(X[:, :2])
    with pytest.raises(DataError, match="call fit first"):
        SphericalKMeans(2).predict(X)
