"""Spherical ART against plain loops over Python integers, and the properties of its pure functions."""

from __future__ import annotations

import doctest
import importlib
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_mutual_info_score

from csrms_dist.art import SphericalART, kernels
from csrms_dist.art.scaling import SphericalScaling
from csrms_dist.art.spherical.algorithm import (
    Categories,
    assign,
    freeze,
    joins,
    learn,
    learn_with_labels,
    merge,
    quantise,
)
from csrms_dist.errors import ConfigError, DataError

QUICK = settings(deadline=None, max_examples=60)
RHO = st.sampled_from([0.0, 0.3, 0.5, math.sqrt(0.5), 0.9, 0.99, 1.0])


def rows_of(low=-4, high=4, max_rows=14):
    shape = st.tuples(st.integers(1, max_rows), st.integers(1, 4))
    return shape.flatmap(lambda s: hnp.arrays(np.int8, s, elements=st.integers(low, high)))


def oracle_learn(inputs, rho, weights=None, labels=None):
    """ART 2-A with sums, one row at a time, in Python's unbounded integers."""
    sums, counts = [], []
    labels = [] if labels is None else labels
    for i, v in enumerate(inputs):
        v = [int(x) for x in v]
        vv = sum(x * x for x in v)
        if vv == 0:
            labels.append(-1)
            continue
        best, best_value, best_dot = None, None, None
        for j, s in enumerate(sums):
            dot = sum(a * b for a, b in zip(v, s, strict=True))
            value = float(dot) / math.sqrt(float(sum(b * b for b in s)))
            if best is None or value >= best_value:
                best, best_value, best_dot = j, value, dot
        m = 1 if weights is None else int(weights[i])
        square = None if best is None else sum(b * b for b in sums[best])
        if best is not None and float(best_dot) >= rho * math.sqrt(float(vv) * float(square)):
            sums[best] = [a + b for a, b in zip(sums[best], v, strict=True)]
            counts[best] += m
            labels.append(best)
        else:
            labels.append(len(sums))
            sums.append(v)
            counts.append(m)
    return sums, counts


@QUICK
@given(rows_of(), RHO)
def test_learn_is_the_loop(q, rho):
    sums, counts = learn(q, rho)
    expected_sums, expected_counts = oracle_learn(q, rho)
    assert sums.tolist() == expected_sums
    assert counts.tolist() == expected_counts
    assert sums.dtype == counts.dtype == np.int64


def test_learn_is_the_loop_on_full_range_rows_and_many_categories():
    q = np.random.default_rng(0).integers(-127, 128, (300, 9)).astype(np.int8)
    for rho in (0.0, 0.6, 0.97):
        sums, counts = learn(q, rho)
        assert (sums.tolist(), counts.tolist()) == oracle_learn(q, rho)
    assert len(counts) > 128  # the category arrays have grown twice


@QUICK
@given(rows_of(), RHO, st.integers(1, 5))
def test_merge_is_the_loop_on_sorted_sums_and_ignores_the_order_of_the_parts(q, rho, shards):
    parts = [learn(q[k::shards], rho) for k in range(shards)]
    inputs = sorted((-int(n), s.tolist()) for part in parts for s, n in zip(part.sums, part.counts, strict=True))
    merged = merge(parts, rho)
    expected = oracle_learn([s for _, s in inputs], rho, [-n for n, _ in inputs])
    assert (merged.sums.tolist(), merged.counts.tolist()) == expected
    for order in (parts[::-1], parts[1:] + parts[:1]):
        again = merge(order, rho)
        assert again.sums.tobytes() == merged.sums.tobytes()


@QUICK
@given(rows_of(), RHO)
def test_counts_and_sums_are_conserved(q, rho):
    sums, counts = learn(q, rho)
    assert counts.sum() == q.any(axis=1).sum()
    assert (sums.sum(axis=0) == q.astype(np.int64).sum(axis=0)).all()
    assert (counts > 0).all()
    assert sums.any(axis=1).all()


