"""Shards merge along a tree that depends on nothing but their numbers."""

from __future__ import annotations

from csrms_dist.art.two_level.settle import merge_all


def test_large_merges_follow_a_fixed_tree():
    merged = []

    def merge(parts):
        merged.append(parts)
        return [number for part in parts for number in part][:30_000]

    merge_all([[k] * 40_000 for k in range(5)], merge, len)
    assert [[part[0] for part in parts] for parts in merged] == [[0, 1], [2, 3], [4], [0, 2, 4]]
