"""Each loss term against its equation written as loops, its sign, and its zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from csrms_dist.errors import ConfigError
from csrms_dist.losses.alignment import AlignmentLoss
from csrms_dist.losses.attraction import Attraction
from csrms_dist.losses.classification import classification_loss, prior_logits, top_hits
from csrms_dist.losses.distance import RunningScale, class_sums, euclidean
from csrms_dist.losses.inter_class import InterClass
from csrms_dist.losses.negative_sampling import NegativeSampling
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.term import Reducer
from csrms_dist.losses.terms import TERMS

B, M, D, K = 6, 4, 5, 3


def made(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features (B, D), neighbours (B, M, D), mask (B, M); anchor 0 has no neighbour, anchor 1 all."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(B, M, generator=generator) < 0.6
    mask[0], mask[1] = False, True
    return torch.randn(B, D, generator=generator), torch.randn(B, M, D, generator=generator), mask


def distances(features: Tensor, neighbours: Tensor, mask: Tensor) -> list[list[float]]:
    """Of each anchor, the distances to the neighbours that it has."""
    rows, others = features.tolist(), neighbours.tolist()
    return [[math.dist(rows[b], others[b][q]) for q in range(M) if mask[b, q]] for b in range(B)]


def flat(lists: list[list[float]]) -> list[float]:
    return [x for some in lists for x in some]


def test_negative_sampling_is_the_mean_of_mu_over_one_plus_d_over_s() -> None:
    loss = NegativeSampling(mu=2.0)
    scale = 0.0
    for step in range(3):
        sample = made(step)
        d = distances(*sample)
        mean = math.fsum(flat(d)) / len(flat(d))
        scale = mean if step == 0 else 0.9 * scale + 0.1 * mean
        expected = sum(2.0 * sum(1 / (1 + x / scale) for x in some) / len(some) for some in d if some) / B
        assert float(loss(*sample)) == pytest.approx(expected, rel=1e-5)


def test_negative_sampling_as_printed_is_eq_14() -> None:
    sample = made()
    expected = sum(-math.log(3.0 / (sum(some) + 3.0)) for some in distances(*sample) if some) / B
    found = NegativeSampling(form="printed", theta=3.0)(*sample)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_negative_sampling_as_released_has_the_sum_inside() -> None:
    sample = made()
    expected = sum(2.0 / (1 + math.log(1 + sum(some))) for some in distances(*sample) if some) / B
    assert float(NegativeSampling(form="released", mu=2.0)(*sample)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("term", "name"), [(NegativeSampling, "negative"), (InterClass, "inter_class")])
def test_a_form_that_is_not_there_is_refused_and_the_others_are_what_the_settings_offer(term: Any, name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"the loss term {name}: got 'other', expected one of repelling, printed, rel"
    ):
        term(form="other")
    assert tuple(term.FORMS) == TERMS[name].forms


@pytest.mark.parametrize("form", NegativeSampling.FORMS)
def test_weights_of_the_anchors_weigh_every_form_of_negative_sampling(form: str) -> None:
    features, negatives, mask = made()
    weights = torch.linspace(0.1, 1.9, B)
    found = NegativeSampling(form=form)(features, negatives, mask, weights=weights)
    # One anchor of a batch of B at a time, the others without negatives, at the scale of the whole batch.
    expected = 0.0
    for b in range(B):
        term = NegativeSampling(form=form)
        term(features, negatives, mask)
        term.scale.momentum = 1.0
        alone = mask & (torch.arange(B) == b)[:, None]
        expected += float(weights[b]) * float(term(features, negatives, alone))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_attraction_is_what_negative_sampling_is_not() -> None:
    sample = made()
    d = distances(*sample)
    scale = math.fsum(flat(d)) / len(flat(d))
    expected = sum(sum(1 - 1 / (1 + x / scale) for x in some) / len(some) for some in d if some) / B
    assert float(Attraction()(*sample)) == pytest.approx(expected, rel=1e-5)


def classes(labels: list[int]) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), K)


def class_means(features: list[list[float]], labels: list[int]) -> list[list[float]]:
    means = []
    for k in sorted(set(labels)):
        members = [row for row, label in zip(features, labels, strict=True) if label == k]
        means.append([math.fsum(column) / len(members) for column in zip(*members, strict=True)])
    return means


LABELS = [2, 0, 2, 1, 0, 2]


def test_class_sums_are_eq_15() -> None:
    features, _, _ = made()
    found = class_sums(features, classes(LABELS)).tolist()
    for k in range(K):
        members = [features[b].tolist() for b in range(B) if LABELS[b] == k]
        assert found[k] == pytest.approx([math.fsum(column) for column in zip(*members, strict=True)] + [len(members)])
    halves = class_sums(features[:4], classes(LABELS[:4])) + class_sums(features[4:], classes(LABELS[4:]))
    torch.testing.assert_close(halves, class_sums(features, classes(LABELS)))


@pytest.mark.parametrize("labels", [LABELS, [0, 0, 2, 2, 2, 2]])
def test_inter_class_is_the_mean_over_pairs_and_as_printed_eq_16(labels: list[int]) -> None:
    features, _, _ = made()
    means = class_means(features.tolist(), labels)
    n = len(means)
    pairs = [math.dist(means[i], means[j]) for i in range(n) for j in range(n) if i < j]
    scale = math.fsum(pairs) / len(pairs)
    found = InterClass(mu=0.5)(features, classes(labels))
    assert float(found) == pytest.approx(0.5 * sum(1 / (1 + d / scale) for d in pairs) / len(pairs), rel=1e-5)
    ordered = [math.dist(means[i], means[j]) for i in range(n) for j in range(n) if i != j]
    for form in ("printed", "released"):
        printed = InterClass(form=form, theta=2.0)(features, classes(labels))
        assert float(printed) == pytest.approx(sum(-math.log(2.0 / (d + 2.0)) for d in ordered), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classification_is_eq_13_and_adds_up_over_slices(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(B, K, generator=generator)
    expected = 0.0
    for row, label in zip(logits.tolist(), LABELS, strict=True):
        log_z = math.log(sum(map(math.exp, row)))
        target = [(1 - smoothing) * (k == label) + smoothing / K for k in range(K)]
        expected += sum(t * (log_z - x) for t, x in zip(target, row, strict=True))
    membership = torch.nn.functional.one_hot(torch.tensor(LABELS), K).float()
    assert_adds_up(logits, membership, smoothing, expected / B, None)


def assert_adds_up(
    logits: Tensor, membership: Tensor, smoothing: float, expected: float, labels_per_image: float | None
) -> None:
    def loss(rows: slice) -> float:
        term = classification_loss(
            logits[rows], membership[rows], smoothing, labels_per_image=labels_per_image, reducer=Reducer(B)
        )
        return float(term)

    assert loss(slice(None)) == pytest.approx(expected, rel=1e-5)
    assert sum(loss(slice(i, None, 4)) for i in range(4)) == pytest.approx(expected, rel=1e-5)
    assert loss(slice(0, 0)) == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_labels_are_binary_cross_entropies(smoothing: float) -> None:
    """Row 2 has no label: it is an answer of no to every class, and counts."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(B, K, generator=generator)
    membership = (torch.rand(B, K, generator=generator) < 0.5).float()
    membership[2] = 0
    expected = 0.0
    for row, labels in zip(logits.tolist(), membership.tolist(), strict=True):
        for x, t in zip(row, labels, strict=True):
            p, target = 1 / (1 + math.exp(-x)), t * (1 - smoothing) + smoothing / 2
            expected -= target * math.log(p) + (1 - target) * math.log(1 - p)
    assert_adds_up(logits, membership, smoothing, expected / B / 1.5, 1.5)


