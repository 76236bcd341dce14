"""On features that stay as they are the plain head is the control: bit for bit, and only where the method says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.labels import LabelSpace
from csrms_dist.losses.term import Term, View
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.plain import PlainMethod
from csrms_dist.methods.saved_model import ModelCard, make_model
from csrms_dist.metrics.ranking import mean_average_precision
from csrms_dist.sampling import ReferenceSampler, build_candidates
from csrms_dist.training.batches import TrainingData
from csrms_dist.training.inputs import FeatureInputs
from csrms_dist.training.loop import fit
from csrms_dist.training.settings import OptimiserSettings
from tests.unit.csrms_made import csrms_on, settings_of

N, D, K = 90, 6, 4
NONE = np.zeros(0, np.int64)
OWN = "tests.unit.methods.csrms.test_frozen"


class Shrink(Term):
    """A user's own term, which moves the plain head."""

    def of(self, view: View) -> Tensor:
        return view.logits["plain"].square().mean()


def heads(reading: str, several: bool, **method: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The plain head of the method and that of the control, trained on the same features."""
    draw = np.random.default_rng(0)
    features = draw.normal(size=(N, D)).astype(np.float32)
    labels = [sorted({n % K, *([n % 3] if several else [])}) for n in range(N)]
    membership = LabelSpace(tuple("abcd"), several).membership(labels)
    pattern = np.arange(N) // 3 % 9
    graph = build_hierarchy(
        pattern, np.ones(N), membership, np.arange(N), dominance_threshold=0.3, n_positives=2, multi_label=several
    )
    chosen, sampling = settings_of(reading, weight_attract=0.1, **method)
    per_image = membership.nnz / N if several else None
    card = ModelCard("given", (1, 1, 3), (), (), tuple("abcd"), "csrms", chosen.model_options(sampling))
    cards = (card, replace(card, method="plain"))
    models = [make_model(each, 0, GivenFeatures(D)) for each in cards]
    assert isinstance(models[0], CSRMSModel)
    csrms = csrms_on(models[0], graph, features, chosen, sampling)
    sizes = {"positive": sampling.n_positives, "negative": sampling.n_negatives}
    sampler = ReferenceSampler(build_candidates(graph, features, sampling), {k: sizes[k] for k in csrms.edge_types}, 0)
    control = PlainMethod(models[1], weight=chosen.control_weight(), labels_per_image=per_image)
    settings = OptimiserSettings(batch_size=16, lr=0.1, warmup_epochs=1, augmentation="crop_flip")
    for trained, drawn in ((csrms, sampler), (control, None)):
        data = TrainingData(FeatureInputs(features), membership)
        fit(trained, data, settings, n_images=4 * N + 7, seed=5, sampler=drawn)
    first, second = (dict(model.plain_head.state_dict()) for model in models)
    return first, second


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("reading", ["structural", "paper", "reference"])
def test_the_plain_head_of_a_frozen_encoder_is_the_control_to_the_last_bit(reading: str, several: bool) -> None:
    assert settings_of(reading, weight_attract=0.1)[0].plain_head_alone(frozen=True)
    assert not settings_of(reading, weight_jensen_shannon=0.1)[0].plain_head_alone(frozen=True)
    first, second = heads(reading, several)
    assert equal(first, second)


def test_a_term_of_the_users_own_may_move_it() -> None:
    terms = {f"{OWN}:Shrink": 0.5}
    assert not settings_of("structural", terms=terms)[0].plain_head_alone(frozen=True)
    first, second = heads("structural", False, terms=terms)
    assert not equal(first, second)


def test_the_graph_head_learns_several_labels_at_the_rate_that_suits_the_plain_head() -> None:
    """Features as a pretrained encoder gives them, long and with much in common, at a rate and for as many steps as
    make the plain head learn. With nothing beside the convolution it misses by .18."""
    draw = np.random.default_rng(0)
    rows, dimension = 1200, 32
    kinds = draw.random((12, dimension)) + draw.normal(size=(12, dimension))
    pattern = draw.integers(12, size=rows)
    noise = 1.5 * draw.normal(size=(rows, dimension))
    features = np.asarray(1.2 * np.maximum(kinds[pattern] + noise, 0), np.float32)
    carried = draw.random((rows, 5)) < np.where(draw.random((12, 5)) < 0.3, 0.7, 0.05)[pattern]
    labels = LabelSpace(tuple("abcde"), True).membership([np.flatnonzero(row).tolist() for row in carried])
    graph = build_hierarchy(
        pattern, np.ones(rows), labels, np.arange(rows), dominance_threshold=0.3, n_positives=2, multi_label=True
    )
    chosen, sampling = settings_of("structural", weight_negative=0.0, weight_inter_class=0.0)
    card = ModelCard("given", (1, 1, 3), (), (), tuple("abcde"), "csrms", chosen.model_options(sampling), 32, True)
    model = make_model(card, 0, GivenFeatures(dimension))
    assert isinstance(model, CSRMSModel)
    for head in model.classifiers():
        torch.nn.init.constant_(head.bias, -1.5)
    csrms = csrms_on(model, graph, features, chosen, sampling)
    data = TrainingData(FeatureInputs(features), labels)
    fit(csrms, data, OptimiserSettings(batch_size=64, lr=0.1, warmup_epochs=0), n_images=4 * rows, seed=0)
    model.prototypes = csrms.relations.patterns.means
    with torch.no_grad():
        answers = model.answers(torch.from_numpy(features))
    scores = {head: mean_average_precision(logits.numpy(), labels, NONE) for head, logits in answers.items()}
    assert scores["plain"] > 0.55
    assert scores["graph"] > scores["plain"] - 0.05
