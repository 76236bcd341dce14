"""Hashes of ids decide which rows are learnt, and in which order."""

from __future__ import annotations

import numpy as np

from csrms_dist.art.two_level.selection import RowKeys, learning_rows
from csrms_dist.basics.hashing import hash_ids, hash_order


def test_ties_of_the_hash_go_by_the_bytes_of_the_id():
    hashes = np.array([5, 1, 5, 5, 0], np.uint64)
    ids = ["b", "x", "é", "a", "y"]
    assert hash_order(hashes, ids).tolist() == [4, 1, 3, 0, 2]


def test_learning_rows_are_those_of_smallest_hash_in_each_shard():
    ids = [f"image{i}" for i in range(200)]
    order, shard = hash_ids(ids, "order"), hash_ids(ids, "shard") % np.uint64(3)
    for learn_rows, quota in ((200, 200), (60, 20), (2, 1)):
        rows, first = learning_rows(RowKeys(200, ids), 3, learn_rows)
        for k in range(3):
            expected = sorted((i for i in range(200) if shard[i] == k), key=lambda i: order[i])[:quota]
            assert rows[first[k] : first[k + 1]].tolist() == expected
