"""Sums of absolute differences against NumPy, by every kernel that this machine runs and by the plain loop."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.art.fuzzy import absolute_differences as module
from csrms_dist.art.fuzzy.absolute_differences import LINE, VECTOR_BYTES, absolute_differences, padded, plain_pairs

MANY = settings(deadline=None, max_examples=60)
KERNELS = [plain_pairs, module.vector_pairs] if VECTOR_BYTES else [plain_pairs]


def byte_matrices(n, j, width, seed, levels=256):
    rng = np.random.default_rng(seed)
    step = 255 // (levels - 1)
    return tuple((step * rng.integers(0, levels, (k, width))).astype(np.uint8) for k in (n, j))


def expected_bytes(a, b):
    return np.abs(a[:, None].astype(np.int64) - b[None].astype(np.int64)).sum(axis=2)


@MANY
@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 300), st.integers(0, 2**32 - 1), st.sampled_from([2, 256])
)
def test_every_kernel_gives_the_sums_of_absolute_differences(n, j, width, seed, levels):
    a, b = byte_matrices(n, j, width, seed, levels)
    expected = expected_bytes(a, b)
    assert absolute_differences(a, b).tolist() == expected.tolist()
    wide_a, wide_b = padded(a), padded(b)
    for kernel in KERNELS:
        table = np.full((len(wide_a), len(wide_b)), -1, np.int32)
        kernel(wide_a, len(wide_a), wide_b, 0, len(wide_b), table)
        assert table[:n, :j].tolist() == expected.tolist()
        for c in range(j):  # one category alone, as after it has changed
            table[:] = -1
            kernel(wide_a, n, wide_b, c, c + 1, table)
            assert table[:n, c].tolist() == expected[:, c].tolist()
            assert (np.delete(table, c, axis=1) == -1).all()


def test_the_widest_sums_do_not_overflow():
    width = 200_000  # complement codes of 100,000 dimensions
    a, b = np.zeros((1, width), np.uint8), np.full((2, width), 255, np.uint8)
    assert absolute_differences(a, b).tolist() == [[255 * width] * 2]
    wide_a, wide_b = padded(a), padded(b)
    table = np.zeros((len(wide_a), len(wide_b)), np.int32)
    plain_pairs(wide_a, 1, wide_b, 0, 2, table)
    assert table[0, :2].tolist() == [255 * width] * 2


def sixteen_sums(a, b):
    """sum_k max(b_k - a_k, 0) in float32: sixteen sums of every sixteenth k, then even plus odd ones."""
    lanes = np.zeros(16, np.float32)
    for start in range(0, len(a), 16):
        lanes += np.maximum(b[start : start + 16] - a[start : start + 16], np.float32(0))
    while len(lanes) > 1:
        lanes = lanes[::2] + lanes[1::2]
    return lanes[0]


@MANY
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_floats_are_added_in_the_order_that_is_declared(n, j, width, seed):
    rng = np.random.default_rng(seed)
    a, b = padded(rng.random((n, width), np.float32)), padded(rng.random((j, width), np.float32))
    expected = [[sixteen_sums(row, category) for category in b[:j]] for row in a[:n]]
    table = np.zeros((len(a), len(b)), np.float32)
    module.vector_pairs(a, len(a), b, 0, len(b), table)
    assert table[:n, :j].tolist() == expected
    module.vector_pairs(a, n, b, j - 1, j, table)
    assert table[:n, j - 1].tolist() == [row[-1] for row in expected]


def test_padding_is_whole_lines_and_groups_of_zeros_at_the_start_of_a_line():
    for x in (np.ones((3, 65), np.uint8), np.ones((5, 17), np.float32)):
        wide = padded(x, rows=7)
        assert wide.shape == (8, 128 // x.itemsize)
        assert wide.ctypes.data % LINE == 0
        assert (wide[: len(x), : x.shape[1]] == x).all()
        assert wide.sum() == x.sum()


# What is learnt from a few points, bytes and floats, in a process that compiles for another processor.
PROBE = """
import hashlib
import numpy as np
from csrms_dist.art.fuzzy import absolute_differences, adaptive_vigilance
from csrms_dist.art.fuzzy import algorithm as fuzzy_art

rng = np.random.default_rng(7)
digest = hashlib.sha256()
points = rng.integers(0, 256, (150, 45)).astype(np.uint8)
points[60:100] = points[:40] // 2 + 60
for x in (points, (points / 255).astype(np.float32)):
    codes = fuzzy_art.complement_code(x)
    boxes, labels = fuzzy_art.learn(codes, 0.72)
    adapted = adaptive_vigilance.learn(codes, 0.7, sigma=0.01)
    winner, score = fuzzy_art.assign_points(x, boxes.weights, 0.75)
    for array in (*boxes, labels, *adapted[0], *adapted[1:], winner, score):
        digest.update(np.ascontiguousarray(array).tobytes())
print(absolute_differences.VECTOR_BYTES, digest.hexdigest())
"""
OTHERS = {"generic": ("", 0), "haswell": ("+avx2,+fma", 32)}  # features, bytes of one psadbw


@pytest.mark.parametrize("processor", list(OTHERS))
def test_every_processor_learns_the_same_bytes(processor, capsys):
    features, width = OTHERS[processor]
    if processor != "generic" and VECTOR_BYTES < 32:
        pytest.skip("this machine cannot run what is compiled for that one")
    scope: dict = {}
    exec(PROBE, scope)  # noqa: S102
    here, expected = capsys.readouterr().out.split()
    assert int(here) == VECTOR_BYTES
    assert expected != hashlib.sha256().hexdigest()
    environment = os.environ | {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(width), expected]
