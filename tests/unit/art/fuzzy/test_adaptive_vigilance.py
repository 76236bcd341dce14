"""AM-, CM- and HI-ART against loops over one row and one category at a time, and what their rules are for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits

from csrms_dist.art import FuzzyART
from csrms_dist.art.fuzzy import algorithm as fuzzy_art
from csrms_dist.art.fuzzy.adaptive_vigilance import AdaptiveVigilanceART, learn
from csrms_dist.art.fuzzy.algorithm import Boxes, complement_code
from csrms_dist.art.fuzzy.estimator import BoxEstimator
from csrms_dist.errors import ConfigError, DataError
from tests.unit.art.fuzzy.points import byte_points, random_bytes

MANY = settings(deadline=None, max_examples=100)
KIND = st.sampled_from(["am", "cm", "hi"])
RHO = st.one_of(st.sampled_from([0.0, 0.5, 0.75, 1.0]), st.floats(0, 1))
BETA = st.sampled_from([0.2, 0.6, 1.0])
SIGMA = st.sampled_from([0.0, 0.001, 0.1, 1.0])
DELTA = st.sampled_from([0.0, 0.001, 0.2])


def oracle_learn(codes, start, kind, alpha, beta, sigma, delta):
    """One row at a time, one category at a time, with a list of vigilances."""
    is_bytes = codes.dtype == np.uint8
    unit = 255 if is_bytes else 1
    total = float(unit * (codes.shape[1] // 2))
    w, counts, rho, labels = [], [], [], []
    for code in codes.astype(np.int64 if is_bytes else np.float64):
        common = [float(np.minimum(code, box).sum()) for box in w]
        value = [c / (unit * alpha + float(box.sum())) for c, box in zip(common, w, strict=True)]
        passed = [c >= r * total for c, r in zip(common, rho, strict=True)]
        best = max((j for j in range(len(w)) if passed[j]), key=lambda j: (value[j], j), default=-1)
        others = [j for j in range(len(w)) if j != best]
        if kind in ("cm", "hi"):
            for j in others:
                if best >= 0 and passed[j]:
                    rho[j] = min(common[j] / total + delta, 1.0)
        if kind in ("am", "hi"):
            for j in others:
                if best < 0 or value[j] >= value[best]:
                    rho[j] = rho[j] * (1.0 - sigma)
            if best >= 0:
                rho[best] = min(rho[best] * (1.0 + sigma), 1.0)
        if best < 0:
            best = len(w)
            w.append(code)
            rho.append(start)
            counts.append(0)
        elif is_bytes:
            w[best] = w[best] - ((round(256 * beta) * (w[best] - np.minimum(code, w[best])) + 128) >> 8)
        else:
            w[best] = beta * np.minimum(code, w[best]) + (1 - beta) * w[best]
        counts[best] += 1
        labels.append(best)
    return np.array(w), counts, rho, labels


@MANY
@given(byte_points(repeats=[0.3]), KIND, RHO, BETA, SIGMA, DELTA)
def test_bytes_learn_as_the_loop_does(x, kind, rho, beta, sigma, delta):
    codes = complement_code(x)
    (w, n), vigilances, labels = learn(codes, rho, kind=kind, learning_rate=beta, sigma=sigma, delta=delta)
    expected_w, expected_n, expected_rho, expected_labels = oracle_learn(codes, rho, kind, 0.01, beta, sigma, delta)
    assert labels.tolist() == expected_labels
    assert w.tolist() == expected_w.tolist()
    assert n.tolist() == expected_n
    assert vigilances.tolist() == expected_rho
    assert ((vigilances >= 0) & (vigilances <= 1)).all()
    assert (w.dtype, n.dtype, vigilances.dtype, labels.dtype) == (np.uint8, np.int64, np.float64, np.int32)


@pytest.mark.parametrize("kind", ["am", "cm", "hi"])
def test_bytes_learn_as_the_loop_does_when_the_categories_outgrow_their_arrays(kind):
    codes = complement_code(random_bytes(400, 7, 256, 0, 0.3))
    (w, _), vigilances, labels = learn(codes, 0.95, kind=kind, sigma=0.003)
    expected_w, _, expected_rho, expected = oracle_learn(codes, 0.95, kind, 0.01, 0.6, 0.003, 1e-3)
    assert labels.tolist() == expected
    assert (w.tolist(), vigilances.tolist()) == (expected_w.tolist(), expected_rho)
    assert len(w) > 64


@MANY
@given(byte_points(14, 4, repeats=[0.3]), KIND, st.sampled_from([0.3, 0.7, 0.9]), st.sampled_from([0.5, 1.0]), SIGMA)
def test_floats_are_the_loop_in_float64_where_float32_is_exact(x, kind, rho, beta, sigma):
    codes = complement_code(x // 16 / 16)
    (w, n), vigilances, labels = learn(codes, rho, kind=kind, learning_rate=beta, sigma=sigma)
    expected_w, expected_n, expected_rho, expected = oracle_learn(codes, rho, kind, 0.01, beta, sigma, 1e-3)
    assert (labels.tolist(), n.tolist()) == (expected, expected_n)
    assert w.tolist() == expected_w.tolist()
    assert vigilances.tolist() == expected_rho


@pytest.mark.parametrize("kind", ["am", "cm", "hi"])
def test_floats_get_the_labels_of_the_loop_on_digits(kind):
    x = load_digits().data[:300] / 16
    model = AdaptiveVigilanceART(kind, vigilance=0.6, sigma=0.01).fit(x)
    _, counts, rho, labels = oracle_learn(np.concatenate([x, 1 - x], axis=1), 0.6, kind, 0.01, 0.6, 0.01, 1e-3)
    assert model.labels_.tolist() == labels
    assert model.counts_.tolist() == counts
    assert np.abs(model.vigilances_ - rho).max() < 1e-6
    assert len(counts) > 10


@MANY
@given(byte_points(40, 8, repeats=[0.3]), st.booleans(), RHO)
def test_without_its_two_rules_it_is_fuzzy_art(x, as_floats, rho):
    codes = complement_code(x / 255 if as_floats else x)
    (w, n), vigilances, labels = learn(codes, rho, kind="am", sigma=0.0)
    boxes, expected = fuzzy_art.learn(codes, rho, learning_rate=0.6)
    assert (w.tobytes(), n.tolist(), labels.tolist()) == (
        boxes.weights.tobytes(),
        boxes.counts.tolist(),
        expected.tolist(),
    )
    assert (vigilances == rho).all()


def test_each_rule_on_a_row_that_two_categories_would_take():
    """Boxes at 0, 1 and 1/2, and the row 1/4."""
    corners = Boxes(complement_code(np.array([[0.0], [1.0], [0.5]])), np.ones(3, np.int64))
    row = complement_code(np.array([[0.25]]))  # matches .75, .25 and .75: a tie, which the last one wins
    start = np.array([0.5, 0.5, 0.7])
    cases = {"am": [0.45, 0.5, 0.77], "cm": [0.751, 0.5, 0.7], "hi": [0.751 * 0.9, 0.5, 0.77]}
    for kind, expected in cases.items():
        _, rho, labels = learn(row, 0.5, kind=kind, sigma=0.1, known=(corners, start))
        assert labels.tolist() == [2]
        assert rho == pytest.approx(expected, abs=1e-12)
        assert start.tolist() == [0.5, 0.5, 0.7]  # what is known is not changed
    refused = {"am": [0.72, 0.81, 0.81, 0.9], "cm": [0.8, 0.9, 0.9, 0.9], "hi": [0.72, 0.81, 0.81, 0.9]}
    for kind, expected in refused.items():
        _, rho, labels = learn(row, 0.9, kind=kind, sigma=0.1, known=(corners, np.array([0.8, 0.9, 0.9])))
        assert labels.tolist() == [3]
        assert rho == pytest.approx(expected, abs=1e-12)


@MANY
@given(byte_points(50, 8, repeats=[0.3]), st.booleans(), KIND, RHO, st.lists(st.integers(0, 50), max_size=3))
def test_a_stream_can_be_cut_anywhere(x, as_floats, kind, rho, cuts):
    points = x / 255 if as_floats else x
    whole = AdaptiveVigilanceART(kind, rho, sigma=0.01).fit(points)
    parts, labels = AdaptiveVigilanceART(kind, rho, sigma=0.01), []
    for part in np.split(points, sorted(min(cut, len(x)) for cut in cuts)):
        if len(part):
            labels += parts.partial_fit(part).labels_.tolist()
    for name in ("weights_", "counts_", "vigilances_"):
        assert getattr(parts, name).tobytes() == getattr(whole, name).tobytes()
    assert labels == whole.labels_.tolist()
    boxes, vigilances, expected = learn(complement_code(points), rho, kind=kind, sigma=0.01)
    assert labels == expected.tolist()
    assert boxes.weights.tobytes() == whole.weights_.tobytes()
    assert vigilances.tolist() == whole.vigilances_.tolist()


def test_predict_uses_each_category_s_own_vigilance():
    model = AdaptiveVigilanceART("am", vigilance=0.8, sigma=0.0).fit(np.array([[0], [255]], np.uint8))
    rows = np.array([[40], [215]], np.uint8)
    assert model.predict(rows).tolist() == [0, 1]
    model.vigilances_ = np.array([0.8, 0.9])
    assert model.predict(rows).tolist() == [0, -1]
    assert model.transform(rows) == pytest.approx(np.array([[40, 215], [215, 40]]) / 255)
    assert model.choice_values(rows) == pytest.approx(np.array([[215, 40], [40, 215]]) / (255 + 2.55))


def test_sigma_auto_is_one_over_the_rows_of_the_first_fit():
    x = random_bytes(50, 4, 256, 1, 0.3)
    model = AdaptiveVigilanceART(sigma="auto").fit(x)
    assert model.sigma_ == 1 / 50
    assert model.vigilances_.tolist() == AdaptiveVigilanceART(sigma=1 / 50).fit(x).vigilances_.tolist()
    assert model.vigilances_.tolist() == learn(complement_code(x), 0.75)[1].tolist()
    assert model.partial_fit(x[:10]).sigma_ == 1 / 50
    assert model.fit(x[:10]).sigma_ == 1 / 10


def test_the_estimator_clones_and_pickles():
    x = random_bytes(50, 3, 256, 2, 0.3)
    model = AdaptiveVigilanceART("cm", 0.8, 0.1, 1.0, 0.02, 0.01).fit(x)
    assert clone(model).get_params() == {
        "kind": "cm", "vigilance": 0.8, "choice": 0.1, "learning_rate": 1.0, "sigma": 0.02, "delta": 0.01,
    }  # fmt: skip
    assert not hasattr(clone(model), "vigilances_")
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert (again.predict(x) == model.predict(x)).all()
    assert (clone(model).fit_predict(x) == model.labels_).all()
    assert len(model.fit(x[:1]).vigilances_) == 1  # fit starts anew
    assert issubclass(AdaptiveVigilanceART, BoxEstimator)
    assert issubclass(FuzzyART, BoxEstimator)


@pytest.mark.parametrize(
    "parameters",
    [{"kind": "xm"}, {"sigma": -0.1}, {"sigma": "some"}, {"delta": 2.0}, {"vigilance": 1.5}, {"learning_rate": 0.0}],
)
def test_illegal_parameters_are_refused_at_fit(parameters):
    with pytest.raises(ConfigError, match=next(iter(parameters))):
        AdaptiveVigilanceART(**parameters).fit([[0.5]])


def test_illegal_rows_are_refused():
    with pytest.raises(DataError, match="row 1"):
        AdaptiveVigilanceART().fit([[0.5], [1.5]])
    with pytest.raises(DataError, match=r"AdaptiveVigilanceART.predict.*call fit"):
        AdaptiveVigilanceART().predict([[0.5]])
    with pytest.raises(DataError, match="expected uint8 as in fit"):
        AdaptiveVigilanceART().fit(np.zeros((1, 1), np.uint8)).partial_fit([[0.5]])