@QUICK
@given(rows_of(), st.integers(1, 4))
def test_vigilance_one_makes_one_category_for_each_direction(q, shards):
    directions = {tuple(x // math.gcd(*row) for x in row) for row in q.tolist() if any(row)}
    merged = merge([learn(q[k::shards], 1.0) for k in range(shards)], 1.0)
    assert len(merged.counts) == len(directions)


@QUICK
@given(rows_of(), RHO, st.integers(1, 4))
def test_a_weighted_row_is_a_repeated_row(q, rho, times):
    repeated = learn(np.repeat(q, times, axis=0), rho)
    weighted = learn(q.astype(np.int64) * times, rho, np.full(len(q), times))
    assert repeated.sums.tolist() == weighted.sums.tolist()
    assert repeated.counts.tolist() == weighted.counts.tolist()


@QUICK
@given(rows_of(), rows_of(low=-127, high=127, max_rows=6), st.floats(0, 1))
def test_assign_is_the_loop_and_ties_go_to_the_highest_index(q, p, rho):
    p = np.resize(p, (len(p), q.shape[1]))
    winner, score = assign(q, p)
    passes = joins(q, p, winner, rho)
    for i, row in enumerate(q.tolist()):
        values = []
        for other in p.tolist():
            dot = sum(a * b for a, b in zip(row, other, strict=True))
            values.append(float(dot) / (math.sqrt(float(sum(b * b for b in other))) or 1.0))
        best = max(range(len(p)), key=lambda j: (values[j], j))
        assert winner[i] == best
        own = sum(a * a for a in row)
        assert score[i] == np.float32(values[best] / (math.sqrt(float(own)) or 1.0))
        other = p[best].tolist()
        dot, square = sum(a * b for a, b in zip(row, other, strict=True)), sum(b * b for b in other)
        assert passes[i] == (float(dot) >= rho * math.sqrt(float(own) * float(square)))
    assert winner.dtype == np.int32
    assert score.dtype == np.float32


def test_assign_is_exact_for_wide_rows_and_many_prototypes():
    rng = np.random.default_rng(1)
    for width, many in ((1000, 40), (1500, 40), (3, 1500)):
        q = rng.integers(-127, 128, (50, width)).astype(np.int8)
        p = rng.integers(-127, 128, (many, width)).astype(np.int8)
        q[0] = p[-1] = 127  # the largest possible product
        dots = q.astype(np.int64) @ p.astype(np.int64).T
        values = dots / np.sqrt((p.astype(np.int64) ** 2).sum(axis=1).astype(np.float64))
        assert (assign(q, p)[0] == many - 1 - values[:, ::-1].argmax(axis=1)).all()


def test_freeze_scales_each_sum_to_127():
    sums = np.array([[1000, -500, 3], [0, 0, 0], [0, 0, -(2**40)]])
    assert freeze(sums).tolist() == [[127, round(-63.5), 0], [0, 0, 0], [0, 0, -127]]  # half to even


@pytest.mark.parametrize(
    ("q", "weights", "what"),
    [
        (np.ones((2, 3), np.int8), np.array([999_999, 2]), "1000001"),
        (np.full((1, 1), 2**31, np.int64), None, "total length"),
    ],
)
def test_products_that_could_leave_63_bits_are_refused(q, weights, what):
    with pytest.raises(DataError, match=what):
        learn(q, 0.5, weights)


# --- the estimator ---


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


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8, 0.95])
@pytest.mark.parametrize(("n", "dimension"), [(63, 3), (64, 70), (65, 1), (300, 20)])
def test_batches_change_nothing(n, dimension, rho):
    """Longer than a batch, with repeated rows, rows of zeros, and the largest values."""
    draw = np.random.default_rng(n)
    q = draw.integers(-127, 128, (n, dimension)).astype(np.int8)
    q[n // 3] = 0
    q[n // 2 :: 5] = q[n // 4]
    labels = []
    sums, counts = oracle_learn(q, rho, labels=labels)
    known, found = learn_with_labels(Categories(np.zeros((0, dimension), np.int64), np.zeros(0, np.int64)), q, rho)
    assert known.sums.tolist() == sums
    assert known.counts.tolist() == counts
    assert found.tolist() == labels


def test_sums_beyond_53_bits_are_learnt_in_whole_numbers():
    draw = np.random.default_rng(0)
    v = draw.integers(-(2**26), 2**26, (5, 2)) + np.array([2**26, 0])
    v = np.concatenate([v, v[:2] + 1])
    sums, counts = oracle_learn(v, 0.9)
    found = learn(v, 0.9)
    assert int(np.abs(v).max()) * int(np.abs(found.sums).max()) > 2**53
    assert found.sums.tolist() == sums
    assert found.counts.tolist() == counts


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


def test_a_kernel_compiles_where_its_code_cannot_be_cached():
    scope: dict = {}
    exec("def double(x):\n    return 2 * x\n", scope)  # noqa: S102  (no file, so numba has no folder for it)
    assert kernels.compiled(scope["double"])(21) == 42


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".spherical.algorithm",
        ".spherical.int8_products",
        ".fuzzy.algorithm",
        ".fuzzy.adaptive_vigilance",
        ".spherical.kmeans",
        ".sharded_art",
        ".two_level.vigilance",
        ".calibration",
    ],
)
def test_the_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module("csrms_dist.art" + name))
    assert result.attempted
    assert not result.failed
