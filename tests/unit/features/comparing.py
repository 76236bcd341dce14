"""Two feature tables side by side."""

from __future__ import annotations

import numpy as np

from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.labels import label_lists


def assert_equal(one: FeatureTable, two: FeatureTable) -> None:
    for name in ("vectors", "instance", "part"):
        left, right = getattr(one, name), getattr(two, name)
        assert left.dtype == right.dtype, name
        assert np.array_equal(left, right), name
    assert one.id_list() == two.id_list()
    assert one.label_space == two.label_space
    assert (one.membership is None) == (two.membership is None)
    if one.membership is not None:
        assert one.membership.shape == two.membership.shape
        assert label_lists(one.membership) == label_lists(two.membership)
