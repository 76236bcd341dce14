"""InfoNCE, triplets, supervised contrast and Jensen-Shannon against their formulas written as loops."""

from __future__ import annotations

import math
import sys
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.errors import MissingDependencyError
from csrms_dist.losses import drawn_pairs
from csrms_dist.losses.info_nce import InfoNCE
from csrms_dist.losses.jensen_shannon import JensenShannon
from csrms_dist.losses.sup_con import SupCon, jaccard
from csrms_dist.losses.triplet import Triplet

B, P, Q, D, K = 7, 3, 4, 5, 3
T, MARGIN = 0.1, 0.2


def made(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Anchors (B, D), positives (B, P, D) and mask, negatives (B, Q, D) and mask, of length 1.

    Anchor 0 has no positive, anchor 1 no negative, anchor 2 one of each, anchor 3 all.
    """
    generator = torch.Generator().manual_seed(seed)
    masks = [torch.rand(B, n, generator=generator) < 0.6 for n in (P, Q)]
    masks[0][0], masks[1][1] = False, False
    masks[0][2], masks[1][2] = torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1, 0])
    masks[0][3], masks[1][3] = True, True
    drawn = [normalize(torch.randn(B, *shape, D, generator=generator), dim=-1) for shape in ((), (P,), (Q,))]
    return drawn[0], drawn[1], masks[0], drawn[2], masks[1]


def dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def neighbours(sample: tuple[Tensor, ...]) -> list[tuple[list[float], list[list[float]], list[list[float]]]]:
    """Of each anchor: itself, its positives, its negatives."""
    anchors, positives, has_positive, negatives, has_negative = (x.tolist() for x in sample)
    found = []
    for b in range(len(anchors)):
        own = [positives[b][j] for j in range(P) if has_positive[b][j]]
        others = [negatives[b][j] for j in range(Q) if has_negative[b][j]]
        found.append((anchors[b], own, others))
    return found


def info_nce_values(sample: tuple[Tensor, ...]) -> list[float]:
    found = []
    for anchor, own, others in neighbours(sample):
        against = math.fsum(math.exp(dot(anchor, x) / T) for x in others)
        each = [-math.log(math.exp(dot(anchor, x) / T) / (math.exp(dot(anchor, x) / T) + against)) for x in own]
        found.append(sum(each) / len(each) if own and others else 0.0)
    return found


def triplet_values(sample: tuple[Tensor, ...]) -> list[float]:
    found = []
    for anchor, own, others in neighbours(sample):
        each = [max(0.0, math.dist(anchor, p) - math.dist(anchor, q) + MARGIN) for p, q in product(own, others)]
        found.append(sum(each) / len(each) if each else 0.0)
    return found


FORMULAS = [(InfoNCE, info_nce_values), (Triplet, triplet_values)]


@pytest.mark.parametrize(("term", "formula"), FORMULAS, ids=["info_nce", "triplet"])
@pytest.mark.parametrize("at_once", [1, 3, 32])
def test_drawn_pairs(monkeypatch: pytest.MonkeyPatch, term: Any, formula: Any, at_once: int) -> None:
    """Also of anchors one at a time, where the library would take a single pair of each kind for none."""
    monkeypatch.setattr(drawn_pairs, "ANCHORS_AT_ONCE", at_once)
    sample = made()
    values = formula(sample)
    assert values[:2] == [0, 0]
    assert all(value > 0.001 for value in values[2:4])
    assert float(term()(*sample)) == pytest.approx(sum(values) / B, rel=1e-4)
    weights = torch.linspace(0.1, 1.9, B)
    expected = sum(w * value for w, value in zip(weights.tolist(), values, strict=True)) / B
    assert float(term()(*sample, weights=weights)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("term", "nearer"), [(InfoNCE, True), (Triplet, True)])
def test_drawn_pairs_bring_positives_nearer_than_negatives(term: Any, nearer: bool) -> None:
    _, *around = made()
    features = made()[0].requires_grad_()
    optimiser = torch.optim.SGD([features], lr=0.1)
    loss = term()

    def lead() -> float:
        unit = normalize(features.detach(), dim=1)[:, None]
        negative = ((unit - around[2]).norm(dim=2) * around[3])[3].mean()
        positive = ((unit - around[0]).norm(dim=2) * around[1])[3].mean()
        return float(negative - positive)

    before = lead()
    for _ in range(50):
        optimiser.zero_grad()
        loss(normalize(features, dim=1), *around).backward()
        optimiser.step()
    assert (lead() > before + 0.1) is nearer
    assert torch.equal(features[:2].detach(), made()[0][:2])


# ---------------------------------------------------------------- all images of the batch


def sup_con_values(features: Tensor, similarity: list[list[float]]) -> list[float]:
    """The formula, similarity (B, B) the weights of the positives."""
    rows, found = features.tolist(), []
    for a, anchor in enumerate(rows):
        others = [x for x in range(len(rows)) if x != a]
        total = math.fsum(math.exp(dot(anchor, rows[x]) / T) for x in others)
        weight = math.fsum(similarity[a][x] for x in others)
        if weight == 0 or all(similarity[a][x] == 1 for x in others):
            found.append(0.0)
            continue
        each = [similarity[a][x] * math.log(math.exp(dot(anchor, rows[x]) / T) / total) for x in others]
        found.append(-math.fsum(each) / weight)
    return found


def test_sup_con_of_one_label_an_image() -> None:
    features, labels = made()[0], [0, 1, 0, 2, 1, 0, 0]
    expected = sup_con_values(features, [[float(a == b) for b in labels] for a in labels])
    assert expected[3] == 0  # the only image of its class
    one_hot = torch.nn.functional.one_hot(torch.tensor(labels), K).float()
    assert float(SupCon()(features, one_hot)) == pytest.approx(sum(expected) / B, rel=1e-4)
    # The plain code for several labels is the library's loss where each image has one.
    found = SupCon()(features, one_hot, several_labels=True)
    assert float(found) == pytest.approx(sum(expected) / B, rel=1e-4)
    weights = torch.linspace(0.1, 1.9, B)
    expected = [w * value for w, value in zip(weights.tolist(), expected, strict=True)]
    for several in (False, True):
        found = SupCon()(features, one_hot, weights, several_labels=several)
        assert float(found) == pytest.approx(sum(expected) / B, rel=1e-4)


def test_sup_con_of_several_labels_weighs_by_jaccard_similarity() -> None:
    features = made()[0].requires_grad_()
    labels = [{0, 1}, {1}, {0, 1, 2}, set(), {0, 1}, {2}, {1, 2}]
    membership = torch.tensor([[float(k in some) for k in range(K)] for some in labels])
    similarity = [[len(a & b) / len(a | b) if a | b else 0.0 for b in labels] for a in labels]
    torch.testing.assert_close(jaccard(membership), torch.tensor(similarity))
    expected = sup_con_values(features, similarity)
    assert expected[3] == 0
    value = SupCon()(features, membership, several_labels=True)
    assert float(value.detach()) == pytest.approx(sum(expected) / B, rel=1e-4)
    value.backward()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, B])
def test_with_one_class_there_is_nothing_to_tell_apart(n: int, several: bool) -> None:
    features = made()[0][:n].requires_grad_()
    value = SupCon()(features, torch.eye(K)[torch.ones(n, dtype=torch.long)], several_labels=several)
    value.backward()
    assert float(value.detach()) == 0
    assert features.grad is not None
    assert not bool(features.grad.any())


# ---------------------------------------------------------------- the plain head's answers


def divergence(p: list[float], q: list[float]) -> float:
    middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]

    def kl(some: list[float]) -> float:
        return math.fsum(x * math.log(x / m) for x, m in zip(some, middle, strict=True))

    return (kl(p) + kl(q)) / 2


def softmax(logits: list[float]) -> list[float]:
    total = math.fsum(map(math.exp, logits))
    return [math.exp(x) / total for x in logits]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("labels_per_image", [None, 2.5])
def test_jensen_shannon(labels_per_image: float | None) -> None:
    generator = torch.Generator().manual_seed(2)
    logits, positives = torch.randn(B, K, generator=generator), torch.randn(B, P, K, generator=generator)
    mask = made()[2]
    values = []
    for b in range(B):
        each = []
        for q in [positives[b, j].tolist() for j in range(P) if mask[b, j]]:
            if labels_per_image is None:
                each.append(divergence(softmax(logits[b].tolist()), softmax(q)))
            else:
                pairs = zip(map(sigmoid, logits[b].tolist()), map(sigmoid, q), strict=True)
                each.append(sum(divergence([x, 1 - x], [y, 1 - y]) for x, y in pairs) / labels_per_image)
        values.append(sum(each) / len(each) if each else 0.0)
    term = JensenShannon()
    found = term(logits, positives, mask, labels_per_image=labels_per_image)
    assert float(found) == pytest.approx(sum(values) / B, rel=1e-4)
    weights = torch.linspace(0.1, 1.9, B)
    expected = sum(w * value for w, value in zip(weights.tolist(), values, strict=True)) / B
    found = term(logits, positives, mask, weights=weights, labels_per_image=labels_per_image)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_jensen_shannon_of_equal_answers_is_0_and_of_opposite_ones_log_2() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert float(JensenShannon()(logits, logits[:, None], mask).detach()) == 0
    value = JensenShannon()(logits, -logits.detach()[:, None], mask)
    assert float(value.detach()) == pytest.approx(math.log(2))
    value.backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("term", [InfoNCE, SupCon, Triplet])
def test_without_the_package_the_term_says_what_installs_it(monkeypatch: pytest.MonkeyPatch, term: Any) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pytorch_metric_learning"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(MissingDependencyError, match=r"pytorch_metric_learning.*pip install 'csrms-dist\[full\]'"):
        term()
