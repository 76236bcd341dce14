"""Fuzzy ART against the numpy float64 loop, one row at a time, and the properties of its boxes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.datasets import load_digits

from csrms_dist.art import FuzzyART
from csrms_dist.art.fuzzy_art import Boxes, assign, complement_code, learn, merge
from csrms_dist.errors import ConfigError, DataError

QUICK = settings(deadline=None, max_examples=60)
RHO = st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.75, 0.9, 1.0])
BETA = st.sampled_from([0.1, 0.5, 0.6, 1.0])


def points(max_rows=14):
    shape = st.tuples(st.integers(1, max_rows), st.integers(1, 4))
    grid = st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 0.9, 1.0])
    return shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=grid))


def total(values):
    """The L1 norm of non-negative numbers in index order (cumsum adds one after the other)."""
    return np.cumsum(values)[-1]


def oracle_learn(codes, rho, alpha=0.01, beta=0.5, boxes=False, weights=None):
    """The released algorithm: vigilance filter first, then the largest choice value, ties to the highest index."""
    categories, counts, labels = [], [], []
    for i, code in enumerate(codes):
        size = len(code) / 2 if boxes else total(code)
        best, best_choice = -1, -np.inf
        for j, w in enumerate(categories):
            common = total(np.minimum(code, w))
            if common / size < rho:
                continue
            choice = common / (alpha + total(w))
            if choice >= best_choice:
                best, best_choice = j, choice
        if best < 0:
            best = len(categories)
            categories.append(code.copy())
            counts.append(0)
        else:
            categories[best] = beta * np.minimum(code, categories[best]) + (1 - beta) * categories[best]
        counts[best] += 1 if weights is None else weights[i]
        labels.append(best)
    return categories, counts, labels


def oracle_assign(codes, w, rho, alpha=0.01):
    labels = []
    for code in codes:
        passing = [
            (total(np.minimum(code, box)) / (alpha + total(box)), j)
            for j, box in enumerate(w)
            if total(np.minimum(code, box)) / total(code) >= rho
        ]
        labels.append(max(passing)[1] if passing else -1)
    return labels


@QUICK
@given(points(), RHO, BETA)
def test_learn_is_the_loop(x, rho, beta):
    codes = complement_code(x)
    (w, n), labels = learn(codes, rho, learning_rate=beta)
    expected_w, expected_n, expected_labels = oracle_learn(codes, rho, beta=beta)
    assert labels.tolist() == expected_labels
    assert w.tolist() == [box.tolist() for box in expected_w]
    assert n.tolist() == expected_n


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_learn_and_assign_are_the_loop_on_digits(rho):
    codes = complement_code(load_digits().data[:300] / 16)
    (w, _), labels = learn(codes, rho)
    expected_w, _, expected = oracle_learn(codes, rho)
    assert labels.tolist() == expected
    assert (w == np.array(expected_w)).all()
    assert assign(codes[:100], w, rho)[0].tolist() == oracle_assign(codes[:100], w, rho)


def test_learn_is_the_loop_when_the_category_arrays_grow():
    codes = complement_code(np.random.default_rng(0).random((200, 6)))
    (_, n), labels = learn(codes, 0.98)
    assert labels.tolist() == oracle_learn(codes, 0.98)[2]
    assert len(n) > 128


@QUICK
@given(points(), RHO, BETA)
def test_assign_is_the_loop(x, rho, beta):
    codes = complement_code(x)
    (w, _), _ = learn(codes, rho, learning_rate=beta)
    winner, score = assign(codes, w, rho)
    assert winner.tolist() == oracle_assign(codes, w, rho)
    assert winner.dtype == np.int32
    assert score.dtype == np.float32
    for code, j, value in zip(codes, winner, score, strict=True):
        choice = total(np.minimum(code, w[j])) / (0.01 + total(w[j]))
        assert value == (np.float32(choice) if j >= 0 else 0)


@QUICK
@given(points(), RHO, BETA, st.integers(1, 4))
def test_merge_is_the_loop_on_sorted_boxes_and_contains_them(x, rho, beta, shards):
    codes, dimension = complement_code(x), x.shape[1]
    parts = [learn(codes[k::shards], rho, learning_rate=beta)[0] for k in range(shards)]
    inputs = sorted(
        ((w, int(n)) for part in parts for w, n in zip(part.weights, part.counts, strict=True)),
        key=lambda box: (-box[1], box[0].tobytes()),
    )
    merged = merge(parts, rho)
    boxes, counts = np.array([w for w, _ in inputs]), [n for _, n in inputs]
    expected_w, expected_n, labels = oracle_learn(boxes, rho, beta=1.0, boxes=True, weights=counts)
    assert merged.weights.tolist() == [w.tolist() for w in expected_w]
    assert merged.counts.tolist() == expected_n
    assert merged.counts.sum() == len(x)
    assert merge(parts[::-1], rho).weights.tobytes() == merged.weights.tobytes()
    # Geometry: each shard box lies inside its merged box, no box is smaller than vigilance allows, corners in order.
    assert (merged.weights[labels] <= boxes).all()
    assert (merged.weights.sum(axis=1) >= rho * dimension - 1e-9).all()
    assert (merged.weights[:, :dimension] <= 1 - merged.weights[:, dimension:] + 1e-12).all()


@QUICK
@given(points(), RHO)
def test_fast_learning_covers_every_row(x, rho):
    codes = complement_code(x)
    (w, _), labels = learn(codes, rho, learning_rate=1.0)
    assert (w[labels] <= codes).all()
    assert (assign(codes, w, rho - 1e-9)[0] >= 0).all()


@QUICK
@given(points(), BETA)
def test_weights_only_decrease(x, beta):
    codes = complement_code(x)
    known = None
    for code in codes:
        boxes, _ = learn(code[None], 0.5, learning_rate=beta, known=known)
        if known is not None:
            assert (boxes.weights[: len(known.weights)] <= known.weights + 1e-15).all()
        known = boxes
    assert isinstance(known, Boxes)
    assert known.weights.tolist() == learn(codes, 0.5, learning_rate=beta)[0].weights.tolist()


@QUICK
@given(points())
def test_vigilance_zero_and_one(x):
    codes = complement_code(x)
    assert len(learn(codes, 0.0)[0].counts) == 1
    assert len(learn(codes, 1.0)[0].counts) == len({row.tobytes() for row in x})


# --- the estimator ---


@QUICK
@given(points(), RHO, st.integers(0, 14))
def test_a_stream_can_be_cut_anywhere(x, rho, cut):
    whole = FuzzyART(rho).fit(x)
    cut = min(cut, len(x) - 1)
    parts, labels = FuzzyART(rho), []
    for part in (x[:cut], x[cut:]):
        if len(part):
            labels += parts.partial_fit(part).labels_.tolist()
    assert parts.weights_.tolist() == whole.weights_.tolist()
    assert labels == whole.labels_.tolist()


def test_predict_respects_the_vigilance_and_leaves_the_boxes_alone():
    model = FuzzyART(vigilance=0.9).fit([[0.1, 0.1], [0.15, 0.1]])
    before = model.weights_.tobytes()
    assert model.predict([[0.1, 0.1], [0.9, 0.9]]).tolist() == [0, -1]
    assert model.weights_.tobytes() == before
    assert model.counts_.tolist() == [2]


def test_the_estimator_clones_and_pickles():
    x = np.random.default_rng(1).random((50, 3))
    model = FuzzyART(0.8, choice=0.1, learning_rate=1.0).fit(x)
    assert clone(model).get_params() == {"vigilance": 0.8, "choice": 0.1, "learning_rate": 1.0}
    assert not hasattr(clone(model), "weights_")
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert (again.predict(x) == model.predict(x)).all()
    assert (FuzzyART(0.8, 0.1, 1.0).fit_predict(x) == model.labels_).all()
    assert model.fit(x).counts_.sum() == 50


@pytest.mark.parametrize(
    ("parameters", "what"),
    [({"vigilance": 1.5}, "vigilance"), ({"choice": 0.0}, "choice"), ({"learning_rate": 0}, "learning_rate")],
)
def test_illegal_parameters_are_refused_at_fit(parameters, what):
    with pytest.raises(ConfigError, match=what):
        FuzzyART(**parameters).fit([[0.5]])


@pytest.mark.parametrize("x", [[[0.5], [1.5]], [[0.5], [-0.1]], [[0.5], [np.nan]]])
def test_rows_outside_the_unit_cube_are_refused(x):
    with pytest.raises(DataError, match="row 1"):
        FuzzyART().fit(x)


def test_predict_before_fit_and_another_width_are_refused():
    with pytest.raises(DataError, match="call fit"):
        FuzzyART().predict([[0.5]])
    with pytest.raises(DataError, match="2 columns"):
        FuzzyART().fit([[0.5]]).predict([[0.5, 0.5]])
