"""Fuzzy ART as an estimator: it learns what the algorithm learns, and checks what it is given."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from csrms_dist.art import FuzzyART
from csrms_dist.art.fuzzy.algorithm import common_parts, complement_code, learn
from csrms_dist.errors import ConfigError, DataError
from tests.unit.art.fuzzy.points import byte_points, random_bytes

MANY = settings(deadline=None, max_examples=80)
RHO = st.one_of(st.sampled_from([0.0, 0.5, 0.75, 0.9, 1.0]), st.floats(0, 1))


@MANY
@given(byte_points(50, 8), st.booleans(), RHO, st.lists(st.integers(0, 50), max_size=3))
def test_a_stream_can_be_cut_anywhere(x, as_floats, rho, cuts):
    points = x / 255 if as_floats else x
    whole = FuzzyART(rho).fit(points)
    parts, labels = FuzzyART(rho), []
    for part in np.split(points, sorted(min(cut, len(x)) for cut in cuts)):
        if len(part):
            labels += parts.partial_fit(part).labels_.tolist()
    assert parts.weights_.tobytes() == whole.weights_.tobytes()
    assert parts.counts_.tolist() == whole.counts_.tolist()
    assert labels == whole.labels_.tolist()
    assert whole.labels_.tolist() == learn(complement_code(points), rho)[1].tolist()


def test_predict_respects_the_vigilance_and_leaves_the_boxes_alone():
    model = FuzzyART(vigilance=0.9).fit([[0.1, 0.1], [0.15, 0.1]])
    before = model.weights_.tobytes()
    assert model.predict([[0.1, 0.1], [0.9, 0.9]]).tolist() == [0, -1]
    assert model.weights_.tobytes() == before
    assert model.counts_.tolist() == [2]


@pytest.mark.parametrize("as_floats", [False, True])
def test_transform_and_choice_values_are_their_formulas(as_floats):
    x = random_bytes(70, 5, 256, 8)
    points, unit = (x / 255, 1) if as_floats else (x, 255)
    model = FuzzyART(0.7, choice=0.3, learning_rate=1.0).fit(points)
    distance, values = model.transform(points), model.choice_values(points)
    assert distance.shape == values.shape == (70, len(model.counts_))
    low, high = model.weights_[:, :5] / unit, 1 - model.weights_[:, 5:] / unit
    for i, row in enumerate(points / unit):
        for j, (u, v) in enumerate(zip(low, high, strict=True)):
            outside = sum(max(a - b, b - c, 0) for a, b, c in zip(u, row, v, strict=True))
            norm = sum(u) + sum(1 - v)
            assert distance[i, j] == pytest.approx(outside / 5, abs=1e-6)
            assert values[i, j] == pytest.approx((norm - outside) / (0.3 + norm), abs=1e-6)
    assert (distance[np.arange(70), model.labels_] == 0).all()  # with learning rate 1, inside its box
    passing = np.where(common_parts(points, model.weights_) >= 0.7 * unit * 5, values, -1)
    assert (model.predict(points) == values.shape[1] - 1 - passing[:, ::-1].argmax(axis=1)).all()


@pytest.mark.parametrize("as_floats", [False, True])
def test_the_estimator_clones_and_pickles(as_floats):
    x = random_bytes(50, 3, 256, 9)
    points = x / 255 if as_floats else x
    model = FuzzyART(0.8, choice=0.1, learning_rate=1.0).fit(points)
    assert clone(model).get_params() == {"vigilance": 0.8, "choice": 0.1, "learning_rate": 1.0}
    assert not hasattr(clone(model), "weights_")
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert (again.predict(points) == model.predict(points)).all()
    assert (FuzzyART(0.8, 0.1, 1.0).fit_predict(points) == model.labels_).all()
    assert model.fit(points).counts_.sum() == 50
    assert model.fit(x[:, :2]).n_features_in_ == 2  # fit starts anew
    assert (
        FuzzyART(0.8).fit(points.tolist() if as_floats else points).labels_ == FuzzyART(0.8).fit(points).labels_
    ).all()


@pytest.mark.parametrize(
    ("parameters", "what"),
    [({"vigilance": 1.5}, "vigilance"), ({"choice": 0.0}, "choice"), ({"learning_rate": 0}, "learning_rate")],
)
def test_illegal_parameters_are_refused_at_fit(parameters, what):
    with pytest.raises(ConfigError, match=what):
        FuzzyART(**parameters).fit([[0.5]])


@pytest.mark.parametrize("x", [[[0.5], [1.5]], [[0.5], [-0.1]], [[0.5], [np.nan]], [[0.5], [np.inf]]])
def test_rows_outside_the_unit_cube_are_refused(x):
    with pytest.raises(DataError, match="row 1"):
        FuzzyART().fit(x)
    with pytest.raises(DataError, match="row 1"):
        FuzzyART().fit([[0.5]]).predict(x)


@pytest.mark.parametrize("x", [[[0], [1]], np.zeros((2, 2), np.int8), np.array([["a"]]), np.zeros(3), np.zeros((0, 2))])
def test_other_types_and_shapes_are_refused(x):
    with pytest.raises(DataError, match="X: got"):
        FuzzyART().fit(x)


def test_later_rows_must_be_of_the_type_and_width_of_the_first():
    model = FuzzyART().fit(np.zeros((2, 3), np.uint8))
    with pytest.raises(DataError, match="expected uint8 as in fit"):
        model.partial_fit(np.zeros((2, 3)))
    with pytest.raises(DataError, match="expected floating-point numbers as in fit"):
        FuzzyART().fit(np.zeros((2, 3))).predict(np.zeros((2, 3), np.uint8))
    with pytest.raises(DataError, match="expecting 3 features"):
        model.predict(np.zeros((2, 2), np.uint8))
    assert FuzzyART().fit(np.zeros((2, 3), np.float16)).partial_fit(np.zeros((1, 3))).counts_.tolist() == [3]
    for method in ("predict", "transform", "choice_values"):
        with pytest.raises(DataError, match=f"FuzzyART.{method}.*call fit"):
            getattr(FuzzyART(), method)([[0.5]])
