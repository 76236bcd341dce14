"""Cross-entropy (CSRMS eq. 13), or binary cross-entropy for several labels, with uniform label smoothing."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from csrms_dist.losses.term import ALONE, Reducer, Term, View, weighted


def classification_loss(
    logits: Tensor,
    membership: Tensor,
    smoothing: float = 0.0,
    *,
    labels_per_image: float | None = None,
    reducer: Reducer = ALONE,
    weights: Tensor | None = None,
) -> Tensor:
    """(B, K) logits, (B, K) membership -> the mean over the batch.

    labels_per_image: None where each image has one label: cross-entropy. With several labels the mean number of them in
    training, above 0: for each row the sum over classes of the binary cross-entropies, whose targets are
    t (1 - s) + s / 2 with smoothing s, divided by that number, so that the loss has the scale of a cross-entropy and
    takes the same learning rates. A row without labels counts too, as an answer of no to every class.
    weights: (B,) of the rows, None where each weighs 1.
    """
    size = reducer.size(len(logits))
    reduction = "sum" if weights is None else "none"
    if labels_per_image is not None:
        targets = membership * (1 - smoothing) + smoothing / 2
        total = binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
        if weights is not None:
            total = weighted(total.sum(dim=1), weights).sum()
        return total / (size * labels_per_image)
    labels = membership.argmax(dim=1)
    total = cross_entropy(logits, labels, reduction=reduction, label_smoothing=smoothing)
    return weighted(total, weights).sum() / size


class Classification(Term):
    """The classification loss of one head; arguments as for `classification_loss`."""

    head: ClassVar[str]

    def __init__(self, *, label_smoothing: float = 0.0, labels_per_image: float | None = None) -> None:
        self.label_smoothing, self.labels_per_image = label_smoothing, labels_per_image

    def of(self, view: View) -> Tensor:
        return classification_loss(
            view.logits[self.head],
            view.membership,
            self.label_smoothing,
            labels_per_image=self.labels_per_image,
            reducer=view.reducer,
            weights=view.weights if view.everything else None,
        )


class PlainHeadLoss(Classification):
    """The classification loss of the plain head."""

    head = "plain"


class GraphHeadLoss(Classification):
    """The classification loss of the graph head."""

    head = "graph"


def prior_logits(counts: Tensor, n_images: int) -> Tensor:
    """(K,) images of each class -> (K,) log odds, for the bias of a fresh head.

    With several labels nearly every answer is no; a head that starts at even odds would spend its first steps, the
    largest, on pulling all of them down (Lin et al., 2017, sec. 3.3). Half an image is added on both sides.
    """
    yes = counts.to(torch.float32) + 0.5
    return torch.log(yes) - torch.log(n_images + 1 - yes)


def top_hits(logits: Tensor, membership: Tensor) -> int:
    """(B, K) logits, (B, K) membership -> how many rows have a label of theirs as their most probable class."""
    return int(membership.gather(1, logits.argmax(dim=1, keepdim=True)).sum())
