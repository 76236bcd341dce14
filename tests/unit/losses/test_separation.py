"""What relation losses are meant to change, against plain loops: which distances, of which batches, and the rank."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from csrms_dist.losses import separation
from csrms_dist.losses.separation import EVERY, Separation, effective_rank
from csrms_dist.losses.term import View
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE

B, N, D, K = 8, 3, 5, 6
LABELS = [0, 0, 2, 1, 2, 2, 5, 0]


def view(membership: Tensor, **changed: Any) -> View:
    generator = torch.Generator().manual_seed(0)
    features, smoothed = torch.randn(B, D, generator=generator), torch.randn(B, D, generator=generator)
    drawn = {
        kind: (torch.randn(B, N, D, generator=generator), torch.rand(B, N, generator=generator) < 0.5)
        for kind in (POSITIVE, NEGATIVE)
    }
    parts = {"features": features, "smoothed": smoothed, "draw": drawn.__getitem__, **changed}
    return View(logits={}, membership=membership, **parts)


def unit(rows: list[list[float]]) -> list[list[float]]:
    return [[x / math.hypot(*row) for x in row] for row in rows]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def between_and_within(rows: list[list[float]], labels: list[set[int]]) -> tuple[float, float]:
    members = {k: [row for row, some in zip(rows, labels, strict=True) if k in some] for k in range(K)}
    means = {k: [mean(list(column)) for column in zip(*some, strict=True)] for k, some in members.items() if some}
    between = mean([math.dist(means[a], means[b]) for a, b in combinations(means, 2)])
    within = mean([math.dist(row, means[k]) for k, some in members.items() if len(some) > 1 for row in some])
    return between, within


@pytest.mark.parametrize(
    "labels", [[{k} for k in LABELS], [{0, 1}, {0}, {2}, set(), {2, 5}, {1, 2}, {4}, {0}]], ids=["one", "several"]
)
def test_distances(labels: list[set[int]]) -> None:
    membership = torch.tensor([[float(k in some) for k in range(K)] for some in labels])
    made = view(membership)
    found = Separation().of(made, (NEGATIVE, POSITIVE))
    assert all(not total.requires_grad and not number.requires_grad for total, number in found.values())
    figures = {name: float(total) / float(number) for name, (total, number) in found.items()}
    rows = unit(made.features.tolist())
    for kind in (NEGATIVE, POSITIVE):
        neighbours, mask = made.draw(kind)
        each = [
            math.dist(rows[b], unit(neighbours[b].tolist())[j]) for b in range(B) for j in range(N) if bool(mask[b, j])
        ]
        assert figures.pop(f"distance_{kind}") == pytest.approx(mean(each), rel=1e-4)
    for prefix, of in (("", rows), ("smoothed_", unit(made.smoothed.tolist()))):
        between, within = between_and_within(of, labels)
        assert figures.pop(f"{prefix}distance_between_classes") == pytest.approx(between, rel=1e-4)
        assert figures.pop(f"{prefix}distance_within_classes") == pytest.approx(within, rel=1e-4)
    assert figures.pop("effective_rank") == pytest.approx(float(effective_rank(torch.tensor(rows))), rel=1e-4)
    assert not figures


def test_the_first_batch_of_an_epoch_and_each_tenth_after_it_are_looked_at() -> None:
    made, looks = view(one_hot(torch.tensor(LABELS), K).float()), Separation()
    for _ in range(2):
        seen = [set(looks.of(made)) for _ in range(2 * EVERY + 1)]
        assert [number for number, names in enumerate(seen) if names] == [0, EVERY, 2 * EVERY]
        assert [number for number, names in enumerate(seen) if "effective_rank" in names] == [0]
        looks.end_epoch()


def test_features_keep_their_gradient() -> None:
    """Whoever looks first: a term that comes later differentiates."""
    made = view(one_hot(torch.tensor(LABELS), K).float(), features=torch.ones(B, D, requires_grad=True))
    Separation().of(made, (NEGATIVE,))
    assert made.unit.requires_grad


def test_without_pairs_or_neighbours_there_is_nothing_to_report() -> None:
    """A number of 0, which an epoch leaves out; never NaN, which would pass into the mean."""
    nobody = torch.zeros(B, N, dtype=torch.bool)
    made = view(
        one_hot(torch.full((B,), 2), K).float(),
        features=torch.zeros(B, D),
        draw=lambda kind: (torch.zeros(B, N, D), nobody),
    )
    found = Separation().of(made, (NEGATIVE,))
    for name in ("distance_negative", "distance_between_classes", "effective_rank"):
        assert [float(x) for x in found[name]] == [0, 0], name
    assert float(found["distance_within_classes"][1]) == B
    empty = View(torch.zeros(0, D), {}, torch.zeros(0, D), torch.zeros(0, K), made.draw)
    assert all(float(total) == 0 == float(number) for total, number in Separation().of(empty).values())


def test_the_rank_is_e_to_the_entropy_of_the_singular_values() -> None:
    rng = np.random.default_rng(0)
    for shape in ((B, D), (D, B), (4, 4)):
        rows = rng.normal(size=shape)
        values = np.linalg.svd(rows, compute_uv=False).tolist()
        shares = [value / math.fsum(values) for value in values]
        expected = math.exp(-math.fsum(share * math.log(share) for share in shares))
        assert float(effective_rank(torch.from_numpy(rows))) == pytest.approx(expected, rel=1e-6)
    assert float(effective_rank(torch.eye(7))) == pytest.approx(7)
    # Equal rows span one direction, to many digits: rounding must not pass for others.
    assert float(effective_rank(torch.randn(1, 64).expand(500, 64))) == pytest.approx(1, abs=1e-4)
    assert float(effective_rank(torch.full((4, 3), float("nan")))) == 0


def test_of_many_classes_those_with_most_images_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separation, "AT_MOST", 2)
    made = view(one_hot(torch.tensor(LABELS), K).float())
    total, number = Separation().of(made)["distance_between_classes"]
    rows = unit(made.features.tolist())
    kept = [[mean(list(c)) for c in zip(*[rows[b] for b in range(B) if LABELS[b] == k], strict=True)] for k in (0, 2)]
    assert float(number) == 1
    assert float(total) == pytest.approx(math.dist(*kept), rel=1e-4)
