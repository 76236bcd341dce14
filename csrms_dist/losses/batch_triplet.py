"""The triplet loss over a batch (Schroff et al., 2015): nearer to images of the class than to those of others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.losses.metric_learning import PACKAGE, unreduced
from csrms_dist.losses.sup_con import jaccard
from csrms_dist.losses.term import Term, View, weighted

MARGIN = 0.2
ANCHORS_AT_ONCE = 16
"""Whose (B, B) possible triplets are looked through at once. The gradient keeps all that there are: with K classes of
equal size about B^3 / K, so a batch of some hundred images is what this suits."""


class BatchTriplet(Term):
    """Mean over the triplets (a, p, q) of an anchor of max(0, |a - p| - |a - q| + margin), then over the batch.

    p shares a label with a, q shares none; distances are Euclidean, between features of length 1. Triplets that keep
    the margin count as 0, and so does an anchor without p or without q. Several labels: each p counts in proportion to
    the Jaccard similarity of its labels and a's. Called with all rows: features (B, D), membership (B, K) and, perhaps,
    weights (B,) of the anchors. By pytorch-metric-learning.
    """

    packages = (PACKAGE,)

    def __init__(self, *, margin: float = MARGIN) -> None:
        self._loss = unreduced("TripletMarginLoss", margin=margin)

    def __call__(self, features: Tensor, membership: Tensor, weights: Tensor | None = None) -> Tensor:
        unit, similarity = normalize(features, dim=1), jaccard(membership)
        similarity = similarity.masked_fill(torch.eye(len(unit), dtype=torch.bool, device=unit.device), 0)
        differs = membership @ membership.T == 0
        some = [slice(start, start + ANCHORS_AT_ONCE) for start in range(0, max(len(unit), 1), ANCHORS_AT_ONCE)]
        values = torch.cat([self._values(unit[part], similarity[part], differs[part], unit) for part in some])
        return weighted(values, weights).sum() / max(len(features), 1)

    def _values(self, anchors: Tensor, similarity: Tensor, differs: Tensor, unit: Tensor) -> Tensor:
        """(c,) mean losses of some anchors (c, D): similarity and no common label (c, B) to all rows, unit (B, D)."""
        anchor, positive, negative = ((similarity > 0)[:, :, None] & differs[:, None]).nonzero(as_tuple=True)
        zero = anchors.sum(dim=1) * 0
        if len(anchor) == 0:
            return zero
        found = self._loss(anchors, indices_tuple=(anchor, positive, negative), ref_emb=unit)["loss"]["losses"]
        weight = similarity[anchor, positive]
        number = torch.zeros_like(zero).index_add(0, anchor, weight)
        return zero.index_add(0, anchor, weight * found) / number.masked_fill(number == 0, 1)

    def of(self, view: View) -> Tensor:
        rows = view.reducer.rows
        weights = None if view.weights is None else rows(view.weights)
        return view.reducer.share(self(rows(view.features), rows(view.membership), weights))
