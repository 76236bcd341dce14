"""Points of bytes for the tests of boxes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def random_bytes(rows, dimension, levels, seed, repeats=0.0):
    """Points of few or many levels, some of them repeated, so that ties and exact matches happen."""
    rng = np.random.default_rng(seed)
    x = (255 // (levels - 1) * rng.integers(0, levels, (rows, dimension))).astype(np.uint8)
    again = rng.random(rows) < repeats
    x[again] = x[rng.integers(0, rows, int(again.sum()))]
    return x


def byte_points(max_rows=60, max_dimension=70, repeats=(0.0, 0.5)):
    return st.builds(
        random_bytes,
        st.integers(1, max_rows),
        st.integers(1, max_dimension),
        st.sampled_from([2, 4, 256]),
        st.integers(0, 2**32 - 1),
        st.sampled_from(repeats),
    )
