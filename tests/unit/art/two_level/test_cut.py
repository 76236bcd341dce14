"""A number of patterns that no vigilance gives is made by k-means, and only where it was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.art import FuzzyART, ShardedART, SphericalART
from csrms_dist.art.two_level.executors import ThreadExecutor
from csrms_dist.art.two_level.prototypes import shared_out
from tests.unit.art.runs import run, saved
from tests.unit.art.two_level.test_grain import planted, purity


@pytest.mark.parametrize("choice", [{}, {"recentre": 0}, {"algorithm": "kmeans"}], ids=str)
@pytest.mark.parametrize(
    ("groups", "dimension", "noise", "rows", "asked"),
    [(20, 32, 0.3, 2000, 100), (10, 16, 0.2, 600, 60), (50, 64, 0.1, 3000, 300)],
)
def test_groups_that_lie_apart_are_cut_into_as_many_as_asked(groups, dimension, noise, rows, asked, choice):
    x, label = planted(groups, dimension, noise, rows)
    found = run(x, n_patterns=asked, **choice)
    assert abs(found.n_patterns - asked) <= 0.1 * asked
    assert found.cut
    assert purity(found.pattern, label) == 1
    assert found.sizes().min() >= 3
    again, _ = found.predict(x)
    np.testing.assert_array_equal(again, found.pattern)


def test_rows_that_were_not_learnt_are_cut_too():
    x, label = planted(20, 32, 0.3, 2000)
    found = run(x, n_patterns=100, learn_rows=1000)
    assert abs(found.n_patterns - 100) <= 10
    assert purity(found.pattern, label) == 1


def test_the_same_bytes_on_two_threads_and_in_any_order():
    x, _ = planted(20, 32, 0.3, 2000)
    ids = [f"row{k}" for k in range(len(x))]
    found = run(x, ids, n_patterns=100)
    assert saved(run(x, ids, n_patterns=100, executor=ThreadExecutor(2))) == saved(found)
    order = np.random.default_rng(0).permutation(len(x))
    moved = run(x[order], [ids[k] for k in order], n_patterns=100)
    assert found.cut
    np.testing.assert_array_equal(moved.pattern, found.pattern[order])


def test_nothing_is_cut_where_a_vigilance_gives_the_number_or_none_was_asked_for():
    x = np.random.default_rng(7).normal(size=(2000, 24)).astype(np.float32)
    assert not run(x, n_patterns=100).cut
    groups, _ = planted(20, 32, 0.3, 2000)
    assert not run(groups).cut
    assert not run(groups, vigilance=0.7).cut
    assert not run(groups, n_patterns=20).cut


def test_more_patterns_than_the_rows_have_room_for_are_not_fewer():
    x, label = planted(20, 32, 0.3, 2000)
    found = run(x, n_patterns=1500)
    assert found.n_patterns >= 250  # of 666 pieces of three rows on average, of which smaller ones are dissolved
    assert purity(found.pattern, label) == 1


def test_rows_that_repeat_are_not_cut():
    x = np.repeat(np.random.default_rng(3).normal(size=(12, 16)), 50, axis=0)
    found = run(x, n_patterns=40)
    assert found.n_patterns <= 12
    assert purity(found.pattern, np.repeat(np.arange(12), 50)) >= found.n_patterns / 12


def test_the_estimator_cuts_too_and_boxes_never():
    x, _ = planted(20, 32, 0.3, 2000)
    assert abs(len(ShardedART(SphericalART(), n_patterns=100, min_size=3).fit(x).sizes_) - 100) <= 10
    points = np.rint(255 * (x - x.min(0)) / np.ptp(x, axis=0)).astype(np.uint8)
    boxes = ShardedART(FuzzyART(), n_patterns=100).fit(points)
    assert abs(len(boxes.sizes_) - 100) <= 10
    assert not boxes.below_vigilance_.any()  # boxes that were moved would not cover all their rows


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.integers(0, 40))
def test_pieces_are_shared_out_one_by_one(sizes, more):
    n = len(sizes) + more
    pieces = [1] * len(sizes)
    for _ in range(more):
        worth = [size / (number + 1) for size, number in zip(sizes, pieces, strict=True)]
        pieces[worth.index(max(worth))] += 1
    assert shared_out(n, np.array(sizes)).tolist() == pieces
