"""Prototypes of eq. 11-12 in each form, written as loops over images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from csrms_dist.basics.lookup import resolve
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace
from csrms_dist.models.alignment import ALIGNMENTS
from csrms_dist.models.alignment.alignment import Alignment, Grounds
from csrms_dist.models.alignment.reference import ReferencePrototypes
from csrms_dist.models.alignment.soft import TEMPERATURE, SoftAlignment, memberships
from csrms_dist.models.prototypes import Nearest, PatternPrototypes

N, J, K, D = 48, 6, 4, 5
ABOVE = 0.5


def labels_of(several: bool) -> list[list[int]]:
    draw = np.random.default_rng(3)
    found = [[int(n % J % K) if draw.random() < 0.8 else int(draw.integers(K))] for n in range(N - 1)]
    if several:
        found = [sorted({*own, int(draw.integers(K))}) for own in found]
        found[5] = []
    return [*found, [2]]


def features() -> np.ndarray:
    draw = np.random.default_rng(1)
    return np.asarray(draw.normal(size=(J + 1, D))[pattern()] + 0.4 * draw.normal(size=(N, D)), np.float32)


def pattern() -> np.ndarray:
    """The last image is a pattern of its own."""
    return np.array([*(np.arange(N - 1) % J), J])


def graph_of(labels: list[list[int]], several: bool) -> HierarchyGraph:
    space = LabelSpace(tuple("abcd"), several)
    membership = space.membership(labels if several else [own[0] for own in labels])
    return build_hierarchy(
        pattern(), np.ones(N), membership, np.arange(N), dominance_threshold=ABOVE, n_positives=2, multi_label=several
    )


def grounds_of(alignment: Alignment, labels: list[list[int]], several: bool) -> Grounds:
    grounds = alignment.grounds(graph_of(labels, several))
    assert grounds is not None
    grounds.refresh(PatternPrototypes(features(), pattern(), J + 1))
    return grounds


def one_hot(labels: list[list[int]]) -> torch.Tensor:
    return torch.tensor([[float(k in own) for k in range(K)] for own in labels])


def test_no_alignment_has_nothing_to_look_up() -> None:
    none = Alignment()
    assert none.grounds(graph_of(labels_of(False), False)) is None
    assert none.unseen(torch.zeros(2, D), torch.zeros(3, D), None) is None
    assert [resolve(place).label_chosen for place in ALIGNMENTS.values()] == [False, False, True, True]


@pytest.mark.parametrize("several", [False, True])
def test_the_released_prototypes_are_a_sum_over_the_size_of_the_class_and_a_mean_of_its_own(several: bool) -> None:
    labels, vectors, of = labels_of(several), features().astype(float), pattern()
    grounds = ReferencePrototypes(graph_of(labels, several))
    grounds.refresh(PatternPrototypes(features(), of, J + 1))
    dominating = 0
    for k in range(K):
        members = [n for n in range(N) if k in labels[n]]
        count = {j: sum(of[n] == j for n in members) for j in range(J + 1)}
        largest = max(count, key=lambda j: (count[j], j))
        cluster = sum(vectors[n] for n in members if of[n] == largest) / len(members)
        dominated = [j for j in count if count[j] / sum(of == j) > ABOVE]
        inside = [vectors[n] for n in members if of[n] in dominated]
        dominating += bool(inside)
        label = np.mean(inside, axis=0) if inside else cluster
        np.testing.assert_allclose(grounds.cluster_prototypes[k], cluster, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(grounds.class_prototypes[k], label, rtol=1e-5, atol=1e-6)
    assert dominating > 1


def soft_by_loops(
    vector: np.ndarray, left_out: int | None, labels: list[list[int]], k: int, several: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Both prototypes of one image, from all images but itself."""
    rows = [n for n in range(N) if n != left_out]
    vectors, of = features().astype(float), pattern()
    means = {j: np.mean([vectors[n] for n in rows if of[n] == j], axis=0) for j in {int(of[n]) for n in rows}}

    def cosine(j: int) -> float:
        return float(vector @ means[j] / (np.linalg.norm(vector) * np.linalg.norm(means[j])))

    near = sorted(means, key=lambda j: -cosine(j))[:k]
    mean = math.fsum(cosine(j) for j in near) / len(near)
    if several:
        raw = {j: 1 / (1 + math.exp(-(cosine(j) - mean) / TEMPERATURE)) for j in near}
    else:
        raw = {j: math.exp(cosine(j) / TEMPERATURE) for j in near}
    weight = {j: raw[j] / math.fsum(raw.values()) for j in near}
    count = {(j, c): sum(c in labels[n] for n in rows if of[n] == j) for j in means for c in range(K)}
    of_class = {}
    for c in range(K):
        total = sum(count[j, c] for j in means)
        of_class[c] = sum(count[j, c] * means[j] for j in means) / max(total, 1)
    label = np.zeros(D)
    for j in near:
        counted = max(sum(count[j, c] for c in range(K)), 1)
        label += weight[j] * sum(count[j, c] / counted * of_class[c] for c in range(K))
    return sum(weight[j] * means[j] for j in near), label


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("k", [1, 4, 20])
def test_soft_prototypes_are_those_of_all_images_but_the_anchor(several: bool, k: int) -> None:
    labels, rows = labels_of(several), np.arange(0, N)
    alignment = SoftAlignment(k, several)
    grounds = grounds_of(alignment, labels, several)
    moved = torch.from_numpy(features()) + 0.1
    found = grounds.of_batch(moved, rows, one_hot(labels))
    unseen = grounds.of_batch(moved, None, one_hot(labels))
    kept = alignment.unseen(moved, PatternPrototypes(features(), pattern(), J + 1).means, grounds.kept())
    for n in rows:
        vector = moved[n].numpy().astype(float)
        for one, other in zip(found, soft_by_loops(vector, int(n), labels, k, several), strict=True):
            np.testing.assert_allclose(one[n], other, rtol=1e-3, atol=1e-5)
        whole = soft_by_loops(vector, None, labels, k, several)
        for pair in (unseen, kept):
            for one, other in zip(pair, whole, strict=True):
                np.testing.assert_allclose(one[n], other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("several", [False, True])
def test_soft_prototypes_do_not_see_the_anchors_label_and_the_others_do(several: bool) -> None:
    labels = labels_of(several)
    moved = torch.from_numpy(features())
    for n in range(0, N, 5):
        other = [list(own) for own in labels]
        other[n] = [k for k in range(K) if k not in labels[n]][:1]
        pairs = {}
        for name in ("soft", "paper", "reference"):
            alignment = resolve(ALIGNMENTS[name])(4, several)
            pairs[name] = [
                grounds_of(alignment, some, several).of_batch(moved[n : n + 1], np.array([n]), one_hot(some)[n : n + 1])
                for some in (labels, other)
            ]
        for one, two in zip(*pairs["soft"], strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
        for name in ("paper", "reference"):
            assert any(not torch.allclose(*both, atol=1e-3) for both in zip(*pairs[name], strict=True))


def test_an_image_that_has_no_pattern_left_keeps_its_feature() -> None:
    vector = np.ones((1, D), np.float32)
    graph = build_hierarchy(
        np.zeros(1, np.int64), np.ones(1), LabelSpace(("a",)).membership([0]), np.arange(1),
        dominance_threshold=ABOVE, n_positives=1, multi_label=False,
    )  # fmt: skip
    grounds = SoftAlignment(3).grounds(graph)
    grounds.refresh(PatternPrototypes(vector, np.zeros(1, np.int64), 1))
    moved = torch.full((1, D), 2.0)
    for found in grounds.of_batch(moved, np.zeros(1, np.int64), torch.ones(1, 1)):
        assert torch.equal(found, moved)


@pytest.mark.parametrize("several", [False, True])
def test_memberships_add_up_to_1_over_the_patterns_that_are_there(several: bool) -> None:
    mask = torch.tensor([[True, True, False], [False, False, False]])
    cosine = torch.tensor([[0.5, 0.2, -torch.inf], [-torch.inf] * 3])
    found = memberships(
        Nearest(torch.zeros(2, 3, dtype=torch.int64), cosine, torch.zeros(2, 3, D), mask, None), several
    )
    torch.testing.assert_close(found.sum(dim=1), torch.tensor([1.0, 0.0]))
    assert found[0, 0] > found[0, 1] > found[0, 2] == 0


def test_a_row_without_labels_keeps_its_feature_where_labels_choose() -> None:
    labels = labels_of(True)
    moved = torch.randn(1, D)
    for name in ("paper", "reference"):
        grounds = grounds_of(resolve(ALIGNMENTS[name])(4, True), labels, True)
        for found in grounds.of_batch(moved, np.array([5]), torch.zeros(1, K)):
            assert torch.equal(found, moved)