def test_a_head_at_its_prior_answers_with_the_frequency_of_each_class() -> None:
    counts, n = torch.tensor([0, 3, 250, 1000]), 1000
    expected = [(c + 0.5) / (n + 1) for c in counts.tolist()]
    torch.testing.assert_close(prior_logits(counts, n).sigmoid(), torch.tensor(expected))


def test_a_hit_is_one_of_the_images_labels() -> None:
    logits = torch.tensor([[3.0, 1, 0], [0, 1, 2], [5, 0, 0], [0, 0, 0]])
    membership = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    assert top_hits(logits, membership) == 2
    assert top_hits(logits[:0], membership[:0]) == 0


def test_the_running_scale_starts_at_the_first_mean_and_ignores_empty_batches() -> None:
    scale = RunningScale(momentum=0.8)
    zero, one = torch.zeros(()), torch.ones(())
    assert float(scale.update(zero, zero)) == pytest.approx(1e-6)  # never 0: it divides
    assert float(scale.update(torch.tensor(6.0), torch.tensor(3.0))) == 2.0
    assert float(scale.update(zero, zero)) == 2.0
    assert float(scale.update(7 * one, one)) == pytest.approx(0.8 * 2 + 0.2 * 7)
    again = RunningScale(momentum=0.8)
    again.load_state_dict(scale.state_dict())
    assert torch.equal(again.update(one, one), scale.update(one, one))


