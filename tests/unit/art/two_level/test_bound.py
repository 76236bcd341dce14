"""The number of patterns asked for holds for all rows, also for those that were not learnt."""

from __future__ import annotations

import numpy as np
import pytest

from csrms_dist.art import FuzzyART, ShardedART, SphericalART, SphericalKMeans
from csrms_dist.art.two_level.selection import RowKeys, learning_rows
from tests.unit.art.runs import run

ROWS = np.random.default_rng(7).normal(size=(6000, 24)).astype(np.float32)
"""Rows that are never done with making new patterns."""


@pytest.mark.parametrize("asked", [30, 400])
@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"recentre": 0},
        {"algorithm": "kmeans"},
        {"algorithm": "kmeans", "kmeans_start": "random"},
        {"algorithm": "fuzzy"},
        {"algorithm": "fuzzy", "recentre": 2},
    ],
    ids=str,
)
def test_rows_that_were_not_learnt_add_no_more_than_was_asked_for(asked, choice):
    found = run(ROWS, n_patterns=asked, learn_rows=2000, **choice)
    assert abs(found.n_patterns - asked) <= 0.1 * asked
    assert found.sizes().sum() == len(ROWS)
    if not (choice.get("algorithm") == "fuzzy" and "recentre" not in choice):
        assert found.sizes().min() >= 3


def test_the_estimators_too():
    q = np.rint(30 * ROWS).clip(-127, 127).astype(np.int8)
    points = np.rint(255 * (ROWS - ROWS.min(0)) / np.ptp(ROWS, axis=0)).astype(np.uint8)
    for single, rows in ((SphericalART(), q), (SphericalKMeans(), q), (FuzzyART(), points)):
        found = ShardedART(single, n_patterns=120, learn_rows=1500).fit(rows)
        assert abs(len(found.sizes_) - 120) <= 12


def test_a_large_group_that_was_not_learnt_has_its_pattern():
    """Rows of one direction that were not learnt found a pattern, and a smaller one makes room."""
    draw = np.random.default_rng(1)
    ids = [f"row{k}" for k in range(4000)]
    rest = draw.normal(size=(4000, 16)) * ([1] * 12 + [0.01] * 4)
    learnt = ShardedART(SphericalART(), n_patterns=40, learn_rows=400).fit(rest, ids=ids)
    assert abs(len(learnt.sizes_) - 40) <= 4
    unseen = np.setdiff1d(np.arange(4000), learning_rows(RowKeys(4000, ids), 4, 400)[0])[:300]
    rest[unseen] = 0.05 * draw.normal(size=(300, 16))
    rest[unseen, 15] += 5
    found = ShardedART(SphericalART(), n_patterns=40, learn_rows=400).fit(rest, ids=ids)
    assert abs(len(found.sizes_) - 40) <= 4
    assert np.bincount(found.labels_[unseen]).max() >= 295
    assert found.scores_[unseen].mean() > 0.9


def test_a_vigilance_that_is_given_bounds_nothing():
    found = run(ROWS, vigilance=0.6, learn_rows=500)
    few = run(ROWS[:500], vigilance=0.6)
    assert found.n_patterns > 2 * few.n_patterns
