"""Checks of all that estimators are given: rows, parameters, fit before predict; in scikit-learn's way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data

from csrms_dist.art.settings import ClusterSettings
from csrms_dist.basics.arrays import Matrix
from csrms_dist.basics.settings import Settings, check_value, describe
from csrms_dist.errors import ConfigError, DataError

#: How far a float may lie outside [0, 1] and is clipped: 4 units in the last place of float32, as scalers leave.
ROUNDING = 4 * 2.0**-23


class UnfittedError(DataError, NotFittedError):  # type: ignore[misc]
    """A method was called that needs `fit` before it; scikit-learn's tools know it as their NotFittedError."""


def as_matrix(X: Any) -> Matrix:
    """X as an array of at least one row and one column of real numbers that every kernel takes, or DataError.

    float16 become float32, wider floats than float64 become float64, truth values 0 and 1 (float32), and the bytes of
    a number lie as this machine has them; everything else stays as it is, without a copy.
    """
    if scipy.sparse.issparse(X):
        raise DataError(
            "X", got="a sparse matrix", expected="an array, as sparse is not supported", remedy="use X.toarray()"
        )
    try:
        x = np.asarray(X)
    except ValueError as error:
        raise DataError("X", got="rows of different lengths", expected="a matrix of numbers") from error
    if x.dtype.kind == "O" and x.ndim == 2:
        try:
            x = x.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError("X", got=f"a value that is no number ({error})", expected="a matrix of numbers") from error
    if x.dtype.kind == "c":
        raise DataError("X", got=str(x.dtype), expected="real numbers", remedy="Complex data not supported")
    if x.dtype.kind not in "iufb":
        raise DataError("X", got=f"{x.dtype} of shape {x.shape}", expected="a matrix of numbers")
    if x.ndim != 2:
        raise DataError(
            "X", got=f"{x.dtype} of shape {x.shape}", expected="a matrix (rows, columns)",
            remedy="Reshape your data with X.reshape(1, -1) for one row, X.reshape(-1, 1) for one column"
            if x.ndim == 1 else "",
        )  # fmt: skip
    for count, what, remedy in zip(x.shape, ("sample(s)", "feature(s)"), ("rows", "columns"), strict=True):
        if not count:
            got = f"0 {what} (shape={x.shape}) while a minimum of 1 is required"
            raise DataError("X", got=got, remedy=f"give some {remedy}")
    if x.dtype.kind == "b" or (x.dtype.kind == "f" and x.dtype.itemsize < 4):
        return x.astype(np.float32)
    if x.dtype.kind == "f" and x.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # it becomes infinite, which is refused later
            return x.astype(np.float64)
    return x.astype(x.dtype.newbyteorder("="), copy=False)


def not_finite(row: int, values: Matrix, what: str = "row {} of X") -> DataError:
    """The error for a row whose values are not all finite."""
    column = int(np.flatnonzero(~np.isfinite(values))[0])
    got = "NaN" if np.isnan(values[column]) else str(float(values[column]))
    return DataError(
        what.format(row), got=f"{got} in column {column}", expected="finite numbers", remedy="remove or repair the row"
    )


def finite(x: Matrix, first: int = 0, what: str = "row {} of X") -> Matrix:
    """x, or DataError naming the first row that has NaN or infinite values, counted from `first`."""
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise not_finite(first + row, x[row], what)
    return x


def in_unit_interval(x: Matrix, what: str = "row {} of X") -> Matrix:
    """Floats in [0, 1]; what misses it by rounding alone is clipped. DataError names the first row outside."""
    low, high = x.min(), x.max()
    if low >= 0 and high <= 1:
        return x
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        clipped: Matrix = np.clip(x, 0, 1)
        return clipped
    inside = (x >= -ROUNDING) & (x <= 1 + ROUNDING)  # NaN is not
    row = int(np.flatnonzero(~inside.all(axis=1))[0])
    if not np.isfinite(x[row]).all():
        raise not_finite(row, x[row], what)
    column = int(np.flatnonzero(~inside[row])[0])
    raise DataError(
        what.format(row), got=f"{x[row, column]!s} in column {column}", expected="numbers in [0, 1]",
        remedy="scale them, as with sklearn.preprocessing.MinMaxScaler(clip=True)",
    )  # fmt: skip


def rows_to_learn(estimator: Any, X: Any) -> Matrix:
    """X as a matrix; its width and the names of its columns are noted by the first call, and checked afterwards."""
    return _noted(estimator, X, reset=not hasattr(estimator, "n_features_in_"))


def rows_to_place(estimator: Any, X: Any, method: str) -> Matrix:
    """X as a matrix with the columns that a fitted estimator knows. Raises UnfittedError before any fit."""
    check_fitted(estimator, method)
    return _noted(estimator, X, reset=False)


def check_fitted(estimator: Any, method: str) -> None:
    """Raise UnfittedError before any fit."""
    if not hasattr(estimator, "n_features_in_"):
        what = f"{type(estimator).__name__}.{method}"
        raise UnfittedError(what, got="an instance that is not fitted yet", remedy="call fit first")


def check_columns(estimator: Any, X: Any, *, reset: bool) -> None:
    """scikit-learn's own check of the number and the names of columns, as a DataError."""
    try:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
    except ValueError as error:
        raise DataError(str(error).removesuffix(".")) from error


def _noted(estimator: Any, X: Any, *, reset: bool) -> Matrix:
    x = as_matrix(X)
    named = hasattr(X, "columns") or hasattr(X, "__dataframe__")
    if not (named or reset or hasattr(estimator, "feature_names_in_")) and x.shape[1] == estimator.n_features_in_:
        return x  # what the check below would say, without its time, which is long for single rows
    check_columns(estimator, X if named else x, reset=reset)
    return x


@contextmanager
def kept_on_failure(estimator: Any, *, anew: bool = False) -> Iterator[None]:
    """Learnt attributes come back when the block fails. anew: inside the block the estimator has learnt nothing."""
    before = dict(vars(estimator))
    if anew:
        for name in before:
            if name.endswith("_"):
                delattr(estimator, name)
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def parameter(
    estimator: Any, name: str, *, field: str = "", table: type[Settings] = ClusterSettings, also: str = ""
) -> Any:
    """A parameter of an estimator, through the field of the settings' table (of the same name by default).

    also: what the estimator accepts beside it, for the error.
    """
    what = f"{type(estimator).__name__}: {name}"
    return legal_value(what, getattr(estimator, name), field or name, table, also)


def legal_value(what: str, value: Any, field: str, table: type[Settings] = ClusterSettings, also: str = "") -> Any:
    """The value in the field's type, or ConfigError with what an estimator accepts; 'auto' of a run is none of it."""
    for_runs = " or 'auto'" if table is ClusterSettings else ""
    with suppress(ConfigError):
        found = check_value(table, field, value)
        if not (for_runs and isinstance(found, str) and found == "auto"):
            return found
    expected = describe(next(spec for spec in fields(table) if spec.name == field)).removesuffix(for_runs) + also
    raise ConfigError(what, got=" ".join(repr(value).split())[:80], expected=expected)


def check_vigilance(estimator: Any) -> float:
    """The vigilance of an estimator, which cannot choose 'auto' by itself."""
    return float(parameter(estimator, "vigilance"))
