"""Which vigilance can work on these features: how much neighbours resemble each other, and how much random rows do.

A vigilance below the resemblance of random rows puts everything together; one above that of nearest neighbours puts
every row alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csrms_dist.art.scaling import MinMaxScaling, Scaling, SphericalScaling, blas
from csrms_dist.hashing import Texts, hash_ids, hash_order

F64 = npt.NDArray[np.float64]

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
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

    def warning(self, vigilance: float) -> str:
        """What to tell the user who configured `vigilance`; empty if it can work."""
        if self.high - self.low < 0.01:
            return (
                "nearest neighbours resemble each other no more than random rows do: these features cluster badly "
                "under any method; train the encoder longer or use features of a pre-trained one"
            )
        if self.low <= vigilance <= self.high:
            return ""
        result = (
            "one pattern for nearly everything"
            if vigilance < self.low
            else "a pattern for nearly every row, and small ones are dissolved"
        )
        return (
            f"cluster.vigilance: got {vigilance:g}, expected between {self.low:.3f} and {self.high:.3f}, because on "
            f"these features it gives {result}; try {self.suggestion:.3f} or 'auto'"
        )

    def report(self) -> str:
        """A small table of the quantiles with the usable range and the suggestion."""
        lines = [f"resemblance ({self.algorithm}, {self.rows} rows)" + "".join(f"{q:>9.0%}" for q in LEVELS)]
        for name, values in (("nearest neighbours", self.nearest), ("random pairs", self.random)):
            lines.append(f"{name:<{len(lines[0]) - 9 * len(LEVELS)}}" + "".join(f"{value:9.3f}" for value in values))
        lines.append(f"usable vigilance {self.low:.3f} to {self.high:.3f}, suggested {self.suggestion:.3f}")
        return "\n".join(lines)


def calibrate(vectors: npt.NDArray[Any], ids: Texts, algorithm: str = "spherical") -> Calibration:
    """Measure a sample of the rows (N, D), the one whose ids have the smallest hashes; finite numbers.

    Examples
    --------
    >>> X = np.repeat(np.eye(3), 4, axis=0) + 0.01 * np.arange(36).reshape(12, 3) % 0.05
    >>> calibrate(X, [str(i) for i in range(12)]).warning(0.5)
    ''
    """
    rows = hash_order(hash_ids(ids, "order"), ids)[:_REFERENCES]
    sample = np.asarray(vectors[rows])
    fit: type[Scaling] = MinMaxScaling if algorithm == "fuzzy" else SphericalScaling
    return calibrate_rows(fit.fit(sample).transform_block(sample), algorithm)


def calibrate_rows(rows: npt.NDArray[Any], algorithm: str) -> Calibration:
    """The same for rows as an estimator takes them, of which the first 2,048 count: a sample in random order.

    algorithm: 'fuzzy' for rows in [0, 1] or uint8, else the cosine is measured.
    """
    x = rows[:_REFERENCES].astype(np.float64)
    x = x / 255 if rows.dtype == np.uint8 else x
    queries = min(_QUERIES, len(x))
    resemblance = _closeness(x[:queries], x) if algorithm == "fuzzy" else _cosines(x[:queries], x)
    itself = np.arange(len(x)) == np.arange(queries)[:, None]
    if len(x) == 1:
        return Calibration(algorithm, 1, (1.0,) * len(LEVELS), (0.0,) * len(LEVELS), 0.0, 1.0)
    nearest = np.where(itself, -np.inf, resemblance).max(axis=1)
    quantiles = [tuple(np.quantile(values, LEVELS).tolist()) for values in (nearest, resemblance[~itself])]
    low, high = (float(np.clip(values[LEVELS.index(0.5)], 0, 1)) for values in quantiles[::-1])
    return Calibration(algorithm, len(x), quantiles[0], quantiles[1], low, high)


def _cosines(a: F64, b: F64) -> F64:
    def norms(x: F64) -> F64:
        length = np.sqrt((x * x).sum(axis=1))
        return np.where(length > 0, length, 1)

    with blas().limit(limits=1, user_api="blas"):
        cosines: F64 = (a @ b.T) / norms(a)[:, None] / norms(b)
    return cosines


def _closeness(a: F64, b: F64) -> F64:
    return np.stack([1 - np.abs(row - b).mean(axis=1) for row in a])
