"""Jensen-Shannon divergence between what the plain head answers for an anchor and for its positives."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from csrms_dist.losses.term import ALONE, Reducer, Term, View, weighted
from csrms_dist.sampling.subgraph import POSITIVE


class JensenShannon(Term):
    """Mean over the n positives of KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2, in nats, and over the batch.

    p and q are the probabilities of anchor and positive: a softmax, so at most log 2; with several labels an image a
    sigmoid for each class, whose divergences are summed and divided by the mean number of labels, as in the
    classification loss. The gradient passes through the head on both sides.
    Called with logits (B, K), logits of the positives (B, n, K), mask (B, n) and, perhaps, weights (B,) of the anchors;
    a differentiable zero when there are no positives.
    """

    edge_types = (POSITIVE,)

    def __call__(
        self,
        logits: Tensor,
        positives: Tensor,
        mask: Tensor,
        reducer: Reducer = ALONE,
        weights: Tensor | None = None,
        *,
        labels_per_image: float | None = None,
    ) -> Tensor:
        anchors = logits[:, None]
        if labels_per_image is None:
            divergence = _divergence(log_softmax(anchors, dim=2), log_softmax(positives, dim=2))
        else:
            yes = _divergence(logsigmoid(anchors), logsigmoid(positives))
            divergence = (yes + _divergence(logsigmoid(-anchors), logsigmoid(-positives))) / labels_per_image
        value = (divergence * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return weighted(value, weights).sum() / reducer.size(len(logits))

    def of(self, view: View) -> Tensor:
        found, mask = view.draw(POSITIVE)
        return self(
            view.logits["plain"],
            view.classify(found),
            mask,
            view.reducer,
            view.weights,
            labels_per_image=view.labels_per_image,
        )


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Sum over the last dimension of (p log(p / m) + q log(q / m)) / 2, from the logarithms of p and q."""
    middle = torch.logaddexp(p, q) - math.log(2)
    return (p.exp() * (p - middle) + q.exp() * (q - middle)).sum(dim=-1) / 2
