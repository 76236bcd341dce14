"""Preparation of deep features for ART: fitted once, frozen, then a function of each row alone.

Scalings turn a block of vectors (B, D) into what their learner takes, and are a plain dict of arrays on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import scipy.linalg
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from csrms_dist.art import kernels
from csrms_dist.art.rows import Rows
from csrms_dist.basics.arrays import F64, I8, I64, U8, Matrix

BLOCK = 8192  # rows of one step, counted by the dense index
MAX_DIMENSIONS = 100  # wider vectors are projected
COMPONENTS = 64
CLIPPED = 0.01  # of the values of each dimension, at either end
_NO_DIRECTION = 1e-9  # a centred unit row shorter than this is rounding: rows that are all equal leave about 1e-12


class Transform(Protocol):
    """Rows -> what a learner takes. Assumes finite numbers; a row's result does not depend on the rows around it."""

    @property
    def dtype(self) -> type[np.generic]: ...

    def width(self, dimension: int) -> int:
        """The number of columns that rows of so many columns get."""
        ...

    def transform_block(self, block: Matrix) -> Matrix: ...


@cache
def blas() -> Any:
    """The handle on the BLAS libraries' threads; finding them takes a while, so it is kept."""
    return ThreadpoolController()


def unit(block: Matrix) -> F64:
    """L2-normalised rows in float64; a row of zeros stays. The largest is divided out first, against overflow."""
    x = np.array(block, dtype=np.float64, order="C")
    largest = np.abs(x).max(axis=1, keepdims=True)
    x /= np.where(largest > 0, largest, 1)
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / np.where(norm > 0, norm, 1)


@dataclass(frozen=True, eq=False)
class SphericalScaling:
    """To int8 on the sphere: L2-normalise, subtract the mean, project, L2-normalise, scale, round.

    mean: (D,) float64. basis: (D, D') float64, the leading eigenvectors of the covariance, or (D, 0) when D <= 100 and
    there is no projection. scale: 127 over the largest component of the rows that were fitted.
    """

    mean: F64
    basis: F64
    scale: float
    dtype = np.int8

    def width(self, dimension: int) -> int:
        return self.dimension

    @classmethod
    def fit(cls, vectors: Rows, rows: I64 | None = None) -> Self:
        """Fit on vectors[rows] (all by default), in that order, in blocks and on one BLAS thread."""
        order = np.arange(len(vectors)) if rows is None else rows
        dimension = vectors.shape[1]
        with blas().limit(limits=1, user_api="blas"):
            total, count = np.zeros(dimension), 0
            for x in _units(vectors, order):
                total += x.sum(axis=0)
                count += len(x)
            mean = total / max(1, count)
            basis = np.zeros((dimension, 0))
            if dimension > MAX_DIMENSIONS:
                covariance = np.zeros((dimension, dimension))
                for x in _units(vectors, order):
                    x -= mean
                    covariance += x.T @ x
                basis = _leading(covariance)
        largest = 0.0
        unscaled = cls(mean, basis, 1.0)
        for block in _blocks(vectors, order):
            largest = max(largest, float(np.abs(unscaled._directions(block)).max()))
        return cls(mean, basis, 127.0 / (largest or 1.0))

    @property
    def columns(self) -> int:
        """The number of columns of a vector."""
        return len(self.mean)

    @property
    def dimension(self) -> int:
        return int(self.basis.shape[1] or self.columns)

    def _directions(self, block: Matrix) -> F64:
        x = unit(block)
        empty = ~x.any(axis=1)
        x -= self.mean
        x[empty | (np.sqrt((x * x).sum(axis=1)) < _NO_DIRECTION)] = 0
        if self.basis.shape[1]:
            projected = np.empty((len(x), self.basis.shape[1]))
            kernels.project(x, self.basis, projected)
            projected[np.sqrt((projected * projected).sum(axis=1)) < _NO_DIRECTION] = 0
            x = projected
        return unit(x)

    def transform_block(self, block: Matrix) -> I8:
        """(B, D) finite numbers -> (B, D') int8. Zero rows, and rows at the mean, become zeros."""
        q: I8 = np.clip(np.rint(self.scale * self._directions(block)), -127, 127).astype(np.int8)
        return q

    def arrays(self) -> dict[str, Matrix]:
        """A plain dict of arrays, from which `from_arrays` makes the same scaling."""
        return {"mean": self.mean, "basis": self.basis, "scale": np.array([self.scale])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Matrix]) -> Self:
        return cls(arrays["mean"], arrays["basis"], float(arrays["scale"][0]))


