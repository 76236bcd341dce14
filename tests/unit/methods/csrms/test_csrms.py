"""What enters the graph head: never the label in the structural reading, always in the paper's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from csrms_dist.basics.collective import Collective
from csrms_dist.basics.lookup import resolve
from csrms_dist.encoders import Encoder
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.dominance import class_group, largest_dominated_pattern
from csrms_dist.hierarchy.graph import ROLE_DOMINATES, ROLE_FALLBACK, HierarchyGraph
from csrms_dist.labels import LabelSpace, single_labels
from csrms_dist.methods.csrms import METHOD
from csrms_dist.methods.csrms.encoding.encoding import Draw
from csrms_dist.methods.csrms.method import CSRMS
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.csrms.readings import READINGS
from csrms_dist.methods.csrms.readings.paper import PaperReading
from csrms_dist.methods.csrms.readings.reading import Reading
from csrms_dist.methods.csrms.readings.structural import StructuralReading
from csrms_dist.methods.csrms.relations import Relations, neighbours
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.plain import PlainMethod
from csrms_dist.methods.protocol import Batch
from csrms_dist.methods.saved_model import ModelCard, make_model
from csrms_dist.models.alignment.label_prototypes import LabelPrototypes
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.graph_head import GraphContext
from csrms_dist.sampling import ReferenceSampler, build_candidates
from csrms_dist.sampling.settings import SamplingSettings
from tests.unit.csrms_made import csrms_on, settings_of, words_of
from tests.unit.training.waiting import NothingWaits

K, D, N = 4, 6, 60


def one_hot(labels: np.ndarray, n_classes: int = K) -> Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels), n_classes).float()


class Flat(Encoder):
    """An encoder that only flattens, so that a test can choose the features."""

    dimension = D

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :D]


@dataclass
class Case:
    pattern: np.ndarray
    labels: np.ndarray
    features: Tensor

    @property
    def graph(self) -> HierarchyGraph:
        return build_hierarchy(
            self.pattern,
            np.ones(len(self.pattern)),
            LabelSpace(tuple("abcd")).membership(self.labels.tolist()),
            np.arange(len(self.pattern)),
            dominance_threshold=0.6,
            n_positives=3,
            multi_label=False,
        )

    def batch(self, rows: np.ndarray, *, sampling: SamplingSettings | None = None) -> Batch:
        chosen = sampling or SamplingSettings(n_positives=3, n_negatives=3)
        sizes = {"positive": chosen.n_positives, "negative": chosen.n_negatives}
        sampler = ReferenceSampler(build_candidates(self.graph, self.features.numpy(), chosen), sizes, 0)
        return Batch(
            rows=rows,
            inputs=self.features[rows],
            membership=one_hot(self.labels[rows]),
            global_rows=rows,
            subgraph=sampler.sample(rows, 0),
        )

    def method(self, reading: str, **settings: Any) -> CSRMS:
        chosen, _ = settings_of(reading, **settings)
        sampling = SamplingSettings(n_positives=3, n_negatives=3)
        model = CSRMSModel(Flat(), K, resolve(READINGS[reading])(chosen.prototypes, 3), words_of(chosen))
        return csrms_on(model, self.graph, self.features.numpy(), chosen, sampling)


@pytest.fixture
def case() -> Case:
    """Six patterns, mostly of one class each; pattern 6 is one image."""
    rng = np.random.default_rng(0)
    pattern = np.concatenate([np.arange(N - 1) % 6, [6]])
    labels = np.where(rng.random(N) < 0.8, pattern % K, rng.integers(0, K, N))
    centres = rng.normal(size=(7, D))
    features = (centres[pattern] + 0.3 * rng.normal(size=(N, D))).astype(np.float32)
    return Case(pattern, labels, torch.from_numpy(features))


def context(case: Case, reading: Reading, row: int) -> GraphContext:
    """What the graph head gets for one training row, hierarchy, candidates and prototypes made anew."""
    relations = reading.relations(case.graph, FeatureBank(case.features.numpy()))
    batch = case.batch(np.array([row]))
    return reading.context(batch.inputs, batch, relations, drawn(batch, relations))


def drawn(batch: Batch, relations: Relations) -> Draw:
    """Neighbours as the bank has them."""
    assert batch.subgraph is not None
    subgraph = batch.subgraph
    return lambda edge_type: neighbours(subgraph, edge_type, 10, relations.bank)


def same(a: GraphContext, b: GraphContext) -> bool:
    tensors = [[x.neighbours, x.mask, *(x.prototypes or ())] for x in (a, b)]
    return all(x.shape == y.shape and torch.equal(x, y) for x, y in zip(*tensors, strict=True))


def changed(case: Case, row: int) -> list[Case]:
    """The same rows and features, the label of one row replaced by each other class."""
    found = []
    for label in range(K):
        if label != case.labels[row]:
            labels = case.labels.copy()
            labels[row] = label
            found.append(Case(case.pattern, labels, case.features))
    return found


def test_the_structural_head_gets_the_same_whatever_the_anchors_label(case: Case) -> None:
    for row in range(0, N, 7):
        for other in changed(case, row):
            assert same(context(case, StructuralReading(4, 3), row), context(other, StructuralReading(4, 3), row))
    alone = context(case, StructuralReading(7, 3), N - 1)
    assert int(alone.mask.sum()) == 6  # the pattern of one image is skipped for it


def test_the_papers_head_is_told_the_label(case: Case) -> None:
    """The check above can fail: it does for every row of the paper's reading."""
    for row in range(0, N, 7):
        for other in changed(case, row):
            assert not same(context(case, PaperReading(8, 3), row), context(other, PaperReading(8, 3), row))