def test_a_term_cannot_be_lowered_by_scaling_features_up() -> None:
    features, negatives, mask = made()
    values = [float(NegativeSampling()(s * features, s * negatives, mask)) for s in (1.0, 100.0)]
    assert values[0] == pytest.approx(values[1])
    values = [float(InterClass()(s * features, classes(LABELS))) for s in (1.0, 100.0)]
    assert values[0] == pytest.approx(values[1])


def test_the_gradient_of_a_distance_of_zero_is_zero() -> None:
    a = torch.ones(2, 3, requires_grad=True)
    euclidean(a, torch.ones(2, 3)).sum().backward()
    assert a.grad is not None
    assert torch.equal(a.grad, torch.zeros(2, 3))


# ---------------------------------------------------------------- signs


def after_steps(start: Tensor, loss: Callable[[Tensor], Tensor], steps: int = 50) -> Tensor:
    """Free feature tensors after SGD on one term."""
    features = start.clone().requires_grad_()
    optimiser = torch.optim.SGD([features], lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(features).backward()
        optimiser.step()
    return features.detach()


@pytest.mark.parametrize(("form", "moves"), [("printed", "together"), ("repelling", "apart"), ("released", "apart")])
def test_eq_14_as_printed_attracts_negatives_and_the_others_repel(form: str, moves: str) -> None:
    features, negatives, mask = made()
    term = NegativeSampling(form=form)
    moved = after_steps(features, lambda x: term(x, negatives, mask))
    before, after = distances(features, negatives, mask), distances(moved, negatives, mask)
    for b in range(1, B):
        assert (sum(after[b]) > sum(before[b])) is (moves == "apart")
    assert torch.equal(moved[0], features[0])  # no negatives, no move


@pytest.mark.parametrize(("form", "moves"), [("printed", "together"), ("repelling", "apart"), ("released", "nowhere")])
def test_eq_16_as_printed_attracts_classes_ours_repels_and_the_released_code_does_nothing(
    form: str, moves: str
) -> None:
    features, _, _ = made()
    term = InterClass(form=form)
    moved = after_steps(features, lambda x: term(x, classes(LABELS)))
    before, after = (class_means(x.tolist(), LABELS) for x in (features, moved))
    total = [sum(math.dist(a, b) for a in means for b in means) for means in (before, after)]
    assert (total[1] > total[0]) is (moves == "apart")
    assert torch.equal(moved, features) is (moves == "nowhere")


def test_attraction_brings_positives_nearer() -> None:
    features, positives, mask = made()
    term = Attraction()
    moved = after_steps(features, lambda x: term(x, positives, mask))
    assert sum(flat(distances(moved, positives, mask))) < sum(flat(distances(features, positives, mask)))


# ---------------------------------------------------------------- zeros


@pytest.mark.parametrize(
    "term",
    [*(NegativeSampling(form=form) for form in NegativeSampling.FORMS), Attraction()],
    ids=[*NegativeSampling.FORMS, "attraction"],
)
@pytest.mark.parametrize("at_zero", [False, True])
def test_without_neighbours_the_term_is_a_differentiable_zero(
    term: NegativeSampling | Attraction, at_zero: bool
) -> None:
    features, neighbours, mask = made()
    features = (features * 0 if at_zero else features).requires_grad_()
    neighbours = neighbours * 0 if at_zero else neighbours
    value = term(features, neighbours, torch.zeros_like(mask))
    assert float(value.detach()) == 0
    value.backward()
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros(B, D))
    empty = term(features[:0], neighbours[:0], mask[:0])
    empty.backward()
    assert float(empty.detach()) == 0


