"""Spherical ART against plain loops over Python integers, and the properties of its pure functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.art.spherical.algorithm import (
    Categories,
    assign,
    freeze,
    joins,
    learn,
    learn_with_labels,
    merge,
)
from csrms_dist.errors import DataError
from tests.unit.art.spherical.loops import oracle_learn, rows_of

QUICK = settings(deadline=None, max_examples=60)
RHO = st.sampled_from([0.0, 0.3, 0.5, math.sqrt(0.5), 0.9, 0.99, 1.0])


@QUICK
@given(rows_of(), RHO)
def test_learn_is_the_loop(q, rho):
    sums, counts = learn(q, rho)
    expected_sums, expected_counts = oracle_learn(q, rho)
    assert sums.tolist() == expected_sums
    assert counts.tolist() == expected_counts
    assert sums.dtype == counts.dtype == np.int64


def test_learn_is_the_loop_on_full_range_rows_and_many_categories():
    q = np.random.default_rng(0).integers(-127, 128, (300, 9)).astype(np.int8)
    for rho in (0.0, 0.6, 0.97):
        sums, counts = learn(q, rho)
        assert (sums.tolist(), counts.tolist()) == oracle_learn(q, rho)
    assert len(counts) > 128  # the category arrays have grown twice


@QUICK
@given(rows_of(), RHO, st.integers(1, 5))
def test_merge_is_the_loop_on_sorted_sums_and_ignores_the_order_of_the_parts(q, rho, shards):
    parts = [learn(q[k::shards], rho) for k in range(shards)]
    inputs = sorted((-int(n), s.tolist()) for part in parts for s, n in zip(part.sums, part.counts, strict=True))
    merged = merge(parts, rho)
    expected = oracle_learn([s for _, s in inputs], rho, [-n for n, _ in inputs])
    assert (merged.sums.tolist(), merged.counts.tolist()) == expected
    for order in (parts[::-1], parts[1:] + parts[:1]):
        again = merge(order, rho)
        assert again.sums.tobytes() == merged.sums.tobytes()


@QUICK
@given(rows_of(), RHO)
def test_counts_and_sums_are_conserved(q, rho):
    sums, counts = learn(q, rho)
    assert counts.sum() == q.any(axis=1).sum()
    assert (sums.sum(axis=0) == q.astype(np.int64).sum(axis=0)).all()
    assert (counts > 0).all()
    assert sums.any(axis=1).all()


@QUICK
@given(rows_of(), st.integers(1, 4))
def test_vigilance_one_makes_one_category_for_each_direction(q, shards):
    directions = {tuple(x // math.gcd(*row) for x in row) for row in q.tolist() if any(row)}
    merged = merge([learn(q[k::shards], 1.0) for k in range(shards)], 1.0)
    assert len(merged.counts) == len(directions)


@QUICK
@given(rows_of(), RHO, st.integers(1, 4))
def test_a_weighted_row_is_a_repeated_row(q, rho, times):
    repeated = learn(np.repeat(q, times, axis=0), rho)
    weighted = learn(q.astype(np.int64) * times, rho, np.full(len(q), times))
    assert repeated.sums.tolist() == weighted.sums.tolist()
    assert repeated.counts.tolist() == weighted.counts.tolist()


@QUICK
@given(rows_of(), rows_of(low=-127, high=127, max_rows=6), st.floats(0, 1))
def test_assign_is_the_loop_and_ties_go_to_the_highest_index(q, p, rho):
    p = np.resize(p, (len(p), q.shape[1]))
    winner, score = assign(q, p)
    passes = joins(q, p, winner, rho)
    for i, row in enumerate(q.tolist()):
        values = []
        for other in p.tolist():
            dot = sum(a * b for a, b in zip(row, other, strict=True))
            values.append(float(dot) / (math.sqrt(float(sum(b * b for b in other))) or 1.0))
        best = max(range(len(p)), key=lambda j: (values[j], j))
        assert winner[i] == best
        own = sum(a * a for a in row)
        assert score[i] == np.float32(values[best] / (math.sqrt(float(own)) or 1.0))
        other = p[best].tolist()
        dot, square = sum(a * b for a, b in zip(row, other, strict=True)), sum(b * b for b in other)
        assert passes[i] == (float(dot) >= rho * math.sqrt(float(own) * float(square)))
    assert winner.dtype == np.int32
    assert score.dtype == np.float32


def test_assign_is_exact_for_wide_rows_and_many_prototypes():
    rng = np.random.default_rng(1)
    for width, many in ((1000, 40), (1500, 40), (3, 1500)):
        q = rng.integers(-127, 128, (50, width)).astype(np.int8)
        p = rng.integers(-127, 128, (many, width)).astype(np.int8)
        q[0] = p[-1] = 127  # the largest possible product
        dots = q.astype(np.int64) @ p.astype(np.int64).T
        values = dots / np.sqrt((p.astype(np.int64) ** 2).sum(axis=1).astype(np.float64))
        assert (assign(q, p)[0] == many - 1 - values[:, ::-1].argmax(axis=1)).all()


def test_freeze_scales_each_sum_to_127():
    sums = np.array([[1000, -500, 3], [0, 0, 0], [0, 0, -(2**40)]])
    assert freeze(sums).tolist() == [[127, round(-63.5), 0], [0, 0, 0], [0, 0, -127]]  # half to even


@pytest.mark.parametrize(
    ("q", "weights", "what"),
    [
        (np.ones((2, 3), np.int8), np.array([999_999, 2]), "1000001"),
        (np.full((1, 1), 2**31, np.int64), None, "total length"),
    ],
)
def test_products_that_could_leave_63_bits_are_refused(q, weights, what):
    with pytest.raises(DataError, match=what):
        learn(q, 0.5, weights)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8, 0.95])
@pytest.mark.parametrize(("n", "dimension"), [(63, 3), (64, 70), (65, 1), (300, 20)])
def test_batches_change_nothing(n, dimension, rho):
    """Longer than a batch, with repeated rows, rows of zeros, and the largest values."""
    draw = np.random.default_rng(n)
    q = draw.integers(-127, 128, (n, dimension)).astype(np.int8)
    q[n // 3] = 0
    q[n // 2 :: 5] = q[n // 4]
    labels = []
    sums, counts = oracle_learn(q, rho, labels=labels)
    known, found = learn_with_labels(Categories(np.zeros((0, dimension), np.int64), np.zeros(0, np.int64)), q, rho)
    assert known.sums.tolist() == sums
    assert known.counts.tolist() == counts
    assert found.tolist() == labels


def test_sums_beyond_53_bits_are_learnt_in_whole_numbers():
    draw = np.random.default_rng(0)
    v = draw.integers(-(2**26), 2**26, (5, 2)) + np.array([2**26, 0])
    v = np.concatenate([v, v[:2] + 1])
    sums, counts = oracle_learn(v, 0.9)
    found = learn(v, 0.9)
    assert int(np.abs(v).max()) * int(np.abs(found.sums).max()) > 2**53
    assert found.sums.tolist() == sums
    assert found.counts.tolist() == counts