def test_on_digits_too(digits_run: Any) -> None:
    labels = single_labels(digits_run.data.membership)
    case = Case(digits_run.graph.pattern, labels, torch.from_numpy(digits_run.features))
    anchors = np.arange(0, len(labels), 97)

    def given(reading: Reading, graph: HierarchyGraph, known: np.ndarray) -> GraphContext:
        relations = reading.relations(graph, FeatureBank(case.features.numpy()))
        sampler = ReferenceSampler(
            build_candidates(graph, digits_run.features, SamplingSettings()), {"positive": 10, "negative": 10}, 0
        )
        batch = Batch(
            anchors,
            torch.zeros(len(anchors), 3, 32, 32),
            one_hot(known[anchors], 10),
            anchors,
            sampler.sample(anchors, 0),
        )
        return reading.context(case.features[anchors], batch, relations, drawn(batch, relations))

    other = labels.copy()
    other[anchors] = (other[anchors] + 3) % 10
    space = LabelSpace(tuple("0123456789"))
    graphs = [
        build_hierarchy(
            digits_run.graph.pattern,
            digits_run.graph.score,
            space.membership(some.tolist()),
            digits_run.graph.instance,
            dominance_threshold=0.6,
            n_positives=10,
            multi_label=False,
        )
        for some in (labels, other)
    ]
    for reading, equal in ((StructuralReading(8, 3), True), (PaperReading(8, 10), False)):
        found = [given(reading, graph, known) for graph, known in zip(graphs, (labels, other), strict=True)]
        assert same(*found) is equal


def prototypes_of(case: Case) -> LabelPrototypes:
    grounds = LabelPrototypes(case.graph)
    grounds.refresh(Relations(case.graph, FeatureBank(case.features.numpy())).patterns)
    return grounds


def test_prototypes_of_classes_are_means_over_what_they_dominate(case: Case) -> None:
    relations = prototypes_of(case)
    counts, role = case.graph.counts.toarray(), case.graph.role.toarray()
    for k in range(K):
        dominated = [j for j in range(7) if role[j, k] == ROLE_DOMINATES]
        assert dominated
        largest = max(dominated, key=lambda j: (counts[j, k], -j))
        members = case.features[[i for i in range(N) if case.pattern[i] == largest]]
        torch.testing.assert_close(relations.cluster_prototypes[k], members.mean(dim=0))
        members = case.features[[i for i in range(N) if case.pattern[i] in dominated]]
        torch.testing.assert_close(relations.class_prototypes[k], members.mean(dim=0))


def test_a_class_that_dominates_nothing_falls_back() -> None:
    """Class 1 is a minority of pattern 0, which class 0 dominates; class 3 has no image at all."""
    pattern = np.array([0] * 10 + [1] * 4)
    labels = np.array([0] * 7 + [1] * 3 + [2] * 4)
    case = Case(pattern, labels, torch.arange(14 * D, dtype=torch.float32).reshape(14, D))
    assert case.graph.role.toarray()[0, 1] == ROLE_FALLBACK
    assert largest_dominated_pattern(case.graph)[:3].tolist() == [0, 0, 1]
    assert class_group(case.graph).tolist() == [0] * 10 + [2] * 4
    relations = prototypes_of(case)
    torch.testing.assert_close(relations.class_prototypes[1], case.features[:10].mean(dim=0))
    assert bool(relations.class_prototypes.any(dim=1).all())


@pytest.mark.parametrize("reading", READINGS)
def test_a_batch_gives_the_terms_that_have_a_weight(case: Case, reading: str) -> None:
    rows = np.arange(0, N, 5)
    weights = {"weight_plain": 0.3, "weight_graph": 0.0, "weight_attract": 0.2, "weight_negative": 0.0}
    method = case.method(reading, **weights, weight_inter_class=0.1)
    outcome = method.batch(case.batch(rows), Collective())
    assert set(outcome.terms) == {"plain", "attract", "inter_class"}
    assert set(outcome.hits) == {"plain", "graph"}
    total = method.objective.total(outcome.terms)
    expected = 0.3 * outcome.terms["plain"] + 0.2 * outcome.terms["attract"] + 0.1 * outcome.terms["inter_class"]
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize(
    ("reading", "settings", "edges"),
    [
        ("structural", {}, ("negative",)),
        ("structural", {"weight_negative": 0.0}, ()),
        ("structural", {"weight_attract": 1.0}, ("positive", "negative")),
        ("paper", {}, ("positive", "negative")),
        ("paper", {"weight_negative": 0.0}, ("positive",)),
        ("reference", {}, ("positive", "negative")),
    ],
)
def test_only_the_edges_that_are_used_are_sampled(
    case: Case, reading: str, settings: dict[str, float], edges: tuple[str, ...]
) -> None:
    assert case.method(reading, **settings).edge_types == edges


