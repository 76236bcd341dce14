"""k nearest neighbours on features as they are: the answer of a classifier that learns nothing beyond its encoder."""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import F32
from csrms_dist.labels import Membership

K, TEMPERATURE = 20, 0.07
"""Of the weighted vote, as self-supervised features are judged (Wu et al., 2018)."""
_BLOCK = 1024


def knn_scores(features: F32, bank: F32, membership: Membership, k: int = K, temperature: float = TEMPERATURE) -> F32:
    """(N, D) features and a bank (M, D) with its labels (M, K) -> (N, K) in [0, 1].

    Each of the k bank rows of largest cosine votes for its labels with weight e^(cosine / temperature); of equal
    cosines the first rows vote. With one label an image a row sums to 1.
    """
    unit, bank_unit = _unit(features), _unit(bank)
    k = min(k, len(bank))
    found = np.zeros((len(features), membership.shape[1]), np.float32)
    for start in range(0, len(unit), _BLOCK):
        cosine = unit[start : start + _BLOCK] @ bank_unit.T
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        value = np.take_along_axis(cosine, nearest, axis=1).astype(np.float64)
        weight = np.exp((value - value[:, :1]) / temperature)
        weight /= weight.sum(axis=1, keepdims=True)
        for row, (some, weights) in enumerate(zip(nearest, weight, strict=True), start):
            found[row] = membership[some].T @ weights
    return found


def _unit(vectors: F32) -> F32:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: F32 = (vectors / np.maximum(norm, 1e-12)).astype(np.float32)
    return unit
