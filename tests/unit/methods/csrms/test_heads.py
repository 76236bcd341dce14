"""Whatever smooths and aligns, a step is taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csrms_dist.basics.collective import Collective
from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.errors import ConfigError, RunDirectoryError
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace
from csrms_dist.methods.csrms.build import keep
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.model import LeakCase
from csrms_dist.methods.protocol import Batch
from csrms_dist.methods.saved_model import ModelCard, make_model, save_model
from csrms_dist.models.alignment import ALIGNMENTS
from csrms_dist.models.smoothing import ADJACENCIES, NORMALISATIONS, SMOOTHERS
from csrms_dist.sampling import ReferenceSampler, build_candidates
from tests.unit.csrms_made import csrms_on, settings_of

N, D, K, J = 200, 84, 4, 12
SPACES = [False, True]


@dataclass(frozen=True)
class Made:
    """200 images in 12 patterns of 4 classes."""

    space: LabelSpace
    graph: HierarchyGraph
    features: np.ndarray
    several: bool

    @classmethod
    def of(cls, several: bool) -> Made:
        draw = np.random.default_rng(0)
        pattern = np.arange(N) % J
        label = np.where(draw.random(N) < 0.8, pattern % K, draw.integers(K, size=N))
        space = LabelSpace(tuple("abcd"), several)
        labels: list[Any] = [sorted({int(k), n % 3}) for n, k in enumerate(label)] if several else label.tolist()
        graph = build_hierarchy(
            pattern, np.ones(N), space.membership(labels), np.arange(N), dominance_threshold=0.5, n_positives=5,
            multi_label=several,
        )  # fmt: skip
        features = draw.normal(size=(J, D))[pattern] + 0.5 * draw.normal(size=(N, D))
        return cls(space, graph, np.asarray(features, np.float32), several)

    def card(self, reading: str, **words: str) -> ModelCard:
        chosen, sampling = settings_of(reading, **words)
        names = tuple("abcd")
        options = chosen.model_options(sampling)
        return ModelCard("given", (1, 1, 3), (), (), names, "csrms", options, multi_label=self.several)

    def model(self, reading: str, **words: str) -> CSRMSModel:
        model = make_model(self.card(reading, **words), 0, GivenFeatures(D))
        assert isinstance(model, CSRMSModel)
        return model


@pytest.fixture(scope="module", params=SPACES)
def data(request: pytest.FixtureRequest) -> Made:
    return Made.of(request.param)


@pytest.mark.parametrize("adjacency", ADJACENCIES)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("smoother", SMOOTHERS)
@pytest.mark.parametrize("reading", ["structural", "paper"])
def test_each_smoother_adjacency_and_alignment_makes_a_step(
    data: Made, reading: str, smoother: str, alignment: str, adjacency: str
) -> None:
    words = {"smoother": smoother, "adjacency": adjacency, "alignment": alignment}
    model = data.model(reading, **words)
    chosen, sampling = settings_of(reading, weight_attract=0.1, **words)
    method = csrms_on(model, data.graph, data.features, chosen, sampling)
    sizes = dict.fromkeys(method.edge_types, 10)
    rows = np.arange(0, N, 11)
    found = build_candidates(data.graph, data.features, sampling, rows)
    subgraph = ReferenceSampler(found, sizes, 0).sample(np.arange(len(rows)), 0)
    membership = torch.from_numpy(data.graph.membership[rows].toarray().astype(np.float32))
    inputs = torch.from_numpy(data.features[rows]).requires_grad_(True)
    before = {name: value.clone() for name, value in model.graph_head.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    outcome = method.batch(Batch(rows, inputs, membership, rows, subgraph), Collective())
    method.objective.total(outcome.terms).backward()
    optimiser.step()
    assert all(bool(torch.isfinite(value).all()) for value in outcome.terms.values())
    assert inputs.grad is not None
    assert bool((inputs.grad.abs().sum(dim=1) > 0).all())
    after = model.graph_head.state_dict()
    unmoved = {name for name, value in before.items() if torch.equal(value, after[name])}
    asleep = ("missing", "around") if adjacency == "self" else ("missing",)
    assert all(any(part in name for part in asleep) for name in unmoved), "no anchor here is a tail"
    model.prototypes, model.class_prototypes = (
        method.relations.patterns.means,
        method.state_dict()["beside"].get("class_prototypes"),
    )
    with torch.inference_mode():
        answers = model.answers(torch.from_numpy(data.features[:7]))
    assert torch.isfinite(answers["graph"]).all()


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_the_leak_check_gets_an_answer_chosen_by_labels_where_the_alignment_is(data: Made, alignment: str) -> None:
    """In the leak-free reading: two blank images get two answers only where labels choose the prototypes."""
    model = data.model("structural", alignment=alignment)
    _, sampling = settings_of("structural")
    case = LeakCase(np.zeros((8, D), np.float32), data.graph.membership[:8], data.graph, data.features, sampling, 0)
    answers = model.label_chosen(case)
    if alignment in ("none", "soft"):
        assert answers is None
    else:
        assert answers is not None
        assert len({tuple(row.round(4)) for row in answers}) >= 4


def test_the_papers_reading_without_its_alignment_still_gives_the_label_away(data: Made) -> None:
    _, sampling = settings_of("paper")
    case = LeakCase(np.zeros((8, D), np.float32), data.graph.membership[:8], data.graph, data.features, sampling, 0)
    assert data.model("paper", alignment="none").label_chosen(case) is not None


def test_what_the_soft_alignment_looks_up_is_saved_and_found(data: Made, tmp_path: Path) -> None:
    model = data.model("structural", alignment="soft")
    chosen, sampling = settings_of("structural", alignment="soft")
    method = csrms_on(model, data.graph, data.features, chosen, sampling)
    save_model(tmp_path, data.card("structural", alignment="soft"), model.state_dict())
    keep(tmp_path, method.state_dict(), tmp_path)
    again = data.model("structural", alignment="soft")
    again.load_state_dict(model.state_dict())
    again.load_beside(tmp_path)
    model.prototypes, model.class_prototypes = (
        method.relations.patterns.means,
        method.state_dict()["beside"].get("class_prototypes"),
    )
    unseen = torch.from_numpy(data.features[:9])
    assert torch.equal(again.answers(unseen)["graph"], model.answers(unseen)["graph"])


def test_a_model_of_an_older_graph_head_is_refused(data: Made) -> None:
    card = data.card("structural")
    old = {name: value for name, value in card.options.items() if name in ("reading", "prototypes", "n_positives")}
    for options in ({**old, "smoother": "auto", "graph_head": 2}, old):
        with pytest.raises(RunDirectoryError, match="another version"):
            make_model(replace(card, options=options), 0, GivenFeatures(D))


@pytest.mark.parametrize("key", ["smoother", "adjacency", "normalisation", "alignment"])
def test_a_name_that_is_none_is_refused_with_those_that_are(key: str) -> None:
    with pytest.raises(ConfigError, match=f"method.{key}: got 'stars', expected one of 'auto', "):
        settings_of("structural", **{key: "stars"})


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_settings_win_over_the_reading(data: Made, normalisation: str) -> None:
    form = data.model("paper", normalisation=normalisation).graph_head.smoothing.form
    assert (form.adjacency, form.normalisation, form.softmax) == ("knn", normalisation, True)
    assert data.model("paper", adjacency="star").graph_head.smoothing.form.adjacency == "star"
