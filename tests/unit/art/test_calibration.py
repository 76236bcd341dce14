"""The calibration names a range of vigilance that works and says in words when the configured one does not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from csrms_dist.art import ShardedART, SphericalART
from csrms_dist.art.calibration import calibrate, calibrate_rows
from csrms_dist.errors import ConfigError, DataError


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


def test_a_run_and_an_estimator_see_different_rows():
    X = np.abs(blobs()) + 3  # far from the origin: every cosine is near 1 until the mean is taken away
    run, estimator = calibrate(X, IDS), calibrate_rows(X)
    assert run.high < estimator.low
    for rho, patterns in ((run.suggestion, 1), (estimator.suggestion, 2)):
        found = len(SphericalART(rho).partial_fit(X).counts_)  # a fit warns, below
        assert found >= patterns
        assert (found == 1) == (patterns == 1)


@pytest.mark.parametrize("sharded", [False, True])
def test_one_category_for_rows_that_were_not_centred_is_said(sharded):
    X = load_digits().data

    def fit(rows, rho=0.5):
        single = SphericalART(rho)
        return (ShardedART(single) if sharded else single).fit(rows)

    with pytest.warns(UserWarning, match="expected between .* or subtract the mean of each column first"):
        found = fit(X)
    assert len(found.prototypes_) <= 2
    # Silent: centred; at a vigilance that works; rows that are one group however one looks at them.
    assert len(fit(X - X.mean(axis=0)).prototypes_) > 20
    assert len(fit(X, 0.85).prototypes_) > 20
    fit(np.ones((300, 4)))
    fit(X[:20])


def test_a_warning_names_what_the_user_knows():
    found = calibrate_rows(blobs())
    plain = found.warning(1.0)
    assert plain.startswith("vigilance: got 1, expected between")
    assert "cluster." not in plain
    assert "auto" not in plain
    run = found.warning(1.0, "cluster.vigilance", " or 'auto'")
    assert run.startswith("cluster.vigilance: got 1, expected between")
    assert run.endswith(f"try {found.suggestion:.3f} or 'auto'")


def test_lists_frames_and_whole_ids_are_taken():
    pd = pytest.importorskip("pandas")
    X = blobs(40, 3)
    expected = calibrate(X, range(40))
    for rows in (X.tolist(), pd.DataFrame(X)):
        assert calibrate(rows, list(range(40))) == expected
        assert calibrate_rows(rows) == calibrate_rows(X)
    assert calibrate_rows(X.astype(np.float16)).rows == 40


BAD = np.where(np.arange(120).reshape(40, 3) == 62, np.nan, 0.5)


@pytest.mark.parametrize(
    ("call", "kind", "what"),
    [
        (lambda: calibrate(np.eye(3), range(3), "fuzy"), ConfigError, "algorithm: got 'fuzy', expected one of"),
        (lambda: calibrate_rows(np.eye(3), "ART"), ConfigError, "algorithm: got 'ART'"),
        (lambda: calibrate(BAD, range(40)), DataError, "row 20 of X: got NaN in column 2"),
        (lambda: calibrate_rows(BAD), DataError, "row 20 of X: got NaN in column 2"),
        (lambda: calibrate_rows(BAD, "fuzzy"), DataError, "row 20 of X: got NaN in column 2"),
        (lambda: calibrate_rows(2 * np.eye(3), "fuzzy"), DataError, r"row 0 of X: got 2.0 in column 0, .*\[0, 1\]"),
        (lambda: calibrate(np.eye(3), range(2)), DataError, "2 ids, expected 3"),
        (lambda: calibrate(np.eye(3), ["a", "b", "a"]), DataError, "'a' twice"),
        (lambda: calibrate(np.eye(3)[:0], []), DataError, r"0 sample\(s\)"),
        (lambda: calibrate_rows(np.eye(3)[:0]), DataError, r"0 sample\(s\)"),
        (lambda: calibrate(np.ones(3), range(3)), DataError, "of shape"),
        (lambda: calibrate_rows(np.ones(3)), DataError, r"reshape\(1, -1\)"),
        (lambda: calibrate_rows([["a"]]), DataError, "matrix of numbers"),
    ],
)
def test_wrong_arguments_are_named(call, kind, what):
    with pytest.raises(kind, match=what):
        call()


def test_the_documentation_runs(tmp_path, monkeypatch, capsys):
    digits = load_digits().data
    np.save(tmp_path / "vectors.npy", digits)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "clustering.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/clustering.md", "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out.strip()
    assert printed in page
    assert calibrate(digits, [str(k) for k in range(len(digits))]).suggestion == pytest.approx(0.447, abs=2e-3)
    rows = np.random.default_rng(0).permutation(digits)
    assert "41 categories" in page
    assert len(SphericalART(float(names["measured"].suggestion)).fit(rows).counts_) == pytest.approx(41, abs=4)
    with pytest.warns(UserWarning, match=r"got 0.447, expected between .* subtract the mean of each column"):
        assert len(SphericalART(0.447).fit(rows).counts_) == 1
