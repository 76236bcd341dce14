"""Supervised contrast (Khosla et al., 2020): all images of a class in the global batch against all others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.losses.metric_learning import PACKAGE, unreduced
from csrms_dist.losses.term import Term, View, weighted


class SupCon(Term):
    """The mean over the batch of -sum_p w_ap log(e^(a.p / t) / sum over all but a of e^(a.x / t)) / sum_p w_ap.

    One label an image: w_ap is 1 for images of the anchor's class and 0 for others, by pytorch-metric-learning.
    Several: w_ap is the Jaccard similarity of both label sets, which that library does not know. An anchor counts 0
    where no other image shares a label with it, and where all others have just its labels: nothing to tell apart then.
    Called with all rows of the batch: features (B, D), membership (B, K) and, perhaps, weights (B,) of the anchors.
    """

    packages = (PACKAGE,)

    def __init__(self, *, temperature: float = 0.1) -> None:
        self._loss = unreduced("SupConLoss", temperature=temperature)
        self.temperature = temperature

    def __call__(
        self, features: Tensor, membership: Tensor, weights: Tensor | None = None, *, several_labels: bool = False
    ) -> Tensor:
        if several_labels:
            values = self._weighted_by_jaccard(normalize(features, dim=1), jaccard(membership))
        else:
            found = self._loss(features, membership.argmax(dim=1))["loss"]["losses"]
            # Where there are no positive pairs, or no negative ones, the library answers with the number 0.
            values = found if isinstance(found, Tensor) else features.sum(dim=1) * 0
        return weighted(values, weights).sum() / max(len(features), 1)

    def _weighted_by_jaccard(self, unit: Tensor, similarity: Tensor) -> Tensor:
        """(B, D) of length 1 and (B, B) similarities of label sets -> (B,) values."""
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        weight = similarity.masked_fill(itself, 0)
        counts = (weight > 0).any(dim=1) & ((weight < 1) & ~itself).any(dim=1)
        logits = (unit @ unit.T / self.temperature).masked_fill(itself, torch.finfo(unit.dtype).min)
        log_share = logits - logits.logsumexp(dim=1, keepdim=True)
        total = (weight * log_share.masked_fill(itself, 0)).sum(dim=1)
        return -total / weight.sum(dim=1).masked_fill(~counts, 1) * counts

    def of(self, view: View) -> Tensor:
        rows = view.reducer.rows
        weights = None if view.weights is None else rows(view.weights)
        several = view.labels_per_image is not None
        return view.reducer.share(self(rows(view.unit), rows(view.membership), weights, several_labels=several))


def jaccard(membership: Tensor) -> Tensor:
    """(B, K) of 0 and 1 -> (B, B): labels that two rows share over labels that either has; 0 where there are none."""
    both = membership @ membership.T
    number = membership.sum(dim=1)
    return both / (number[:, None] + number - both).clamp(min=1)