@dataclass(frozen=True, eq=False)
class MinMaxScaling:
    """To [0, 1] for Fuzzy ART: L2-normalise, per-dimension min-max with frozen statistics, clip; 255 stands for 1.

    low, high: (D,) float64, over L2-normalised rows. A dimension that is constant becomes 0.
    """

    low: F64
    high: F64
    dtype = np.uint8

    def width(self, dimension: int) -> int:
        return self.columns

    @classmethod
    def fit(cls, vectors: Rows, rows: I64 | None = None) -> Self:
        """Fit on vectors[rows], all by default."""
        order = np.arange(len(vectors)) if rows is None else rows
        return cls.combine([cls.extremes(block) for block in _blocks(vectors, order)])

    @staticmethod
    def extremes(block: Matrix) -> tuple[F64, F64]:
        """The part of one block in the all-reduce: minimum and maximum, each (D,)."""
        x = unit(block)
        return x.min(axis=0), x.max(axis=0)

    @classmethod
    def combine(cls, parts: list[tuple[F64, F64]]) -> Self:
        """The scaling of all blocks; minima and maxima do not depend on the order."""
        return cls(np.min([low for low, _ in parts], axis=0), np.max([high for _, high in parts], axis=0))

    @classmethod
    def fit_quantiles(cls, vectors: Rows, rows: I64, tail: float = CLIPPED) -> Self:
        """From the quantiles `tail` and 1 - tail of vectors[rows]: single far values then cost no resolution."""
        units = np.concatenate([unit(block) for block in _blocks(vectors, rows)])
        low, high = np.quantile(units, [tail, 1 - tail], axis=0)
        return cls(low, high)

    @property
    def columns(self) -> int:
        """The number of columns of a vector."""
        return len(self.low)

    def transform_block(self, block: Matrix) -> U8:
        """(B, D) finite numbers -> (B, D) uint8."""
        span = self.high - self.low
        x = np.where(span > 0, (unit(block) - self.low) / np.where(span > 0, span, 1), 0)
        scaled: U8 = np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)
        return scaled

    def arrays(self) -> dict[str, Matrix]:
        """A plain dict of arrays, from which `from_arrays` makes the same scaling."""
        return {"low": self.low, "high": self.high}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Matrix]) -> Self:
        return cls(arrays["low"], arrays["high"])


Scaling: TypeAlias = SphericalScaling | MinMaxScaling


def save_scaling(folder: Path, scaling: Scaling) -> None:
    """Write each array as `scaling_<name>.npy`: plain files, because archives carry the time of writing."""
    for name, array in scaling.arrays().items():
        np.save(folder / f"scaling_{name}.npy", np.ascontiguousarray(array))


def load_scaling(folder: Path) -> Scaling:
    """Read what `save_scaling` wrote; the names of the arrays tell which scaling it is."""
    return scaling_from({path.stem.removeprefix("scaling_"): np.load(path) for path in folder.glob("scaling_*.npy")})


def scaling_from(arrays: Mapping[str, Matrix]) -> Scaling:
    """The scaling of which `arrays` are the arrays."""
    return SphericalScaling.from_arrays(arrays) if "mean" in arrays else MinMaxScaling.from_arrays(arrays)


def _blocks(vectors: Rows, order: I64) -> Iterator[Matrix]:
    for start in range(0, len(order), BLOCK):
        yield vectors[order[start : start + BLOCK]]


def _units(vectors: Rows, order: I64) -> Iterator[F64]:
    """L2-normalised blocks without their zero rows, which have no say in the mean."""
    for block in _blocks(vectors, order):
        x = unit(block)
        yield x[x.any(axis=1)]


def _leading(covariance: F64) -> F64:
    """The COMPONENTS leading eigenvectors as columns, the largest-magnitude component of each made positive."""
    dimension = len(covariance)
    _, vectors = scipy.linalg.eigh(covariance, subset_by_index=[dimension - COMPONENTS, dimension - 1])
    vectors = vectors[:, ::-1]
    largest = np.argmax(np.abs(vectors), axis=0)  # argmax takes the lowest index on ties
    signs = np.where(vectors[largest, np.arange(COMPONENTS)] < 0, -1.0, 1.0)
    return np.ascontiguousarray(vectors * signs)
