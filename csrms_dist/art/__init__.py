"""Adaptive resonance theory: spherical and Fuzzy ART, alone and over shards. NumPy and numba; no torch, no Ray.

>>> import numpy as np
>>> X = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
>>> SphericalART(vigilance=0.9).fit_predict(X)
array([0, 0, 1], dtype=int32)
"""

from csrms_dist.art.calibration import calibrate, calibrate_rows
from csrms_dist.art.clustering import Clustering
from csrms_dist.art.fuzzy.adaptive_vigilance import AdaptiveVigilanceART
from csrms_dist.art.fuzzy.estimator import FuzzyART
from csrms_dist.art.patterns import cluster
from csrms_dist.art.sharded_art import ShardedART
from csrms_dist.art.spherical.estimator import SphericalART
from csrms_dist.art.spherical.kmeans import SphericalKMeans

__all__ = [
    "AdaptiveVigilanceART",
    "Clustering",
    "FuzzyART",
    "ShardedART",
    "SphericalART",
    "SphericalKMeans",
    "calibrate",
    "calibrate_rows",
    "cluster",
]
