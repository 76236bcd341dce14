"""The contract of a sampler: every one keeps it, and they all draw the same edges."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.errors import ConfigError, DataError
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.labels import LabelSpace
from csrms_dist.sampling import (
    BatchSubgraph,
    Candidates,
    ReferenceSampler,
    Sampler,
    build_candidates,
    edge_keys,
    load_candidates,
    save_candidates,
)
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.sampling.settings import SamplingSettings

Make = Callable[[Mapping[str, Candidates], Mapping[str, int], int], Sampler]

SAMPLERS: dict[str, Make] = {"reference": ReferenceSampler, "dgl": DglSampler}
SIZES = {"positive": 3, "negative": 4}
N = 400


@pytest.fixture(scope="module")
def candidates() -> dict[str, Candidates]:
    """Four classes over twelve patterns; pattern 0 is pure, class 4 has one image, alone in pattern 12."""
    rng = np.random.default_rng(3)
    pattern = np.concatenate([rng.integers(0, 12, N - 13), np.arange(13)])
    labels = np.where((rng.random(N) < 0.8) | (pattern == 0), pattern % 4, rng.integers(0, 4, N))
    labels[-1] = 4
    features = (rng.normal(size=(13, 8))[pattern] + 0.5 * rng.normal(size=(N, 8))).astype(np.float32)
    graph = build_hierarchy(
        pattern,
        np.ones(N),
        LabelSpace(tuple("abcde")).membership(labels.tolist()),
        np.arange(N),
        dominance_threshold=0.6,
        n_positives=3,
        multi_label=False,
    )
    return build_candidates(graph, features, SamplingSettings(n_positives=3, n_negatives=4, pool=12))


@pytest.fixture(scope="module", params=sorted(SAMPLERS))
def make(request: pytest.FixtureRequest) -> Make:
    return SAMPLERS[request.param]


def by_anchor(subgraph: BatchSubgraph) -> list[tuple[int, dict[str, list[int]]]]:
    """The neighbours of each anchor of the batch, in rank order."""
    return [
        (int(row), {name: edges.neighbour[edges.anchor == b].tolist() for name, edges in subgraph.edges.items()})
        for b, row in enumerate(subgraph.anchors)
    ]


def test_neighbours_are_candidates_and_as_many_as_asked(make: Make, candidates: dict[str, Candidates]) -> None:
    subgraph = make(candidates, SIZES, 0).sample(np.arange(N), 0)
    assert subgraph.anchors.tolist() == list(range(N))
    for edges in subgraph.edges.values():
        assert edges.anchor.dtype == edges.neighbour.dtype == np.int64
        assert (np.diff(edges.anchor) >= 0).all()
    for row, found in by_anchor(subgraph):
        for name, neighbours in found.items():
            allowed = candidates[name].of(row).tolist()
            assert len(set(neighbours)) == len(neighbours) == min(SIZES[name], len(allowed))
            assert set(neighbours) <= set(allowed)
    assert by_anchor(subgraph)[N - 1][1]["positive"] == []
    assert len(by_anchor(subgraph)[N - 1][1]["negative"]) == 4


def test_higher_priority_is_drawn_first(make: Make, candidates: dict[str, Candidates]) -> None:
    some = candidates["negative"]
    mixed = 0
    for row, found in by_anchor(make(candidates, SIZES, 0).sample(np.arange(N), 5)):
        level = dict(zip(some.of(row).tolist(), some.priority[some.indptr[row] : some.indptr[row + 1]], strict=True))
        drawn = [int(level[neighbour]) for neighbour in found["negative"]]
        assert drawn == sorted(drawn, reverse=True)
        assert sum(drawn) == min(SIZES["negative"], sum(level.values()))
        mixed += len(set(drawn)) > 1
    assert mixed > 5


def test_a_sample_is_a_function_of_seed_epoch_and_anchor(make: Make, candidates: dict[str, Candidates]) -> None:
    sampler = make(candidates, SIZES, 11)
    whole = dict(by_anchor(sampler.sample(np.arange(N), 2)))
    shuffled = np.random.default_rng(0).permutation(N)
    for batch in [shuffled, *np.array_split(shuffled, 7), *shuffled[:5, None]]:
        for row, found in by_anchor(sampler.sample(batch, 2)):
            assert found == whole[row]
    assert dict(by_anchor(make(candidates, SIZES, 11).sample(np.arange(N), 2))) == whole
    for other in (sampler.sample(np.arange(N), 3), make(candidates, SIZES, 12).sample(np.arange(N), 2)):
        differing = sum(found["positive"] != whole[row]["positive"] for row, found in by_anchor(other))
        assert differing > 0.9 * N * np.mean(np.diff(candidates["positive"].indptr) > 3)


def test_an_anchor_may_be_in_the_batch_twice(make: Make, candidates: dict[str, Candidates]) -> None:
    sampler = make(candidates, SIZES, 0)
    found = by_anchor(sampler.sample(np.array([7, 3, 7, N - 1, 7]), 0))
    assert [row for row, _ in found] == [7, 3, 7, N - 1, 7]
    assert found[0] == found[2] == found[4] == by_anchor(sampler.sample(np.array([7]), 0))[0]


def test_an_empty_batch_has_no_edges(make: Make, candidates: dict[str, Candidates]) -> None:
    subgraph = make(candidates, SIZES, 0).sample(np.zeros(0, dtype=np.int64), 0)
    assert len(subgraph) == 0
    assert {name: len(edges) for name, edges in subgraph.edges.items()} == {"positive": 0, "negative": 0}


def test_anchors_without_any_candidate(make: Make) -> None:
    empty = Candidates(np.zeros(4, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8))
    one = Candidates(np.array([0, 0, 1, 1]), np.array([2]), np.ones(1, dtype=np.uint8))
    for pair in ((empty, empty), (empty, one)):
        subgraph = make(dict(zip(("positive", "negative"), pair, strict=True)), SIZES, 0).sample(np.arange(3), 0)
        assert subgraph.edges["negative"].neighbour.tolist() == pair[1].neighbours.tolist()
        assert not subgraph.dense("positive", 2)[1].any()


def test_the_draw_is_uniform(make: Make) -> None:
    n, k, size = 4000, 8, 3
    some = Candidates(np.arange(n + 1) * k, np.tile(np.arange(k), n), np.zeros(n * k, dtype=np.uint8))
    edges = make({"positive": some}, {"positive": size}, 5).sample(np.arange(n), 1).edges["positive"]
    for drawn in (edges.neighbour, edges.neighbour[::size], edges.neighbour[size - 1 :: size]):
        expected = len(drawn) / k
        chi_square = float(((np.bincount(drawn, minlength=k) - expected) ** 2 / expected).sum())
        assert chi_square < 24.3  # 0.1 % of a chi-square with 7 degrees of freedom
    pairs = edges.neighbour.reshape(n, size)
    together = [((pairs == a).any(1) & (pairs == b).any(1)).mean() for a in range(k) for b in range(a)]
    assert together == pytest.approx([3 * 2 / (8 * 7)] * 28, abs=0.02)  # four standard errors


WEIGHTS = np.array([1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 7, 1 / 20, 1.0, 2 / 3], np.float32)


def weighted(n: int, weights: npt.NDArray[np.float32], level: int) -> Candidates:
    """n anchors with candidates of these weights."""
    k = len(weights)
    flat = np.full(n * k, level, dtype=np.uint8)
    return Candidates(np.arange(n + 1) * k, np.tile(np.arange(k), n), flat, np.tile(weights, n))


@pytest.mark.parametrize("level", [0, 1])
def test_the_first_draw_is_in_proportion_to_the_weights(make: Make, level: int) -> None:
    n = 20_000
    edges = make({"x": weighted(n, WEIGHTS, level)}, {"x": 1}, 5).sample(np.arange(n), 1).edges["x"]
    expected = n * WEIGHTS / WEIGHTS.sum()  # Efraimidis and Spirakis 2006
    chi_square = float(((np.bincount(edges.neighbour, minlength=8) - expected) ** 2 / expected).sum())
    assert chi_square < 24.3  # 0.1 % of a chi-square with 7 degrees of freedom


def test_a_larger_weight_is_drawn_more_often(make: Make) -> None:
    n = 5000
    edges = make({"x": weighted(n, WEIGHTS, 1)}, {"x": 3}, 7).sample(np.arange(n), 0).edges["x"]
    times = np.bincount(edges.neighbour, minlength=8)
    for a in range(8):
        for b in range(8):
            if WEIGHTS[a] > WEIGHTS[b]:
                assert times[a] > times[b]


def test_weights_of_one_draw_as_no_weights_do(make: Make, candidates: dict[str, Candidates]) -> None:
    ones = {
        name: Candidates(some.indptr, some.neighbours, some.priority, np.ones(len(some.neighbours), np.float32))
        for name, some in candidates.items()
    }
    rows = np.arange(N)
    assert equal(make(ones, SIZES, 3).sample(rows, 4), make(candidates, SIZES, 3).sample(rows, 4))


def test_priority_goes_before_weight(make: Make) -> None:
    some = Candidates(
        np.array([0, 2, 2]), np.array([0, 1]), np.array([0, 1], np.uint8), np.array([1, 0.05], np.float32)
    )
    for epoch in range(50):
        assert make({"x": some}, {"x": 1}, 0).sample(np.array([0]), epoch).edges["x"].neighbour.tolist() == [1]


def test_threads_do_not_disturb_each_other(make: Make, candidates: dict[str, Candidates]) -> None:
    sampler = make(candidates, SIZES, 0)
    rows = np.arange(N)
    alone = [by_anchor(sampler.sample(rows, epoch)) for epoch in range(6)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda epoch: by_anchor(sampler.sample(rows, epoch)), range(6))) == alone


def test_a_sampler_of_memory_mapped_candidates_survives_pickling(
    make: Make, candidates: dict[str, Candidates], tmp_path: Path
) -> None:
    save_candidates(tmp_path, candidates)
    sampler = make(load_candidates(tmp_path), SIZES, 0)
    again = pickle.loads(pickle.dumps(sampler))  # noqa: S301
    for one in (again, make(candidates, SIZES, 0)):
        assert by_anchor(one.sample(np.arange(50), 1)) == by_anchor(sampler.sample(np.arange(50), 1))


def test_what_is_no_row_is_refused(make: Make, candidates: dict[str, Candidates]) -> None:
    sampler = make(candidates, SIZES, 0)
    for bad in (np.array([N]), np.array([-1, 2]), np.array([0.5]), np.array([[1]])):
        with pytest.raises(DataError, match="anchors"):
            sampler.sample(bad, 0)


def test_arguments_that_disagree_are_refused(make: Make, candidates: dict[str, Candidates]) -> None:
    for sizes in ({"positive": 3}, {}, {"positive": 3, "negative": 0}):
        with pytest.raises(ConfigError):
            make(candidates, sizes, 0)
    short = Candidates(np.zeros(4, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8))
    with pytest.raises(DataError, match="same anchors"):
        make({"positive": candidates["positive"], "negative": short}, SIZES, 0)


def first_by_key(some: Candidates, anchor: int, size: int, seed: int, epoch: int) -> list[int]:
    """The draw of one anchor by the formula, candidate by candidate."""
    found = []
    for place in range(some.indptr[anchor], some.indptr[anchor + 1]):
        at = slice(place, place + 1)
        weight = None if some.weight is None else some.weight[at]
        row = some.neighbours[at]
        key = edge_keys(seed, epoch, row, np.array([anchor]), some.priority[at], weight)
        found.append((-float(key[0]), int(row[0])))
    return [row for _, row in sorted(found)[:size]]


@pytest.mark.parametrize("with_weights", [False, True])
def test_a_draw_equals_plain_loops(make: Make, with_weights: bool) -> None:
    rng = np.random.default_rng(8)
    degrees = rng.integers(0, 60, 120)
    rows = [rng.permutation(120)[:degree] for degree in degrees]
    weights = rng.choice(np.array([1, 0.5, 0.01, 1e-3], np.float32), degrees.sum())
    levels = rng.choice(np.array([0, 1, 2, 255], np.uint8), degrees.sum())
    some = Candidates(np.cumsum([0, *degrees]), np.concatenate(rows), levels, weights if with_weights else None)
    batch = rng.integers(0, 120, 90)
    for size in (1, 7, 59, 80):
        edges = make({"x": some}, {"x": size}, -4).sample(batch, 2**33).edges["x"]
        for b, anchor in enumerate(batch.tolist()):
            assert edges.neighbour[edges.anchor == b].tolist() == first_by_key(some, anchor, size, -4, 2**33)


def equal(a: BatchSubgraph, b: BatchSubgraph) -> bool:
    return np.array_equal(a.anchors, b.anchors) and all(
        np.array_equal(a.edges[name].anchor, b.edges[name].anchor)
        and np.array_equal(a.edges[name].neighbour, b.edges[name].neighbour)
        for name in a.edges
    )


@pytest.mark.parametrize("batch_size", [1, 7, 128, 400])
def test_dgl_equals_the_reference(candidates: dict[str, Candidates], batch_size: int) -> None:
    reference, dgl = ReferenceSampler(candidates, SIZES, 9), DglSampler(candidates, SIZES, 9)
    for epoch in range(5):
        rows = np.random.default_rng(epoch).permutation(N)[: batch_size * 4]
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            assert equal(reference.sample(batch, epoch), dgl.sample(batch, epoch))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="lists the loaded libraries on Linux alone")
def test_no_library_of_graphbolt_is_loaded(candidates: dict[str, Candidates]) -> None:
    DglSampler(candidates, SIZES, 0)
    loaded = Path("/proc/self/maps").read_text()
    assert "libdgl" in loaded
    assert "graphbolt" not in loaded


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 8), st.integers(0, 2), st.sampled_from([1.0, 0.5, 0.1, 0.001])),
            max_size=7,
            unique_by=lambda c: c[0],
        ),
        max_size=9,
    ),
    st.lists(st.integers(0, 8), max_size=12),
    st.integers(1, 8),
    st.integers(0, 3),
    st.booleans(),
)
def test_dgl_equals_the_reference_on_any_candidates(
    lists: list[list[tuple[int, int, float]]], batch: list[int], size: int, epoch: int, with_weights: bool
) -> None:
    lists = (lists + [[]] * 9)[:9]
    flat = [pair for some in lists for pair in some]
    some = Candidates(
        np.cumsum([0, *map(len, lists)]).astype(np.int64),
        np.array([row for row, _, _ in flat], dtype=np.int64),
        np.array([level for _, level, _ in flat], dtype=np.uint8),
        np.array([weight for _, _, weight in flat], dtype=np.float32) if with_weights else None,
    )
    anchors = np.array(batch, dtype=np.int64)
    made = [each({"x": some}, {"x": size}, 1).sample(anchors, epoch) for each in (ReferenceSampler, DglSampler)]
    assert equal(*made)
