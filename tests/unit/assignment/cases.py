"""Rows and prototypes for the tests of the assignment on a device, and what is compared."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.art.placing import Placed
from csrms_dist.assignment.padding import Shape

SMALL = Shape(rows=16, tile=16, warps=4, stages=1, settle_warps=1)


def as_cuda_multiplies(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`torch._int_mm` with the conditions that it has on CUDA alone."""
    assert a.dtype == b.dtype == torch.int8
    assert len(a) > 16
    assert a.shape[1] % 8 == 0
    assert b.shape[1] % 8 == 0
    assert a.is_contiguous()
    assert b.T.is_contiguous()
    return a.int() @ b.int()


def same(found: Placed, expected: Placed) -> None:
    for name in Placed._fields:
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes(), name


def rows_of(kind: str, seed: int, n: int, j: int, d: int):
    """Rows and prototypes: of any bytes, of few values (ties), of extremes, all equal, in one direction."""
    draw = np.random.default_rng(seed)
    q, p = np.empty((n, d), np.int8), np.empty((j, d), np.int8)
    for x in (q, p):
        if kind == "any":
            x[:] = draw.integers(-128, 128, x.shape)
        elif kind == "tied":
            x[:] = draw.integers(-1, 2, x.shape)
        elif kind == "extreme":
            x[:] = draw.choice([-128, 127], x.shape)
        elif kind == "equal":
            x[:] = draw.integers(-128, 128, d)
        else:  # multiples of one row
            x[:] = draw.integers(-3, 4, len(x))[:, None] * draw.integers(-40, 41, d)[None, :]
    return q, p


def cases(rows: int):
    """Arguments for `rows_of` and a vigilance, of so many rows at the most."""
    return given(
        st.sampled_from(["any", "tied", "extreme", "equal", "multiples"]),
        st.integers(0, 2**32 - 1),
        st.integers(1, rows),
        st.integers(1, 90),
        st.integers(1, 70),
        st.sampled_from([-1.0, 0.0, 0.3, 0.5**0.5, 1.0]),
    )
