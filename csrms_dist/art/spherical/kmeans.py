"""k-means on the sphere, with the exact int8 arithmetic of spherical ART."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin

from csrms_dist.art import kernels
from csrms_dist.art.inputs import kept_on_failure, parameter, rows_to_learn, rows_to_place
from csrms_dist.art.spherical import algorithm as spherical_art
from csrms_dist.art.spherical.algorithm import as_int8
from csrms_dist.art.spherical.learner import SphericalLearner
from csrms_dist.art.two_level.prototypes import MOST_TURNS, canonical, first_distinct
from csrms_dist.art.two_level.selection import RowKeys
from csrms_dist.art.two_level.vigilance import bisect
from csrms_dist.basics.arrays import F64, I8, I32


class SphericalKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    r"""k-means of directions: each row belongs to the prototype of largest cosine, a prototype is its rows' direction.

    .. math:: p_j \leftarrow \mathrm{freeze}\bigl(\textstyle\sum_{i: w(i) = j} q_i\bigr), \qquad
              w(i) = \arg\max_j \; q_i \cdot p_j / \lVert p_j \rVert

    until no prototype moves (Lloyd's iteration), at most 100 times. Rows and prototypes are int8, sums int64, so equal
    rows give equal bytes on every machine.

    Parameters
    ----------
    n_clusters: int >= 1, how many prototypes. Fewer come out where there are fewer distinct rows.
    start: 'random', the distinct rows of smallest hash of their row number; or 'art', as many of spherical ART's
        categories as the search for its vigilance finds nearest to n_clusters.

    Attributes
    ----------
    prototypes_: (J, D) int8. labels_: (N,) int32, -1 for rows of zeros. n_iter_: turns. n_features_in_: D.

    References
    ----------
    I. S. Dhillon, D. S. Modha, "Concept decompositions for large sparse text data using clustering", Machine Learning
    42 (2001) 143-175.

    Examples
    --------
    >>> SphericalKMeans(2).fit([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]).labels_
    array([1, 1, 0], dtype=int32)
    """

    def __init__(self, n_clusters: int = 8, start: str = "random") -> None:
        self.n_clusters = n_clusters
        self.start = start

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Cluster X (N, D), int8 or finite numbers. Raises ConfigError or DataError."""
        n_clusters = int(parameter(self, "n_clusters", field="n_patterns"))
        start = parameter(self, "start", field="kmeans_start")
        with kept_on_failure(self, anew=True):
            q = as_int8(rows_to_learn(self, X))
            rows = q[RowKeys(len(q), None).in_order(np.arange(len(q)))]
            p = first_distinct(rows, n_clusters) if start == "random" else _by_art(rows, n_clusters)
            self.n_iter_ = 0
            for turn in range(MOST_TURNS):
                winner = self._nearest(q, p)
                sums = np.zeros(p.shape, np.int64)
                kernels.add_members(q, winner, sums)
                sizes = np.bincount(winner[winner >= 0], minlength=len(p))
                before, p = p, canonical(SphericalLearner().centres(p, sums, sizes))
                self.n_iter_ = turn + 1
                if np.array_equal(before, p):
                    break
            winner = self._nearest(q, p)
            used, numbers = np.unique(winner[winner >= 0], return_inverse=True)
            self.prototypes_ = p[used]
            self.labels_ = winner
            self.labels_[winner >= 0] = numbers
        return self

    def predict(self, X: npt.ArrayLike) -> I32:
        """The prototype of largest cosine, (N,) int32; -1 for a row of zeros, and where fit saw no others."""
        return self._nearest(as_int8(rows_to_place(self, X, "predict")), self.prototypes_)

    def transform(self, X: npt.ArrayLike) -> F64:
        """(N, J) cosine distances, 1 - cos."""
        q = as_int8(rows_to_place(self, X, "transform")).astype(np.float64)
        p = self.prototypes_.astype(np.float64)
        lengths = np.sqrt((q * q).sum(axis=1))[:, None] * np.sqrt((p * p).sum(axis=1))
        distances: F64 = 1 - (q @ p.T) / np.where(lengths > 0, lengths, 1)
        return distances

    @property
    def _n_features_out(self) -> int:
        return len(self.prototypes_)

    @staticmethod
    def _nearest(q: I8, p: I8) -> I32:
        if not len(p):
            return np.full(len(q), -1, np.int32)
        winner = spherical_art.assign(q, p)[0]
        winner[~q.any(axis=1)] = -1
        return winner


def _by_art(rows: I8, n_clusters: int) -> I8:
    """About n_clusters categories of spherical ART."""

    def categories(rho: float) -> I8:
        return canonical(spherical_art.freeze(spherical_art.learn(rows, rho).sums))

    rho, _ = bisect(lambda rho: (len(categories(rho)), False), n_clusters)
    return categories(rho)
