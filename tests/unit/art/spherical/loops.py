"""Rows for the tests of spherical ART, and its learning as a plain loop."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def rows_of(low=-4, high=4, max_rows=14):
    shape = st.tuples(st.integers(1, max_rows), st.integers(1, 4))
    return shape.flatmap(lambda s: hnp.arrays(np.int8, s, elements=st.integers(low, high)))


def oracle_learn(inputs, rho, weights=None, labels=None):
    """ART 2-A with sums, one row at a time, in Python's unbounded integers."""
    sums, counts = [], []
    labels = [] if labels is None else labels
    for i, v in enumerate(inputs):
        v = [int(x) for x in v]
        vv = sum(x * x for x in v)
        if vv == 0:
            labels.append(-1)
            continue
        best, best_value, best_dot = None, None, None
        for j, s in enumerate(sums):
            dot = sum(a * b for a, b in zip(v, s, strict=True))
            value = float(dot) / math.sqrt(float(sum(b * b for b in s)))
            if best is None or value >= best_value:
                best, best_value, best_dot = j, value, dot
        m = 1 if weights is None else int(weights[i])
        square = None if best is None else sum(b * b for b in sums[best])
        if best is not None and float(best_dot) >= rho * math.sqrt(float(vv) * float(square)):
            sums[best] = [a + b for a, b in zip(sums[best], v, strict=True)]
            counts[best] += m
            labels.append(best)
        else:
            labels.append(len(sums))
            sums.append(v)
            counts.append(m)
    return sums, counts
