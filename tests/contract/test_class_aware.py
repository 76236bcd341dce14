"""The contract of class-aware sub-graphs: every sampler gives the same, equal to plain loops."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from csrms_dist.errors import ConfigError, DataError
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.look_alikes import look_alikes
from csrms_dist.labels import LabelSpace
from csrms_dist.sampling import Candidates, ClassAwareSubgraph, ReferenceSampler, Sampler, build_candidates
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.sampling.settings import SamplingSettings

Make = Callable[[Mapping[str, Candidates], Mapping[str, int], int, HierarchyGraph | None], Sampler]
Triples: TypeAlias = dict[str, list[tuple[int, int]]]

SAMPLERS: dict[str, Make] = {"reference": ReferenceSampler, "dgl": DglSampler}
SIZES = {"positive": 3, "negative": 4}
N = 240


class Case(NamedTuple):
    graph: HierarchyGraph
    candidates: dict[str, Candidates]


@pytest.fixture(scope="module", params=["one label", "several labels"])
def case(request: pytest.FixtureRequest) -> Case:
    """Five classes in nine patterns; class 5 has one image, alone in pattern 9, and class 6 has none, so no pattern.

    With several labels, images have up to three, and every tenth has none.
    """
    several, rng = request.param == "several labels", np.random.default_rng(4)
    pattern = np.concatenate([rng.integers(0, 9, N - 10), np.arange(10)])
    first = np.where(rng.random(N) < 0.6, pattern % 5, rng.integers(0, 5, N))
    first[-1] = 5
    labels: list[int] | list[list[int]] = first.tolist()
    if several:
        more = [sorted({int(k), *rng.integers(0, 5, rng.integers(0, 3)).tolist()}) for k in first]
        labels = [[] if row % 10 == 0 else found for row, found in enumerate(more)]
    features = (rng.normal(size=(10, 8))[pattern] + 0.7 * rng.normal(size=(N, 8))).astype(np.float32)
    space = LabelSpace(tuple("abcdefg"), multi_label=several)
    graph = build_hierarchy(
        pattern, np.ones(N), space.membership(labels), np.arange(N), dominance_threshold=0.5, n_positives=3,
        multi_label=several,
    )  # fmt: skip
    assert len(look_alikes(graph)) > 5
    return Case(graph, build_candidates(graph, features, SamplingSettings(n_positives=3, n_negatives=4, pool=12)))


@pytest.fixture(scope="module", params=sorted(SAMPLERS))
def make(request: pytest.FixtureRequest) -> Make:
    return SAMPLERS[request.param]


def expected(case: Case, drawn: Mapping[int, Mapping[str, list[int]]]) -> tuple[list[list[int]], Triples]:
    """(instances, patterns, classes) and the edges between their numbers, by plain loops, for the draws of anchors."""
    graph = case.graph
    rows = sorted({*drawn, *(row for found in drawn.values() for some in found.values() for row in some)})
    labels = graph.membership.toarray()
    carried = {row: labels[row].nonzero()[0].tolist() for row in rows}
    classes = sorted({k for some in carried.values() for k in some})
    edges: Triples = {
        name: [(row, anchor) for anchor in sorted(drawn) for row in drawn[anchor][name]] for name in case.candidates
    }
    edges["in_pattern"] = [(row, int(graph.pattern[row])) for row in rows]
    edges["has_label"] = [(row, k) for row in rows for k in carried[row]]
    alike = look_alikes(graph)
    pairs = zip(alike.source.tolist(), alike.target.tolist(), strict=True)
    edges["looks_like"] = [(a, b) for a, b in pairs if a in classes and b in classes]
    return [rows, sorted({int(graph.pattern[row]) for row in rows}), classes], edges


def in_numbers(found: ClassAwareSubgraph) -> tuple[list[list[int]], Triples]:
    """What `expected` gives, of a sub-graph."""
    nodes = {"in_pattern": (found.instances, found.patterns), "has_label": (found.instances, found.classes)}
    nodes |= {"looks_like": (found.classes, found.classes)}
    edges = {}
    for name, some in found.local.items():
        sources, targets = nodes.get(name, (found.instances, found.instances))
        edges[name] = list(zip(sources[some.source].tolist(), targets[some.target].tolist(), strict=True))
    return [found.instances.tolist(), found.patterns.tolist(), found.classes.tolist()], edges


def draws(sampler: Sampler, batch: npt.NDArray[np.integer], epoch: int) -> dict[int, dict[str, list[int]]]:
    """The draw of each anchor, as `sample` gives it (which has a contract of its own)."""
    found = sampler.sample(batch, epoch)
    return {
        int(row): {name: some.neighbour[some.anchor == b].tolist() for name, some in found.edges.items()}
        for b, row in enumerate(batch)
    }


def parts(found: ClassAwareSubgraph) -> dict[int, object]:
    """Of each anchor: its draws, and patterns, classes and edges among it and them, in numbers of the hierarchy."""
    _, edges = in_numbers(found)
    each: dict[int, object] = {}
    for anchor in found.anchors.tolist():
        own = {name: [a for a, b in edges[name] if b == anchor] for name in SIZES}
        rows = {anchor, *(row for some in own.values() for row in some)}
        pattern = [(a, b) for a, b in edges["in_pattern"] if a in rows]
        label = [(a, b) for a, b in edges["has_label"] if a in rows]
        classes = {k for _, k in label}
        each[anchor] = own, pattern, label, [(a, b) for a, b in edges["looks_like"] if {a, b} <= classes]
    return each


def equal(a: ClassAwareSubgraph, b: ClassAwareSubgraph) -> bool:
    """Bit for bit, in dtype too."""
    arrays = []
    for found in (a, b):
        some = [found.anchors, found.instances, found.patterns, found.classes, found.places]
        some += [x for e in found.edges.values() for x in (e.anchor, e.neighbour)]
        some += [x for e in found.local.values() for x in (e.source, e.target, e.weight) if x is not None]
        arrays.append([(x.dtype.str, x.tolist()) for x in some])
    return arrays[0] == arrays[1] and list(a.local) == list(b.local)


@pytest.mark.parametrize("size", [1, 9, 60, N])
def test_it_equals_plain_loops(make: Make, case: Case, size: int) -> None:
    sampler = make(case.candidates, SIZES, 5, case.graph)
    for epoch in range(3):
        batch = np.random.default_rng(epoch).permutation(N)[:size]
        found = sampler.class_aware(batch, epoch)
        assert in_numbers(found) == expected(case, draws(sampler, batch, epoch))
        assert found.instances[found.places].tolist() == batch.tolist()


def test_weights_are_those_of_the_look_alikes(make: Make, case: Case) -> None:
    found, alike = make(case.candidates, SIZES, 0, case.graph).class_aware(np.arange(N), 0), look_alikes(case.graph)
    weight = {
        (a, b): w for a, b, w in zip(alike.source.tolist(), alike.target.tolist(), alike.weight.tolist(), strict=True)
    }
    some = found.local["looks_like"]
    assert some.weight is not None
    pairs = zip(found.classes[some.source].tolist(), found.classes[some.target].tolist(), strict=True)
    assert some.weight.tolist() == [weight[pair] for pair in pairs]
    assert len(some) == len(alike)


def test_it_is_the_batch_that_sample_gives(make: Make, case: Case) -> None:
    sampler, batch = make(case.candidates, SIZES, 3, case.graph), np.array([4, 200, 4, 17, N - 1, 4])
    found, drawn = sampler.class_aware(batch, 1), sampler.sample(batch, 1)
    assert found.anchors.tolist() == batch.tolist()
    for name, some in drawn.edges.items():
        assert found.edges[name].anchor.tolist() == some.anchor.tolist()
        assert found.edges[name].neighbour.tolist() == some.neighbour.tolist()
        assert (found.dense(name, 3)[0] == drawn.dense(name, 3)[0]).all()


def test_an_anchor_that_is_there_twice_has_its_edges_once(make: Make, case: Case) -> None:
    sampler = make(case.candidates, SIZES, 3, case.graph)
    twice, once = sampler.class_aware(np.array([30, 8, 30]), 0), sampler.class_aware(np.array([8, 30]), 0)
    assert in_numbers(twice) == in_numbers(once)
    assert twice.instances[twice.places].tolist() == [30, 8, 30]


def test_the_part_of_an_anchor_is_the_same_in_every_batch(make: Make, case: Case) -> None:
    sampler = make(case.candidates, SIZES, 11, case.graph)
    batch = np.random.default_rng(0).permutation(N)[:60]
    whole = parts(sampler.class_aware(batch, 2))
    for world in (2, 3):
        split = [parts(sampler.class_aware(batch[rank::world], 2)) for rank in range(world)]
        assert {anchor: part for some in split for anchor, part in some.items()} == whole


def test_an_anchor_without_candidates_is_there_with_pattern_and_class(make: Make, case: Case) -> None:
    found = make(case.candidates, SIZES, 0, case.graph).class_aware(np.array([N - 1]), 0)
    assert len(found.local["positive"]) == 0
    assert case.graph.pattern[N - 1] in found.patterns
    assert 5 in found.classes


@pytest.mark.parametrize("case", ["several labels"], indirect=True)
def test_an_anchor_without_a_label_has_a_pattern_alone(make: Make, case: Case) -> None:
    nothing = Candidates(np.zeros(N + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
    found = make({"positive": nothing}, {"positive": 2}, 0, case.graph).class_aware(np.array([20, 10, 20]), 0)
    assert (found.instances.tolist(), found.classes.tolist(), found.places.tolist()) == ([10, 20], [], [1, 0, 1])
    assert {name: len(some) for name, some in found.local.items()} == {
        "positive": 0, "in_pattern": 2, "has_label": 0, "looks_like": 0,
    }  # fmt: skip


def test_an_empty_batch_is_empty(make: Make, case: Case) -> None:
    found = make(case.candidates, SIZES, 0, case.graph).class_aware(np.zeros(0, np.int64), 0)
    assert in_numbers(found) == ([[], [], []], {name: [] for name in found.local})
    assert len(found) == 0


def test_no_labels_at_all(make: Make) -> None:
    labels = LabelSpace((), multi_label=True).membership([[]] * 6)
    graph = build_hierarchy(
        np.arange(6) % 2, np.ones(6), labels, np.arange(6), dominance_threshold=0.5, n_positives=1, multi_label=True
    )
    some = Candidates(np.arange(7), (np.arange(6) + 2) % 6, np.zeros(6, np.uint8))
    found = make({"positive": some}, {"positive": 1}, 0, graph).class_aware(np.array([1, 4]), 0)
    assert found.instances.tolist() == [0, 1, 3, 4]
    assert (found.patterns.tolist(), found.classes.tolist()) == ([0, 1], [])


def test_all_samplers_give_the_same(case: Case) -> None:
    made = [kind(case.candidates, SIZES, 7, case.graph) for kind in SAMPLERS.values()]
    for epoch in range(4):
        batch = np.random.default_rng(epoch).integers(0, N, 50)
        first, *others = (sampler.class_aware(batch, epoch) for sampler in made)
        assert all(equal(first, other) for other in others)


def test_threads_do_not_disturb_each_other(make: Make, case: Case) -> None:
    alone = make(case.candidates, SIZES, 0, case.graph)
    one_by_one = [alone.class_aware(np.arange(N), epoch) for epoch in range(6)]
    sampler = make(case.candidates, SIZES, 0, case.graph)  # whose graph the threads make, too
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda epoch: sampler.class_aware(np.arange(N), epoch), range(6)))
    assert all(equal(a, b) for a, b in zip(one_by_one, together, strict=True))


def test_a_sampler_with_a_stored_hierarchy_survives_pickling(make: Make, case: Case, tmp_path: Path) -> None:
    snapshot.save(case.graph, tmp_path)
    sampler = make(case.candidates, SIZES, 0, snapshot.load(tmp_path))
    found = sampler.class_aware(np.arange(40), 1)
    again = pickle.loads(pickle.dumps(sampler))  # noqa: S301
    assert equal(again.class_aware(np.arange(40), 1), found)
    assert equal(make(case.candidates, SIZES, 0, case.graph).class_aware(np.arange(40), 1), found)


def test_the_graph_of_dgl_has_all_types(case: Case) -> None:
    graph, alike = DglSampler(case.candidates, SIZES, 0, case.graph).graph, look_alikes(case.graph)
    assert sorted(graph.ntypes) == ["class", "instance", "pattern"]
    assert {kind: graph.num_nodes(kind) for kind in graph.ntypes} == {"class": 7, "instance": N, "pattern": 10}
    assert {(a, name, b): graph.num_edges(name) for a, name, b in graph.canonical_etypes} == {
        ("instance", "positive", "instance"): len(case.candidates["positive"].neighbours),
        ("instance", "negative", "instance"): len(case.candidates["negative"].neighbours),
        ("instance", "in_pattern", "pattern"): N,
        ("instance", "has_label", "class"): case.graph.membership.nnz,
        ("class", "looks_like", "class"): len(alike),
    }
    source, target = graph.edges(etype="looks_like", order="eid")
    assert (source.tolist(), target.tolist()) == (alike.source.tolist(), alike.target.tolist())
    assert graph.edges["looks_like"].data["weight"].tolist() == alike.weight.tolist()
    for anchor in range(0, N, 13):
        assert graph.predecessors(anchor, etype="negative").tolist() == case.candidates["negative"].of(anchor).tolist()


def test_without_a_hierarchy_there_is_none(make: Make, case: Case) -> None:
    with pytest.raises(ConfigError, match="without a hierarchy"):
        make(case.candidates, SIZES, 0, None).class_aware(np.arange(3), 0)


def test_a_hierarchy_of_fewer_rows_is_refused(make: Make, case: Case) -> None:
    nothing = Candidates(np.zeros(N + 2, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
    with pytest.raises(DataError, match=f"got {N} rows, expected the {N + 1} of the candidates"):
        make({"positive": nothing}, {"positive": 1}, 0, case.graph)


def test_candidates_of_the_first_rows_alone_will_do(make: Make, case: Case) -> None:
    first = {
        name: Candidates(some.indptr[:31], some.neighbours[: some.indptr[30]], some.priority[: some.indptr[30]],
                         None if some.weight is None else some.weight[: some.indptr[30]])
        for name, some in case.candidates.items()
    }  # fmt: skip
    found = make(first, SIZES, 0, case.graph).class_aware(np.arange(30), 0)
    assert equal(found, make(case.candidates, SIZES, 0, case.graph).class_aware(np.arange(30), 0))
    with pytest.raises(DataError, match="anchors"):
        make(first, SIZES, 0, case.graph).class_aware(np.array([30]), 0)


def test_what_is_no_row_is_refused(make: Make, case: Case) -> None:
    with pytest.raises(DataError, match="anchors"):
        make(case.candidates, SIZES, 0, case.graph).class_aware(np.array([N]), 0)