def test_the_bank_turns_at_the_end_of_an_epoch(case: Case) -> None:
    method = case.method("structural")
    rows = np.array([3, 50, 8])
    batch = case.batch(rows)
    moved = Batch(batch.rows, batch.inputs + 1, batch.membership, batch.global_rows, batch.subgraph)
    before = method.relations.patterns.means.clone()
    method.batch(moved, Collective())
    assert np.array_equal(method.relations.bank.current, case.features)
    assert torch.equal(method.relations.patterns.means, before)
    method.end_epoch(Collective())
    expected = case.features.clone()
    expected[rows] += 1
    assert np.array_equal(method.relations.bank.current, expected)
    assert not torch.equal(method.relations.patterns.means, before)


def test_a_gather_takes_the_banks_rows_in_rank_order(case: Case) -> None:
    batch = case.batch(np.array([0, N - 1]))
    assert batch.subgraph is not None
    found, mask = neighbours(batch.subgraph, "negative", 3, FeatureBank(case.features.numpy()))
    edges = batch.subgraph.edges["negative"]
    for b in range(2):
        rows = edges.neighbour[edges.anchor == b]
        assert torch.equal(found[b, mask[b]], case.features[rows])
        assert len(rows) == int(mask[b].sum())


def test_unseen_images_of_the_papers_reading_stand_in_for_what_is_unknown() -> None:
    features = torch.randn(3, D)
    found = CSRMSModel(Flat(), K, PaperReading(8, 4)).unseen_context(features, torch.zeros(1, D))
    assert torch.equal(found.neighbours, features[:, None].expand(3, 4, D))
    assert bool(found.mask.all())
    assert found.prototypes is not None
    assert all(torch.equal(prototype, features) for prototype in found.prototypes)


def test_method_and_control_start_from_the_same_plain_head() -> None:
    """Heads are a function of the seed; making them leaves the global stream alone."""
    state = torch.random.get_rng_state()
    facts = ModelCard("flat", (1, 1, D), (), (), tuple("abcd"))
    settings = {reading: settings_of(reading) for reading in READINGS}
    one, two, three = (
        make_model(replace(facts, method="csrms", options=chosen.model_options(sampling)), 3, Flat())
        for chosen, sampling in settings.values()
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(one.plain_head.weight, two.plain_head.weight)
    assert torch.equal(one.plain_head.weight, three.plain_head.weight)
    names = set(PlainModel(Flat(), K).state_dict())
    assert names < set(one.state_dict())


def test_the_plain_method_is_cross_entropy_alone(case: Case) -> None:
    torch.manual_seed(0)
    model = PlainModel(Flat(), K)
    method = PlainMethod(model, weight=0.5)
    rows = np.array([0, 1, 2])
    batch = case.batch(rows)
    outcome = method.batch(batch, Collective())
    labels = torch.from_numpy(case.labels[rows])
    logits = model(batch.inputs)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(outcome.terms["plain"], expected)
    torch.testing.assert_close(method.objective.total(outcome.terms), 0.5 * expected)
    assert {name: int(n) for name, n in outcome.hits.items()} == {"plain": int((logits.argmax(dim=1) == labels).sum())}
    assert method.edge_types == ()
    assert method.state_dict() == {}


def test_stages_come_after_what_they_require() -> None:
    done: set[str] = set()
    for stage in METHOD.stages:
        assert set(stage.requires) <= done
        done.add(stage.name)


@pytest.mark.parametrize("reading", READINGS)
def test_a_step_never_waits_for_the_device(case: Case, reading: str) -> None:
    """With all our own terms; those of pytorch-metric-learning read numbers back."""
    ours = ("attract", "align", "jensen_shannon")
    method = case.method(reading, **{f"weight_{name}": 0.1 for name in ours})
    if any(term.label_prototypes for term in method.terms.values()):
        method.relations.aim(LabelPrototypes(case.graph))
    batch = case.batch(np.arange(0, N, 2))
    for _ in range(2):  # the first batch that a running scale sees, and another
        with NothingWaits():
            outcome = method.batch(batch, Collective())
            method.objective.total(outcome.terms).backward()
    with pytest.raises(AssertionError, match="a number is read back"), NothingWaits():
        float(outcome.terms["plain"])
