"""Patterns by chance: the same sizes, another image in each, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.permuted import permuted

K, J, N = 4, 20, 2000


def pure() -> tuple[HierarchyGraph, list[str]]:
    """Every pattern of one class alone, of uneven sizes."""
    pattern = np.repeat(np.arange(J), np.arange(J) * 9 + 15)[:N]
    return hierarchy_of(pattern, (pattern % K).tolist()), [f"image {n}" for n in range(len(pattern))]


def purity(graph: HierarchyGraph) -> float:
    return float(graph.counts.max(axis=1).sum() / graph.n_rows)


def test_sizes_are_kept_and_purity_is_that_of_chance() -> None:
    graph, ids = pure()
    found = permuted(graph, ids, 0, 10)
    assert found.sizes.tolist() == graph.sizes.tolist()
    assert found.membership is graph.membership or (found.membership != graph.membership).nnz == 0
    assert found.instance.tolist() == graph.instance.tolist()
    assert purity(graph) == 1.0
    largest = np.asarray(graph.membership.sum(axis=0)).max() / graph.n_rows
    assert purity(found) == pytest.approx(largest, abs=0.12)
    assert graph.dominated.all()
    assert found.dominated.mean() < 0.2
    # Two images of a class are in one pattern as often as any two are.
    label = graph.membership.argmax(axis=1)
    alike = label[:, None] == label
    together = found.pattern[:, None] == found.pattern
    upper = np.triu(np.ones_like(alike), k=1)
    assert together[alike & upper].mean() == pytest.approx(together[upper].mean(), rel=0.05)
    assert (found.pattern != graph.pattern).mean() > 0.8


def test_another_seed_gives_another_permutation() -> None:
    graph, ids = pure()
    first, second, again = (permuted(graph, ids, seed, 10).pattern for seed in (0, 1, 0))
    assert first.tolist() == again.tolist()
    assert (first != second).mean() > 0.8


@given(st.permutations(range(12)), st.integers(0, 2**32 - 1))
def test_an_image_gets_the_same_pattern_whatever_the_order_of_the_rows(order: list[int], seed: int) -> None:
    pattern, labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]), np.arange(12) % 3
    ids = [f"id {n}" for n in range(12)]
    expected = permuted(hierarchy_of(pattern, labels.tolist()), ids, seed, 10).pattern
    moved = hierarchy_of(pattern[order], labels[order].tolist())
    found = permuted(moved, [ids[n] for n in order], seed, 10).pattern
    assert found.tolist() == expected[order].tolist()
    assert np.bincount(found).tolist() == [4, 3, 5]
