"""Which vigilance can work on these features: how much neighbours resemble each other, and how much random rows do.

A vigilance below the resemblance of random rows puts everything together; one above that of nearest neighbours puts
every row alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from csrms_dist.art.algorithm import algorithm_of
from csrms_dist.art.inputs import as_matrix, legal_value, not_finite
from csrms_dist.art.two_level.selection import RowKeys
from csrms_dist.basics.hashing import hash_order

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
TELLS_APART = 0.01  # how much nearer than random rows neighbours must be
NEARLY_ALL = 0.95  # share of the rows in one category
FEW_ROWS = 200  # of which one category may well hold nearly all
_REFERENCES = 2048  # rows among which neighbours are looked for
_QUERIES = 256  # rows whose neighbours are looked for


@dataclass(frozen=True)
class Calibration:
    """Quantiles (at LEVELS) of the resemblance of nearest neighbours and of random pairs, and what follows for rho.

    Resemblance is the cosine (spherical) or 1 - mean |x - x'| (fuzzy), as the vigilance measures it. The usable range
    lies between the two medians.
    """

    algorithm: str
    rows: int
    nearest: tuple[float, ...]
    random: tuple[float, ...]
    low: float
    high: float

    @property
    def suggestion(self) -> float:
        """The middle of the usable range."""
        return (self.low + self.high) / 2

    def warning(self, vigilance: float, name: str = "vigilance", alternative: str = "") -> str:
        """A sentence for the user who chose `vigilance`; empty if it can work.

        name: as the user knows the parameter. alternative: what else to try, beside the suggestion.
        """
        if self.high - self.low < TELLS_APART:
            return (
                "nearest neighbours resemble each other no more than random rows do: these features cluster badly "
                "under any method; take others, such as those of an encoder that was trained longer or pre-trained"
            )
        if self.low <= vigilance <= self.high:
            return ""
        result = (
            "one pattern for nearly everything"
            if vigilance < self.low
            else "a pattern for nearly every row, and small ones are dissolved"
        )
        return (
            f"{name}: got {vigilance:g}, expected between {self.low:.3f} and {self.high:.3f}, because on "
            f"these features it gives {result}; try {self.suggestion:.3f}{alternative}"
        )

    def report(self) -> str:
        """A small table of the quantiles with the usable range and the suggestion."""
        lines = [f"resemblance ({self.algorithm}, {self.rows} rows)" + "".join(f"{q:>9.0%}" for q in LEVELS)]
        for name, values in (("nearest neighbours", self.nearest), ("random pairs", self.random)):
            lines.append(f"{name:<{len(lines[0]) - 9 * len(LEVELS)}}" + "".join(f"{value:9.3f}" for value in values))
        lines.append(f"usable vigilance {self.low:.3f} to {self.high:.3f}, suggested {self.suggestion:.3f}")
        return "\n".join(lines)


def one_for_all(rows: Any, share: float, vigilance: float, name: str) -> str:
    """A sentence where one category holds nearly all rows only because they were not centred; else empty.

    rows: (N, D) as the estimator took them. share: of them in the largest category. name: of the estimator.
    """
    if share < NEARLY_ALL or len(rows) < FEW_ROWS:
        return ""
    found = calibrate_rows(rows)
    if vigilance >= found.low or found.high - found.low < TELLS_APART:
        return ""
    return found.warning(
        vigilance, f"{name}: vigilance", ", or subtract the mean of each column first, X - X.mean(axis=0)"
    )


def calibrate(vectors: Any, ids: Any, algorithm: str = "spherical") -> Calibration:
    """The rows of a run: a sample of the rows (N, D), prepared as a run prepares them (centred, or scaled to bytes).

    For the estimators, which take rows as they are, measure with `calibrate_rows`: centring lowers every cosine.

    Parameters
    ----------
    vectors: finite numbers, an array, a data frame, lists, or what is read by ranges of rows. ids: (N,) distinct texts
        or whole numbers, of which those of smallest hash are the sample.
    algorithm: 'spherical', 'kmeans' or 'fuzzy', as in a configuration. Raises ConfigError or DataError.

    Examples
    --------
    >>> X = np.repeat(np.eye(3), 4, axis=0) + 0.01 * np.arange(36).reshape(12, 3) % 0.05
    >>> calibrate(X, [str(i) for i in range(12)]).warning(0.5)
    ''
    """
    legal_value("calibrate: algorithm", algorithm, "algorithm")
    source = vectors if hasattr(vectors, "dtype") and len(vectors.shape) == 2 else as_matrix(vectors)
    keys = RowKeys(len(source), ids)
    hashes = keys.hashes("order", 0, len(source))
    if len(np.unique(hashes)) < len(hashes):  # equal ids have equal hashes
        keys.refuse_repeated()
    rows = hash_order(hashes, keys.ids)[:_REFERENCES]
    sample = as_matrix(np.asarray(source[rows]))
    bad = np.flatnonzero(~np.isfinite(sample).all(axis=1))
    if len(bad):
        raise not_finite(int(rows[bad[0]]), sample[bad[0]])
    scaling = algorithm_of(algorithm).scaling.fit(sample)
    return calibrate_rows(scaling.transform_block(sample), algorithm)


def calibrate_rows(rows: Any, algorithm: str = "spherical") -> Calibration:
    """The rows of an estimator: as they are, of which the first 2,048 count: a sample in random order.

    algorithm: 'fuzzy' for FuzzyART and AdaptiveVigilanceART (rows in [0, 1], or uint8), else the cosine is measured.
    Raises ConfigError or DataError.

    Examples
    --------
    >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]])
    >>> calibrate_rows(X).warning(0.9)
    ''
    """
    legal_value("calibrate_rows: algorithm", algorithm, "algorithm")
    some = as_matrix(rows[:_REFERENCES] if isinstance(rows, np.ndarray) and rows.ndim == 2 else rows)[:_REFERENCES]
    n, queries = len(some), min(_QUERIES, len(some))
    resemblance = algorithm_of(algorithm).resemblance(some, queries)
    if n == 1:
        return Calibration(algorithm, 1, (1.0,) * len(LEVELS), (0.0,) * len(LEVELS), 0.0, 1.0)
    itself = np.arange(n) == np.arange(queries)[:, None]
    nearest = np.where(itself, -np.inf, resemblance).max(axis=1)
    quantiles = [tuple(np.quantile(values, LEVELS).tolist()) for values in (nearest, resemblance[~itself])]
    low, high = (float(np.clip(values[LEVELS.index(0.5)], 0, 1)) for values in quantiles[::-1])
    return Calibration(algorithm, n, quantiles[0], quantiles[1], low, high)
