"""A run clusters its rows through a scaling that is fitted on the learnt ones."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from csrms_dist.art.scaling import SphericalScaling
from csrms_dist.art.two_level.selection import RowKeys, learning_rows
from csrms_dist.basics.hashing import hash_ids, hash_order
from tests.unit.art.runs import run


def test_the_scaling_is_fitted_on_the_learnt_rows_in_hash_order():
    X = load_digits().data.astype(np.float32)[:400]
    ids = [f"row{i}" for i in range(400)]
    result = run(X, ids, vigilance=0.6, learn_rows=100)
    rows = set(learning_rows(RowKeys(400, ids), 4, 100)[0].tolist())
    order = [k for k in hash_order(hash_ids(ids, "order"), ids).tolist() if k in rows]
    expected = SphericalScaling.fit(X, np.array(order))
    assert expected.mean.tobytes() == result.scaling.mean.tobytes()
    assert expected.scale == result.scaling.scale