@pytest.mark.parametrize("form", InterClass.FORMS)
@pytest.mark.parametrize("n", [0, B])
def test_with_one_class_or_none_the_term_is_a_differentiable_zero(form: str, n: int) -> None:
    features = made()[0].requires_grad_()
    value = InterClass(form=form)(features[:n], classes([1] * B)[:n])
    assert float(value.detach()) == 0
    value.backward()
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros(B, D))


def test_negatives_carry_no_gradient_in_ours() -> None:
    """The bank is detached, so only the anchor moves."""
    features, negatives, mask = made()
    features.requires_grad_()
    NegativeSampling()(features, negatives, mask).backward()
    assert features.grad is not None
    assert bool((features.grad[1] != 0).any())
    assert not bool(features.grad[0].any())


# ---------------------------------------------------------------- the objective


def test_the_objective_weighs_the_terms_in_name_order() -> None:
    objective = Objective({"b": 2.0, "a": 0.5, "absent": 0.0})
    terms = {"b": torch.tensor(3.0), "a": torch.tensor(1.0)}
    assert float(objective.total(terms)) == 6.5
    assert torch.equal(objective.total(terms), objective.total(dict(reversed(terms.items()))))


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": 0.0, "b": 0.0}])
def test_nothing_to_train_on_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"weights of the loss terms: .*at least one above 0"):
        Objective(weights)


def test_alignment_as_a_loss_is_the_mean_over_both_prototypes() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(5, 4, generator=generator), dim=1)
    prototypes = torch.randn(5, 2, 4, generator=generator)
    weights = torch.tensor([2.0, 1.0, 1.0, 0.5, 0.5])
    term = AlignmentLoss()
    found = float(term(features, prototypes, weights=weights))
    distance = [[float((features[b] - prototypes[b, k]).norm()) for k in range(2)] for b in range(5)]
    scale = sum(map(sum, distance)) / 10
    by_hand = sum(float(weights[b]) * sum(1 - 1 / (1 + d / scale) for d in distance[b]) / 2 for b in range(5)) / 5
    assert found == pytest.approx(by_hand, rel=1e-5)


def test_alignment_as_a_loss_draws_to_the_prototypes() -> None:
    generator = torch.Generator().manual_seed(0)
    free = torch.randn(6, 4, generator=generator).requires_grad_()
    prototypes = torch.randn(6, 1, 4, generator=generator).expand(6, 2, 4)
    optimiser, term = torch.optim.SGD([free], lr=0.5), AlignmentLoss()

    def distance() -> float:
        return float((free.detach()[:, None] - prototypes).norm(dim=2).mean())

    before = distance()
    for _ in range(50):
        optimiser.zero_grad()
        term(free, prototypes).backward()
        optimiser.step()
    assert distance() < 0.9 * before
