"""Nearest neighbours by a plain loop."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from csrms_dist.evaluation.knn import knn_scores


def test_votes_by_a_plain_loop() -> None:
    draw = np.random.default_rng(0)
    features, bank = draw.standard_normal((7, 5)), draw.standard_normal((30, 5))
    labels = (draw.random((30, 4)) < 0.4).astype(np.uint8)
    found = knn_scores(
        features.astype(np.float32), bank.astype(np.float32), sparse.csr_matrix(labels), k=6, temperature=0.1
    )
    for n, feature in enumerate(features):
        cosine = [float(feature @ row / math.hypot(*feature) / math.hypot(*row)) for row in bank]
        nearest = sorted(range(30), key=lambda m: -cosine[m])[:6]
        weight = {m: math.exp(cosine[m] / 0.1) for m in nearest}
        for k in range(4):
            expected = sum(weight[m] for m in nearest if labels[m, k]) / sum(weight.values())
            assert abs(found[n, k] - expected) < 1e-4


def test_fewer_rows_than_neighbours_and_one_label_sum_to_one() -> None:
    bank = np.eye(3, dtype=np.float32)
    found = knn_scores(bank * 5, bank, sparse.csr_matrix(np.eye(3, dtype=np.uint8)))
    assert np.allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == np.arange(3)).all()
