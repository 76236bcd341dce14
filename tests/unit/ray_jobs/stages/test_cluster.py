"""What the stage says where it did not find what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from csrms_dist.art.settings import ClusterSettings
from ray_jobs.stages.cluster import BLOCK, all_equal, missed


@pytest.mark.parametrize(
    ("asked", "patterns", "said"),
    [("auto", 3, False), (100, 100, False), (100, 90, False), (100, 110, False), (100, 89, True), (100, 111, True)],
)
def test_a_number_missed_by_more_than_a_tenth_is_said(asked: int | str, patterns: int, said: bool) -> None:
    sentence = missed(ClusterSettings(n_patterns=asked), patterns, 2000)
    assert bool(sentence) is said
    if said:
        assert sentence.startswith(f"cluster.n_patterns: asked for 100, got {patterns}, ")
        assert "2,000 rows" in sentence
        assert "cluster.min_size 3 are dissolved" in sentence


@pytest.mark.parametrize("rows", [2, BLOCK, 2 * BLOCK + 1])
def test_vectors_that_are_all_the_same(rows: int) -> None:
    vectors = np.zeros((rows, 3), np.float32)
    assert all_equal(vectors)
    vectors[-1, 2] = 1e-6
    assert not all_equal(vectors)
    assert not all_equal(vectors[:1])
