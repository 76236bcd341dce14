"""Spherical ART as an estimator: what it learns and predicts, against plain loops, and what it refuses."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_mutual_info_score

from csrms_dist.art import SphericalART
from csrms_dist.art.scaling import SphericalScaling
from csrms_dist.art.spherical.algorithm import freeze, quantise
from csrms_dist.errors import ConfigError, DataError
from tests.unit.art.spherical.loops import oracle_learn, rows_of

QUICK = settings(deadline=None, max_examples=60)
RHO = st.sampled_from([0.0, 0.3, 0.5, math.sqrt(0.5), 0.9, 0.99, 1.0])


@QUICK
@given(rows_of(), RHO, st.integers(0, 14))
def test_a_stream_can_be_cut_anywhere(q, rho, cut):
    whole = SphericalART(rho).fit(q)
    cut = min(cut, len(q) - 1)
    parts, labels = SphericalART(rho), []
    for part in (q[:cut], q[cut:]):
        if len(part):
            labels += parts.partial_fit(part).labels_.tolist()
    assert parts.sums_.tolist() == whole.sums_.tolist()
    assert labels == whole.labels_.tolist()
    assert parts.predict(q).tolist() == whole.predict(q).tolist()


@QUICK
@given(rows_of(), RHO)
def test_labels_are_the_online_winners_and_predictions_those_of_the_sums(q, rho):
    model = SphericalART(rho).fit(q)
    labels = []
    sums, _ = oracle_learn(q, rho, labels=labels)
    assert model.labels_.tolist() == labels
    expected = []
    for row in q.tolist():
        square, best, value = sum(x * x for x in row), -1, -math.inf
        for j, s in enumerate(sums):
            dot, length = sum(a * b for a, b in zip(row, s, strict=True)), float(sum(b * b for b in s))
            candidate = float(dot) / math.sqrt(max(length, 1.0))
            if candidate >= value:
                best, value, passes = j, candidate, float(dot) >= rho * math.sqrt(float(square) * length)
        expected.append(best if best >= 0 and passes and square else -1)
    assert model.predict(q).tolist() == expected


def test_floats_are_learnt_as_directions():
    X = np.random.default_rng(2).normal(size=(300, 5)) * np.random.default_rng(3).uniform(1e-3, 1e3, (300, 1))
    model = SphericalART(vigilance=0.8).fit(X)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    sums, labels = np.zeros((0, 5)), []
    for row in unit:  # no two cosines are near enough for rounding to decide
        cosines = sums @ row / np.linalg.norm(sums, axis=1)
        if len(sums) and cosines.max() >= 0.8:
            labels.append(int(cosines.argmax()))
            sums[labels[-1]] += row
        else:
            labels.append(len(sums))
            sums = np.concatenate([sums, [row]])
    assert model.labels_.tolist() == labels
    assert np.allclose(model.sums_, sums, atol=1e-5)
    assert model.prototypes_.dtype == np.float32
    assert np.allclose(model.choice_values(X), unit @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T, atol=1e-5)
    assert np.allclose(model.transform(X), 1 - model.choice_values(X))
    best = model.choice_values(X).max(axis=1)
    expected = np.where(best >= 0.8, model.choice_values(X).argmax(axis=1), -1)
    clear = np.abs(best - 0.8) > 1e-5
    assert (model.predict(X) == expected)[clear].all()
    assert SphericalART(0.8).fit(X * 1e-200).labels_.tolist() == labels  # only the direction counts


@pytest.mark.parametrize(("n", "dimension", "patterns"), [(1, 1, 1), (1025, 3, 1), (1500, 16, 2), (600, 40, 700)])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
def test_predictions_of_floats_are_the_loop_over_blocks(n, dimension, patterns, kind):
    """Rows that are signed multiples of axes: every cosine is 0, 1 or -1 exactly, and most rows have ties."""
    draw = np.random.default_rng(n)
    X, p = np.zeros((n, dimension), kind), np.zeros((patterns, dimension), np.float32)
    X[np.arange(n), draw.integers(0, dimension, n)] = draw.choice([-300, -1, 1, 7], n)
    p[np.arange(patterns), draw.integers(0, dimension, patterns)] = draw.choice([-1, 1], patterns)
    X[n // 2] = 0 if n > 1 else X[0]
    for rho in (0.0, 0.5, 1.0):
        model = SphericalART(rho).fit(np.ones((1, dimension), kind))
        model.prototypes_ = p
        found = model.predict(X)
        assert found.dtype == np.int32
        for row, label in zip(X.tolist(), found.tolist(), strict=True):
            cosines = [float(np.sign(sum(a * b for a, b in zip(row, other, strict=True)))) for other in p.tolist()]
            best = max(range(patterns), key=lambda j: (cosines[j], j))
            assert label == (best if any(row) and cosines[best] >= rho else -1)


def test_predictions_of_floats_are_those_of_float64():
    draw = np.random.default_rng(5)
    X, model = draw.normal(size=(2500, 24)), SphericalART(0.3)
    model.fit(X[:400])
    assert len(model.prototypes_) > 32
    p = model.prototypes_.astype(np.float64)
    cosines = X @ p.T / np.linalg.norm(X, axis=1, keepdims=True) / np.linalg.norm(p, axis=1)
    best = np.sort(cosines, axis=1)
    clear = (best[:, -1] - best[:, -2] > 1e-5) & (np.abs(best[:, -1] - 0.3) > 1e-5)
    assert clear.mean() > 0.99
    expected = np.where(best[:, -1] >= 0.3, cosines.argmax(axis=1), -1)[clear]
    assert set(expected.tolist()) > {-1, 0}
    for rows in (X, X.astype(np.float32), (X * 1e25).astype(np.float32), (X * 1e-25).astype(np.float32), X * 1e200):
        assert (model.predict(rows)[clear] == expected).all()
    assert (model.predict(np.asfortranarray(X))[clear] == expected).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_predict_names_the_row_that_is_not_finite(value, kind):
    X = np.ones((3000, 4), kind)
    model = SphericalART().fit(X[:2])
    X[2345, 3] = value
    with pytest.raises(DataError, match="row 2345"):
        model.predict(X)


def test_the_estimator_clones_and_pickles():
    X = np.random.default_rng(2).normal(size=(60, 5))
    model = SphericalART(vigilance=0.8).fit(X)
    assert clone(model).get_params() == {"vigilance": 0.8}
    assert not hasattr(clone(model), "sums_")
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert (again.predict(X) == model.predict(X)).all()
    assert (SphericalART(0.8).fit_predict(X) == model.labels_).all()
    assert (model.fit(X).counts_.sum()) == 60  # fit starts anew
    assert model.fit(quantise(X)).prototypes_.tolist() == freeze(model.sums_).tolist()


def test_bytes_and_floats_find_the_same_digits():
    X, y = load_digits(return_X_y=True)
    q = SphericalScaling.fit(X).transform_block(X)
    pairs = [adjusted_mutual_info_score(y, SphericalART(0.55).fit(rows).labels_) for rows in (q, q.astype(np.float32))]
    assert pairs[0] > 0.5
    assert pairs[1] == pytest.approx(pairs[0], abs=0.01)


def test_rows_of_zeros_learn_nothing():
    X = np.array([[0, 1], [1, 0], [1, 0], [0, 0]], np.int8)
    for rows in (X, X.astype(float)):
        model = SphericalART(0.9).fit(rows)
        assert model.counts_.tolist() == [1, 2]
        assert model.labels_.tolist() == [0, 1, 1, -1]
        assert model.predict(rows).tolist() == [0, 1, 1, -1]
        empty = SphericalART().fit(np.zeros((3, 2), rows.dtype))
        assert empty.labels_.tolist() == empty.predict(np.zeros((3, 2), rows.dtype)).tolist() == [-1, -1, -1]


def test_the_kind_of_rows_stays():
    with pytest.raises(DataError, match="int8 as in fit"):
        SphericalART().fit(np.eye(2, dtype=np.int8)).partial_fit(np.eye(2))
    with pytest.raises(DataError, match="another type than int8 as in fit"):
        SphericalART().fit(np.eye(2)).predict(np.eye(2, dtype=np.int8))


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), None, "auto", "much"])
def test_an_illegal_vigilance_is_refused_at_fit(value):
    with pytest.raises(ConfigError, match="vigilance"):
        SphericalART(vigilance=value).fit(np.eye(2))


@pytest.mark.parametrize(
    ("X", "what"),
    [(np.ones(3), "shape"), (np.ones((0, 3)), "shape"), (np.array([["a"]]), "numbers")]
    + [([[1.0], [value]], "row 1") for value in (np.inf, -np.inf, np.nan)],
)
def test_illegal_rows_are_refused(X, what):
    with pytest.raises(DataError, match=what):
        SphericalART().fit(X)


def test_predict_before_fit_and_another_width_are_refused():
    with pytest.raises(DataError, match="call fit"):
        SphericalART().predict(np.eye(2))
    with pytest.raises(DataError, match="expecting 2 features"):
        SphericalART().fit(np.eye(2)).predict(np.eye(3))
