"""Rows, parameters and the order of calls are checked alike by all estimators, and named as the user knows them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import MinMaxScaler

from csrms_dist.art import AdaptiveVigilanceART, FuzzyART, ShardedART, SphericalART, SphericalKMeans
from csrms_dist.art.inputs import UnfittedError, as_matrix
from csrms_dist.errors import ConfigError, DataError

pd = pytest.importorskip("pandas")

X = np.random.default_rng(0).random((60, 67))  # wider than any vector register, with a tail
ESTIMATORS = [SphericalART(0.7), SphericalKMeans(3), FuzzyART(0.7), AdaptiveVigilanceART("hi", 0.7), ShardedART()]
each = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
METHODS = ("fit", "partial_fit", "predict", "transform", "choice_values", "score_samples")
FLOATS = [np.float16, np.float32, np.float64, np.longdouble, ">f2", ">f4", ">f8"]


def methods(estimator):
    return [name for name in METHODS if hasattr(estimator, name)]


@each
@pytest.mark.parametrize("kind", FLOATS, ids=str)
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_no_method_takes_numbers_that_are_not_finite(estimator, kind, value, word):
    rows = X.astype(kind)
    estimator.fit(rows)
    for row, column in ((0, 0), (17, 31), (59, 63), (59, 64), (59, 66)):
        bad = rows.copy()
        bad[row, column] = value
        for name in methods(estimator):
            with pytest.raises(DataError, match=f"row {row}"):
                getattr(estimator, name)(bad)
            if not isinstance(estimator, ShardedART):
                with pytest.raises(DataError, match=f"row {row} of X: got {word} in column {column}, "):
                    getattr(estimator, name)(bad)


@each
@pytest.mark.parametrize("kind", FLOATS, ids=str)
def test_every_float_gives_what_its_numbers_give(estimator, kind):
    rows = X.astype(kind)
    plain = rows.astype(np.float32 if rows.dtype.itemsize < 8 else np.float64)
    found = estimator.fit(rows)
    labels, placed = found.labels_.tolist(), found.predict(rows).tolist()
    assert estimator.fit(plain).labels_.tolist() == labels
    assert estimator.predict(plain).tolist() == placed


@each
def test_truth_values_are_the_numbers_0_and_1(estimator):
    truths = X > 0.5
    labels = estimator.fit(truths).labels_.tolist()
    assert estimator.fit(truths.astype(np.float32)).labels_.tolist() == labels
    assert (estimator.predict(truths) == estimator.predict(truths.astype(np.float64))).all()


@each
@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (scipy.sparse.csr_matrix(X), r"sparse is not supported; use X.toarray\(\)"),
        (scipy.sparse.coo_array(X), "sparse"),
        (X[0], r"X.reshape\(1, -1\) for one row"),
        (X[:0], r"0 sample\(s\) .*give some rows"),
        (X[:, :0], r"0 feature\(s\) .*give some columns"),
        ([[1.0, 2.0], [3.0]], "rows of different lengths"),
        (X + 1j, "complex128, expected real numbers"),
        ([["a", "b"]], "a matrix of numbers"),
        ([[{}, 1.0]], "no number"),
        ([[None, 1.0]], "row 0"),
        (X.reshape(4, 15, 67), "of shape"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), "no number .*'x'"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(estimator, rows, what):
    with pytest.raises(DataError, match=what) as caught:
        estimator.fit(rows)
    assert isinstance(caught.value, ValueError)


def test_a_matrix_is_not_copied():
    assert as_matrix(X) is X
    assert np.shares_memory(as_matrix(X.T), X)


@each
def test_before_fit_it_is_scikit_learns_error(estimator):
    fresh = type(estimator)()
    for name in methods(estimator):
        if name in ("fit", "partial_fit"):
            continue
        with pytest.raises(NotFittedError, match=f"{type(fresh).__name__}.{name}: .*call fit first") as caught:
            getattr(fresh, name)(X)
        assert isinstance(caught.value, DataError)
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert type(again) is UnfittedError
        assert str(again) == str(caught.value)


@each
def test_a_fit_that_fails_leaves_what_was_learnt(estimator):
    estimator.fit(X)
    before = estimator.predict(X).tolist()
    bad = np.full((4, 3), np.nan)
    for name in ("fit", "partial_fit"):
        if hasattr(estimator, name):
            with pytest.raises(DataError):
                getattr(estimator, name)(bad)
    assert estimator.predict(X).tolist() == before
    fresh = type(estimator)()
    with pytest.raises(DataError):
        fresh.fit(bad)
    with pytest.raises(NotFittedError):
        fresh.predict(X)


@each
def test_the_columns_of_a_data_frame_are_those_of_fit(estimator):
    names = [f"c{k}" for k in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    estimator.fit(frame)
    assert estimator.feature_names_in_.tolist() == names
    assert estimator.predict(frame).shape == (60,)
    with pytest.raises(DataError, match="must be in the same order"):
        estimator.predict(frame[names[::-1]])
    with pytest.raises(DataError, match="seen at fit time, yet now missing"):
        estimator.predict(frame.rename(columns={"c3": "d3"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.predict(X)
    estimator.fit(X)
    assert not hasattr(estimator, "feature_names_in_")
    with pytest.raises(DataError, match=r"X has 3 features, but .* is expecting 67 features"):
        estimator.predict(X[:, :3])


@pytest.mark.parametrize("estimator", ESTIMATORS[:4], ids=lambda estimator: type(estimator).__name__)
def test_distances_have_names_and_can_be_data_frames(estimator):
    fitted = type(estimator)(**estimator.get_params()).set_output(transform="pandas").fit(X)
    distances = fitted.transform(X)
    names = [f"{type(estimator).__name__.lower()}{k}" for k in range(distances.shape[1])]
    assert distances.columns.tolist() == names == fitted.get_feature_names_out().tolist()
    assert distances.shape[1] == max(fitted.labels_) + 1


@pytest.mark.parametrize(
    ("estimator", "text"),
    [
        (SphericalART(2), "SphericalART: vigilance: got 2, expected a number in [0, 1]"),
        (SphericalART("auto"), "SphericalART: vigilance: got 'auto', expected a number in [0, 1]"),
        (FuzzyART(choice=0), "FuzzyART: choice: got 0, expected a number in (0, 10]"),
        (
            FuzzyART(learning_rate=np.ones(3)),
            "FuzzyART: learning_rate: got array([1., 1., 1.]), expected a number in (0, 1]",
        ),
        (
            AdaptiveVigilanceART(sigma="much"),
            "AdaptiveVigilanceART: sigma: got 'much', expected a number in [0, 1] or 'auto'",
        ),
        (SphericalKMeans(0), "SphericalKMeans: n_clusters: got 0, expected a whole number in [1, 1000000]"),
        (SphericalKMeans("auto"), "SphericalKMeans: n_clusters: got 'auto', expected a whole number in [1, 1000000]"),
        (SphericalKMeans(2, "best"), "SphericalKMeans: start: got 'best', expected one of 'art', 'random'"),
        (ShardedART(n_shards=0), "ShardedART: n_shards: got 0, expected a whole number in [1, 65536]"),
        (ShardedART(recentre="auto"), "ShardedART: recentre: got 'auto', expected a whole number in [0, 100]"),
        (
            ShardedART(n_patterns="auto"),
            "ShardedART: n_patterns: got 'auto', expected a whole number in [1, 1000000] or None",
        ),
        (ShardedART(FuzzyART(choice=0)), "FuzzyART: choice: got 0, expected a number in (0, 10]"),
        (ShardedART(SphericalKMeans(0)), "SphericalKMeans: n_clusters: got 0, expected a whole number in [1, 1000000]"),
        (
            ShardedART(executor=3),
            "ShardedART: executor: got 3, expected an executor, "
            "such as art.two_level.executors.ThreadExecutor(2), or None",
        ),
    ],
    ids=str,
)
def test_a_parameter_is_named_as_the_estimator_names_it(estimator, text):
    with pytest.raises(ConfigError) as caught:
        estimator.fit(X)
    assert str(caught.value) == text
    assert isinstance(caught.value, ValueError)


def test_floats_beside_the_unit_interval_by_rounding_are_clipped():
    draw = np.random.default_rng(3).normal(size=(200, 9)).astype(np.float32)
    scaled = MinMaxScaler().fit(draw).transform(draw)
    scaled[3, 4], scaled[5, 6] = np.nextafter(np.float32(1), np.float32(2)), -1e-8
    clipped = np.clip(scaled, 0, 1)
    for estimator in (FuzzyART(), AdaptiveVigilanceART(), ShardedART(FuzzyART())):
        labels = estimator.fit(scaled).labels_.tolist()
        assert estimator.fit(clipped).labels_.tolist() == labels
        assert estimator.predict(scaled).tolist() == estimator.predict(clipped).tolist()
    scaled[3, 4] = 1.000001
    text = r"got 1\.000001 in column 4, expected numbers in \[0, 1\].*MinMaxScaler\(clip=True\)"
    for estimator in (FuzzyART(), ShardedART(FuzzyART())):
        with pytest.raises(DataError, match=text):
            estimator.fit(scaled)


def test_models_without_any_direction_place_nothing():
    zeros, axes = np.zeros((4, 3)), np.eye(3)
    for estimator in (SphericalART(), SphericalKMeans(2), SphericalKMeans(2, "art")):
        assert estimator.fit(zeros).labels_.tolist() == [-1] * 4
        assert estimator.predict(axes).tolist() == estimator.predict(zeros)[:3].tolist() == [-1] * 3
        assert estimator.transform(axes).shape == (3, 0)
    for rho in (0.0, 0.5):
        found = ShardedART(SphericalART(rho)).fit(zeros)
        assert found.labels_.tolist() == [0] * 4
        assert found.predict(axes).tolist() == found.predict(zeros)[:3].tolist() == [-1] * 3
        assert found.predict(axes, nearest=True).tolist() == [0] * 3
        found.partial_fit(axes)  # they found patterns of their own
        assert sorted(found.labels_.tolist()) == ([1, 2, 3] if rho else [1, 1, 1])
        assert (found.predict(axes) == found.labels_).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_no_prototype_leads_to_a_label_that_is_none(kind):
    model = SphericalART(0.7).fit(X.astype(kind))
    model.prototypes_ = np.full_like(model.prototypes_, np.nan)
    assert model.predict(X.astype(kind)).tolist() == [-1] * len(X)
