"""An algorithm as a run knows it, by name: its learner, the scaling of its rows, and its defaults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from csrms_dist.art.placing import Placing
from csrms_dist.art.scaling import Scaling
from csrms_dist.art.settings import ALGORITHMS, ClusterSettings
from csrms_dist.art.two_level.learner import Learner
from csrms_dist.art.two_level.prepare import Given
from csrms_dist.basics.arrays import F64, Matrix
from csrms_dist.basics.lookup import Kind, chosen, takes


class Algorithm(ABC):
    """The port of an algorithm to a run. Assumes that everything it says depends on the settings alone.

    scaling: what vectors go through. recentre: how many times patterns move to the mean of their rows by default.
    on_device: whether something else than its learner, such as a GPU, may place rows; see `placed_by`.
    """

    scaling: ClassVar[type[Scaling]]
    recentre: ClassVar[int] = 0
    on_device: ClassVar[bool] = False

    @abstractmethod
    def learner(self, settings: ClusterSettings) -> Learner:
        """The algorithm for the two levels."""

    def placed_by(self, learner: Learner, placing: Placing) -> Learner:
        """The learner with its rows placed by `placing`, where it has int8 rows; the same results come out."""
        return learner

    @abstractmethod
    def fit(self, settings: ClusterSettings, given: Given) -> Scaling:
        """The scaling, fitted. Raises DataError for rows that are not finite."""

    @abstractmethod
    def resemblance(self, rows: Matrix, queries: int) -> F64:
        """The resemblance, as the vigilance measures it, of each of the first rows to each row (N, D): (queries, N).

        Raises DataError for rows that the learner does not take.
        """

    def kmeans(self, settings: ClusterSettings) -> str:
        """From which prototypes k-means starts, '' for an algorithm that has a vigilance."""
        return ""


def algorithm_of(name: str) -> Algorithm:
    """The algorithm that `cluster.algorithm` names. Raises ConfigError for a name that it does not take."""
    found: Algorithm = chosen(ALGORITHMS, name, "cluster.algorithm")()
    return found


KIND = Kind(
    "an Algorithm of {} (art/algorithm.py)",
    lambda value: isinstance(value, type) and issubclass(value, Algorithm) and takes(value, 0),
)
"""An algorithm of a user's own."""
