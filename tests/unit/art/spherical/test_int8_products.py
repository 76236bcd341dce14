"""Every way to multiply bytes gives the bits of plain loops: winners, ties, scores, whatever the shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from csrms_dist.art.spherical.int8_products import NO_DIRECTION, REACHES, choose_path, nearest, placed, reaches
from csrms_dist.art.spherical.vector_code import PATHS, TOO_WIDE
from csrms_dist.errors import ConfigError, DataError

QUICK = settings(deadline=None, max_examples=50)
SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 140), st.integers(1, 40))


def oracle(q, p):
    """One row and one prototype at a time, the products in Python's integers."""
    winner, score = [], []
    for row in q.tolist():
        best, value = -1, -math.inf
        for j, prototype in enumerate(p.tolist()):
            dot = sum(a * b for a, b in zip(row, prototype, strict=True))
            candidate = float(dot) / math.sqrt(float(max(sum(b * b for b in prototype), 1)))
            if candidate >= value:
                best, value = j, candidate
        winner.append(best)
        score.append(np.float32(value / math.sqrt(float(max(sum(a * a for a in row), 1)))))
    return winner, score


def test_the_portable_path_is_always_there():
    assert PATHS[-1] == "portable"
    assert len(set(PATHS)) == len(PATHS)


@pytest.mark.parametrize("path", PATHS)
@QUICK
@given(SHAPES, st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 127]))
def test_every_path_is_the_loop(path, shape, seed, largest):
    """Small values give many ties."""
    n, j, d = shape
    draw = np.random.default_rng(seed)
    q = draw.integers(-largest, largest + 1, (min(n, 40), d)).astype(np.int8)
    p = draw.integers(-largest, largest + 1, (min(j, 70), d)).astype(np.int8)
    winner, score = nearest(q, p, path=path)
    expected = oracle(q, p)
    assert winner.tolist() == expected[0]
    assert score.tolist() == expected[1]


@pytest.mark.parametrize("path", PATHS)
@QUICK
@given(
    hnp.arrays(np.int8, st.tuples(st.integers(1, 5), st.just(3)), elements=st.integers(-128, 127)),
    hnp.arrays(np.int8, st.tuples(st.integers(1, 5), st.just(3)), elements=st.integers(-128, 127)),
)
def test_any_bytes_will_do(path, q, p):
    winner, score = nearest(q, p, path=path)
    assert (winner.tolist(), score.tolist()) == tuple(oracle(q, p))


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 64, 64), (100, 65, 63), (257, 130, 5), (40, 700, 9), (20, 3, 1500)])
def test_all_paths_agree_on_larger_shapes(shape):
    n, j, d = shape
    draw = np.random.default_rng(n)
    q, p = (draw.integers(-127, 128, (rows, d)).astype(np.int8) for rows in (n, j))
    q[0] = 127
    p[-1] = 127
    p[j // 2] = p[0]
    expected = nearest(q, p, path="portable")
    dots = q.astype(np.int64) @ p.astype(np.int64).T
    values = dots / np.sqrt(np.maximum((p.astype(np.int64) ** 2).sum(axis=1), 1).astype(np.float64))
    assert expected[0].tolist() == (j - 1 - values[:, ::-1].argmax(axis=1)).tolist()
    for path in PATHS:
        found = nearest(q, p, path=path, threads=3)
        assert found[0].tolist() == expected[0].tolist()
        assert found[1].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("path", PATHS)
def test_rows_need_not_lie_one_after_the_other(path, tmp_path):
    draw = np.random.default_rng(1)
    q, p = (draw.integers(-127, 128, (rows, 20)).astype(np.int8) for rows in (200, 30))
    np.save(tmp_path / "q.npy", q)
    expected = nearest(q, p, path=path)
    for rows in (np.asfortranarray(q), np.repeat(q, 2, axis=0)[::2], np.load(tmp_path / "q.npy", mmap_mode="r")):
        found = nearest(rows, p, path=path)
        assert found[0].tolist() == expected[0].tolist()
        assert found[1].tobytes() == expected[1].tobytes()


@QUICK
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, math.sqrt(0.5), 1.0]))
def test_reaching_the_vigilance_is_the_formula(seed, rho):
    draw = np.random.default_rng(seed)
    q, p = (draw.integers(-3, 4, (rows, 3)).astype(np.int8) for rows in (20, 4))
    winner = draw.integers(0, 4, 20).astype(np.int32)
    expected = []
    for row, j in zip(q.tolist(), winner, strict=True):
        other = p[j].tolist()
        dot = sum(a * b for a, b in zip(row, other, strict=True))
        expected.append(
            float(dot) >= rho * math.sqrt(float(sum(a * a for a in row)) * float(sum(b * b for b in other)))
        )
    assert reaches(q, p, winner, rho).tolist() == expected


@pytest.mark.parametrize("path", PATHS)
@QUICK
@given(st.integers(0, 2**32 - 1), st.sampled_from([-1.0, 0.0, 0.3, math.sqrt(0.5), 1.0]))
def test_one_pass_says_as_much_as_two(path, seed, rho):
    draw = np.random.default_rng(seed)
    q, p = (draw.integers(-2, 3, (rows, 3)).astype(np.int8) for rows in (40, 4))
    winner, score, state = placed(q, p, rho, path=path)
    assert (winner.tolist(), score.tolist()) == tuple(part.tolist() for part in nearest(q, p, path=path))
    directed = q.any(axis=1)
    assert (state == NO_DIRECTION).tolist() == (~directed).tolist()
    assert (state == REACHES)[directed].tolist() == reaches(q, p, winner, rho)[directed].tolist()


def test_rows_too_wide_for_31_bits_take_the_portable_path():
    assert choose_path(None, TOO_WIDE) == "portable"
    assert choose_path(None, 64) == PATHS[0]
    q = np.full((2, TOO_WIDE + 3), 127, np.int8)
    q[1] = -127
    winner, score = nearest(q, q)
    assert winner.tolist() == [0, 1]
    assert score.tolist() == [1.0, 1.0]


def test_what_cannot_be_multiplied_is_refused():
    q = np.ones((2, 3), np.int8)
    for rows, prototypes in ((q.astype(float), q), (q, q[:, :2]), (q, q[:0]), (q[0], q)):
        with pytest.raises(DataError, match="int8"):
            nearest(rows, prototypes)
    with pytest.raises(ConfigError, match="path"):
        nearest(q, q, path="abacus")
