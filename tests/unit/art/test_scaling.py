"""Both scalings against plain formulas; a row's bytes do not depend on the rows around it."""

from __future__ import annotations

import numpy as np
import pytest

from csrms_dist.art.scaling import MinMaxScaling, SphericalScaling, load_scaling, save_scaling


def features(n=200, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)).astype(np.float32)


def unit(x):
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_spherical_narrow_rows_are_centred_normalised_and_rounded():
    X = features()
    scaling = SphericalScaling.fit(X)
    x = unit(unit(X) - unit(X).mean(axis=0))
    exact = 127 * x / np.abs(x).max()
    q = scaling.transform_block(X)
    assert q.dtype == np.int8
    assert np.abs(q - exact).max() <= 0.5 + 1e-6
    assert np.abs(q).max() == 127
    assert scaling.dimension == q.shape[1] == 6


def test_spherical_wide_rows_are_projected_on_the_leading_eigenvectors():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 120)) * np.linspace(5, 0.1, 120)
    scaling = SphericalScaling.fit(X)
    x = unit(X)
    x = x - x.mean(axis=0)
    _, _, right = np.linalg.svd(x, full_matrices=False)
    basis = right[:64].T
    for k in range(64):
        assert abs(abs(basis[:, k] @ scaling.basis[:, k]) - 1) < 1e-8
        assert scaling.basis[np.abs(scaling.basis[:, k]).argmax(), k] > 0
    exact = scaling.scale * unit(x @ scaling.basis)
    assert np.abs(scaling.transform_block(X) - exact).max() <= 0.5 + 1e-6
    assert scaling.transform_block(X).shape == (300, 64)


@pytest.mark.parametrize("kind", [SphericalScaling, MinMaxScaling])
@pytest.mark.parametrize("width", [6, 130])
def test_a_row_by_itself_has_the_same_bytes_as_in_any_block(kind, width):
    X = features(77, width)
    scaling = kind.fit(X)
    whole = scaling.transform_block(X)
    assert (np.concatenate([scaling.transform_block(X[k : k + 1]) for k in range(77)]) == whole).all()
    assert (scaling.transform_block(X[::-1])[::-1] == whole).all()
    assert (scaling.transform_block(np.asfortranarray(X)) == whole).all()


def test_rows_beyond_the_fitted_range_are_clipped():
    X = np.array([[1, 0.2], [0.2, 1]])  # centred, these lie on a diagonal: no component is above .71
    scaling = SphericalScaling.fit(X)
    height = scaling.mean[1]
    far = np.array([[-np.sqrt(1 - height**2), height]])  # centred, this lies on an axis
    assert scaling.scale > 179
    assert scaling.transform_block(far).tolist() == [[-127, 0]]
    assert MinMaxScaling.fit(X).transform_block(np.array([[-1.0, 7.0]])).tolist() == [[0, 255]]


def test_rows_without_direction_become_zeros():
    X = features(50)
    X[7] = 0
    q = SphericalScaling.fit(X).transform_block(X)
    assert np.flatnonzero(~q.any(axis=1)).tolist() == [7]
    others = np.delete(X, 7, axis=0)  # a zero row has no say in the statistics
    assert (SphericalScaling.fit(others).transform_block(others) == np.delete(q, 7, axis=0)).all()
    equal = np.tile(X[:1], (9000, 1))
    assert not SphericalScaling.fit(equal).transform_block(equal).any()
    assert not SphericalScaling.fit(np.zeros((3, 2))).transform_block(np.zeros((3, 2))).any()
    wide = np.tile(features(1, 130), (40, 1))
    assert not SphericalScaling.fit(wide).transform_block(wide).any()


def test_huge_and_tiny_rows_keep_their_direction():
    X = features(40).astype(np.float64)
    for kind in (SphericalScaling, MinMaxScaling):
        scaling = kind.fit(X)
        for factor in (2.0**600, 2.0**-900):
            assert (scaling.transform_block(X * factor) == scaling.transform_block(X)).all()


def test_min_max_is_the_formula_and_constant_dimensions_are_zero():
    X = features(100)
    x = unit(X)
    expected = (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0))
    got = MinMaxScaling.fit(X).transform_block(X)
    assert got.dtype == np.uint8
    assert np.abs(got / 255 - expected).max() <= 0.5 / 255 + 1e-9
    assert got.min() == 0
    assert got.max() == 255
    line = MinMaxScaling.fit(np.array([[1.0], [2.0]])).transform_block(np.array([[3.0]]))
    assert line.tolist() == [[0]]


def test_clipping_takes_the_quantiles_of_the_rows_that_are_given():
    X = features(300)
    X[5] = [1000, -1000, 0, 0, 0, 1]
    rows = np.arange(0, 300, 2)
    scaling = MinMaxScaling.fit_quantiles(X, rows)
    expected = np.quantile(unit(X)[rows], [0.01, 0.99], axis=0)
    assert np.allclose([scaling.low, scaling.high], expected)
    q = scaling.transform_block(X)
    assert 0.005 < (q == 0).mean() < 0.03
    assert 0.005 < (q == 255).mean() < 0.03


def test_min_max_does_not_depend_on_the_blocks():
    X = features(100)
    parts = [MinMaxScaling.extremes(X[k::7]) for k in range(7)]
    assert (MinMaxScaling.combine(parts[::-1]).low == MinMaxScaling.fit(X).low).all()
    assert (MinMaxScaling.combine(parts).high == MinMaxScaling.fit(X, np.arange(100)[::-1]).high).all()


@pytest.mark.parametrize("kind", [SphericalScaling, MinMaxScaling])
def test_a_saved_scaling_is_the_same_scaling(kind, tmp_path):
    X = features(80, 110)
    scaling = kind.fit(X)
    save_scaling(tmp_path, scaling)
    again = load_scaling(tmp_path)
    assert type(again) is kind
    assert (again.transform_block(X) == scaling.transform_block(X)).all()
