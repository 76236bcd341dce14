"""Distances between features, and their effective rank: what relation losses are meant to change, for the history.

A loss in units of its own running mean distance hardly moves whatever it does, so its curve alone says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.losses.distance import class_sums, euclidean
from csrms_dist.losses.term import Reducer, View

EVERY = 10
"""Of the batches of an epoch the first is looked at, and each tenth after it; for the rank the first alone."""

AT_MOST = 512
"""Rows of the effective rank, and classes (those with most images in the batch), so that large ones cost no more."""

Observed = dict[str, tuple[Tensor, Tensor]]
"""By name a detached sum over this worker's part and its number (`BatchOutcome.observed`)."""


class Separation:
    """Looks at the batches of a training, without gradient and without waiting for the device.

    Assumptions: `of` is called for every global batch on every worker, `end_epoch` after each epoch.
    """

    def __init__(self) -> None:
        self._batches = 0

    @torch.no_grad()
    def of(self, view: View, edge_types: tuple[str, ...] = ()) -> Observed:
        """Euclidean distances between features of length 1; empty for a batch that is not looked at.

        distance_<edge type>: from anchors to their neighbours. distance_between_classes, distance_within_classes: see
        `class_distances`; with smoothed_ before it, of the graph head's representations, which eq. 16 looks at.
        effective_rank: of the encoder's features.
        """
        number, self._batches = self._batches, self._batches + 1
        if number % EVERY:
            return {}
        # Not `view.unit`, which a term that comes later would find without its gradient.
        unit = normalize(view.features, dim=1)
        found: Observed = {}
        for kind in edge_types:
            neighbours, mask = view.neighbours(kind)
            found[f"distance_{kind}"] = (euclidean(unit[:, None], neighbours) * mask).sum(), mask.sum()
        found |= class_distances(unit, view.membership, view.reducer)
        if view.smoothed is not view.features:
            smoothed = class_distances(normalize(view.smoothed, dim=1), view.membership, view.reducer)
            found |= {f"smoothed_{name}": value for name, value in smoothed.items()}
        if number == 0:
            rank = effective_rank(view.reducer.rows(unit)[:AT_MOST])
            found["effective_rank"] = rank, (rank > 0).to(rank.dtype)
        return found

    def part_state(self) -> dict[str, int]:
        """Of an epoch under way: how many batches came."""
        return {"batches": self._batches}

    def load_part_state(self, state: Mapping[str, int]) -> None:
        self._batches = state["batches"]

    def end_epoch(self) -> None:
        """The next batch is the first of an epoch."""
        self._batches = 0


def class_distances(unit: Tensor, membership: Tensor, reducer: Reducer) -> Observed:
    """(b, D) of length 1, (b, K) -> between: over the pairs of class means of the global batch, which every worker
    gives in full; within: from images to the mean of each class of theirs that has two images in it or more."""
    sums = reducer.total(class_sums(unit, membership))
    counts, chosen = sums[:, -1].topk(min(len(sums), AT_MOST))
    means = sums[chosen, :-1] / counts.clamp(min=1)[:, None]
    present = (counts > 0).to(unit.dtype)
    pairs = torch.triu(present[:, None] * present, diagonal=1)
    member = membership[:, chosen] * (counts > 1)
    return {
        "distance_between_classes": ((_distances(means, means) * pairs).sum(), pairs.sum()),
        "distance_within_classes": ((_distances(unit, means) * member).sum(), member.sum()),
    }


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, D), (m, D) -> (n, m), by a product in float64: in float32, what is nearer than .0003 would be rounding
    errors, and representations that have collapsed lie that near."""
    return torch.cdist(a.double(), b.double())


def effective_rank(rows: Tensor) -> Tensor:
    """(n, D) -> a number from 1 to min(n, D): e^H, H the entropy of the singular values divided by their sum (Roy and
    Vetterli, 2007); 0 where there are none above 0.

    In float64 from the smaller Gram matrix: in float32 the roots of rounding errors would pass for directions.
    """
    rows = rows.double()
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    # A training that has diverged is refused by its loss, with a sentence; eigenvalues of NaN would raise another here.
    values = torch.linalg.eigvalsh(gram.nan_to_num()).clamp(min=0).sqrt()
    total = values.sum()
    share = values / total.clamp(min=torch.finfo(total.dtype).tiny)
    entropy: Tensor = -torch.xlogy(share, share).sum()
    rank: Tensor = entropy.exp() * (total > 0)
    return rank
