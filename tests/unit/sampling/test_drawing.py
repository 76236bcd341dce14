"""The compiled draw: keys bit for bit, and what is left out before the first are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from csrms_dist.sampling import Candidates, edge_keys
from csrms_dist.sampling.drawing import Keyed, keyed


@pytest.mark.parametrize("seed", [0, 7, -3, 2**40])
@pytest.mark.parametrize("with_weights", [False, True])
def test_keys_are_those_of_the_formula_bit_for_bit(seed: int, with_weights: bool) -> None:
    rng = np.random.default_rng(0)
    degrees = rng.integers(0, 50, 400)
    n = int(degrees.sum())
    some = Candidates(
        np.cumsum([0, *degrees]), rng.integers(0, 2**33, n), rng.integers(0, 256, n).astype(np.uint8),
        rng.random(n, np.float32).clip(1e-6).round(1).clip(1e-30) if with_weights else None,
    )  # fmt: skip
    anchors = rng.integers(0, 400, 300)
    found = keyed(some, anchors, seed, 2**35)
    position, place = some.edges(anchors)
    weight = None if some.weight is None else some.weight[place]
    keys = edge_keys(seed, 2**35, some.neighbours[place], anchors[position], some.priority[place], weight)
    assert found.keys.tobytes() == keys.tobytes()
    assert found.rows.tolist() == some.neighbours[place].tolist()
    assert np.diff(found.first).tolist() == degrees[anchors].tolist()


def lists(kind: str) -> list[list[float]]:
    rng = np.random.default_rng(1)
    lengths = rng.integers(0, 70, 200).tolist()
    if kind == "uniform":
        return [rng.random(n).tolist() for n in lengths]
    if kind == "levels":
        return [(rng.integers(0, 256, n) + rng.random(n)).tolist() for n in lengths]
    if kind == "ties":
        return [rng.integers(0, 4, n).astype(float).tolist() for n in lengths]
    if kind == "all equal":
        return [[0.25] * n for n in lengths]
    return [(rng.random(n) ** rng.choice([1.0, 100.0, 3000.0], n)).tolist() for n in lengths]  # down to 0


@pytest.mark.parametrize("kind", ["uniform", "levels", "ties", "all equal", "far apart"])
@pytest.mark.parametrize("size", [1, 5, 69, 100])
def test_the_first_of_each_anchor_equal_a_sort(kind: str, size: int) -> None:
    keys = lists(kind)
    rows = [np.random.default_rng(n).permutation(100)[: len(some)].tolist() for n, some in enumerate(keys)]
    flat = [np.array([x for some in nested for x in some], dtype) for nested, dtype in ((rows, int), (keys, float))]
    all_of_them = Keyed(np.cumsum([0, *map(len, keys)]), *flat)
    few, edges = all_of_them.narrowed(size), all_of_them.first_of(size)
    for b, (own_keys, own_rows) in enumerate(zip(keys, rows, strict=True)):
        first = [row for _, row in sorted(zip([-key for key in own_keys], own_rows, strict=True))[:size]]
        assert edges.neighbour[edges.anchor == b].tolist() == first
        assert set(first) <= set(few.rows[few.first[b] : few.first[b + 1]].tolist())


def test_what_cannot_be_drawn_is_left_out() -> None:
    keys = np.random.default_rng(2).random(500 * 40)
    few = Keyed(np.arange(501) * 40, np.tile(np.arange(40), 500), keys).narrowed(10)
    assert 10 * 500 <= len(few.rows) < 11 * 500


def test_a_row_that_is_there_twice_is_drawn_twice() -> None:
    some = Keyed(np.array([0, 4]), np.array([3, 3, 1, 3]), np.array([0.5, 0.5, 0.5, 0.7]))
    assert some.ranks().tolist() == [2, 3, 1, 0]
    assert some.first_of(3).neighbour.tolist() == [3, 1, 3]
