"""A saved clustering is the same clustering, and places rows that it has not seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from csrms_dist.art import Clustering
from csrms_dist.errors import DataError
from tests.unit.art.runs import run, saved

DIGITS = load_digits().data.astype(np.float32)


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
def test_a_saved_clustering_is_the_same_and_places_unseen_rows(algorithm, tmp_path):
    X = DIGITS
    result = run(X[:900], n_classes=10, algorithm=algorithm)
    result.save(tmp_path)
    again = Clustering.load(tmp_path)
    for field in dataclasses.fields(Clustering):
        if field.name != "scaling":
            assert np.array_equal(getattr(again, field.name), getattr(result, field.name)), field.name
    assert saved(again) == saved(result)
    pattern, score = again.predict(X[900:])
    assert (pattern == result.predict(X[900:])[0]).all()
    assert pattern.min() >= 0
    assert pattern.max() < result.n_patterns
    assert np.isfinite(score).all()
    far = np.random.default_rng(0).normal(size=(9000, 64))  # more than a block, and like nothing seen
    assert (again.predict(far)[0] >= 0).all()
    assert (again.predict(np.zeros((2, 64)))[0] >= 0).all()
    with pytest.raises(DataError, match="vector 1"):
        again.predict(np.array([[0.0] * 64, [np.nan] * 64]))


def test_loading_what_is_not_there_names_it(tmp_path):
    with pytest.raises(DataError, match=r"clustering\.json"):
        Clustering.load(tmp_path)


def test_vectors_of_another_width_and_repeated_ids_are_refused(tmp_path):
    X = DIGITS[:300]
    result = run(X, [f"row{i}" for i in range(300)], vigilance=0.6)
    for call in (lambda rows: result.predict(rows), lambda rows: result.extended(rows, ["a", "b"])):
        with pytest.raises(DataError, match="vectors: got 5 columns, expected 64"):
            call(X[:2, :5])
        with pytest.raises(DataError, match="of shape"):
            call(X[0])
    with pytest.raises(DataError, match="'a' twice"):
        result.extended(X[:2], ["a", "a"])
    assert (result.predict(X[:5].tolist())[0] == result.predict(X[:5])[0]).all()
    result.save(str(tmp_path / "kept"))
    assert saved(Clustering.load(str(tmp_path / "kept"))) == saved(result)
