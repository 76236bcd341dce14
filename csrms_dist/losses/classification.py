"""Cross-entropy (CSRMS eq. 13), or for several labels binary or asymmetric, with uniform label smoothing."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid

from csrms_dist.errors import ConfigError
from csrms_dist.losses.term import ALONE, Reducer, Term, View, weighted


def classification_loss(
    logits: Tensor,
    membership: Tensor,
    smoothing: float = 0.0,
    *,
    labels_per_image: float | None = None,
    loss: str = "auto",
    reducer: Reducer = ALONE,
    weights: Tensor | None = None,
    soft: bool = False,
) -> Tensor:
    """(B, K) logits, (B, K) membership -> the mean over the batch.

    labels_per_image: None where each image has one label: cross-entropy. With several labels the mean number of them in
    training, above 0: for each row the sum over classes of the binary cross-entropies, whose targets are
    t (1 - s) + s / 2 with smoothing s, divided by that number, so that the loss has the scale of a cross-entropy and
    takes the same learning rates. A row without labels counts too, as an answer of no to every class.
    loss: `auto`, or `asymmetric` (`asymmetric_loss`) instead of the binary cross-entropy, with the same targets and
    divisor. Raises ConfigError for `asymmetric` with one label an image.
    weights: (B,) of the rows, None where each weighs 1.
    soft: membership holds numbers in [0, 1], with one label an image rows that add up to 1; they are smoothed as 0 and
    1 are. Of 0 and 1 the loss is the same, to rounding.
    """
    check_loss(loss, labels_per_image)
    size = reducer.size(len(logits))
    reduction = "sum" if weights is None else "none"
    if labels_per_image is not None:
        targets = membership * (1 - smoothing) + smoothing / 2
        if loss == "asymmetric":
            total = asymmetric_loss(logits, targets)
            total = total.sum() if weights is None else total
        else:
            total = binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
        if weights is not None:
            total = weighted(total.sum(dim=1), weights).sum()
        return total / (size * labels_per_image)
    labels = membership if soft else membership.argmax(dim=1)
    total = cross_entropy(logits, labels, reduction=reduction, label_smoothing=smoothing)
    return weighted(total, weights).sum() / size


def asymmetric_loss(
    logits: Tensor, targets: Tensor, gamma_negative: float = 4.0, gamma_positive: float = 1.0, clip: float = 0.05
) -> Tensor:
    """The asymmetric loss (Ridnik et al., 2021), (B, K) logits and targets -> (B, K).

    With p = sigmoid(logit) and q = max(p - clip, 0) it is -t (1 - p)^gamma_positive log p
    - (1 - t) q^gamma_negative log(1 - q): the many easy answers of no count for little, the easiest for nothing. The
    defaults are those of the code released with it. The gradient passes through the powers too.
    """
    yes = targets * (1 - logits.sigmoid()).pow(gamma_positive) * logsigmoid(logits)
    shifted = (logits.sigmoid() - clip).clamp(min=0)
    no = (1 - targets) * shifted.pow(gamma_negative) * torch.log1p(-shifted)
    return -(yes + no)


def check_loss(loss: str, labels_per_image: float | None, setting: str = "train.loss") -> None:
    """Raise ConfigError, which names the setting, where a loss is for several labels an image and there is one."""
    if loss == "asymmetric" and labels_per_image is None:
        raise ConfigError(
            setting, got="'asymmetric' for images of one label each", expected="images with several labels",
            remedy="set it to auto",
        )  # fmt: skip


class Classification(Term):
    """The classification loss of one head; arguments as for `classification_loss`."""

    head: ClassVar[str]

    def __init__(
        self, *, label_smoothing: float = 0.0, labels_per_image: float | None = None, loss: str = "auto"
    ) -> None:
        check_loss(loss, labels_per_image)
        self.label_smoothing, self.labels_per_image, self.loss = label_smoothing, labels_per_image, loss

    def of(self, view: View) -> Tensor:
        return classification_loss(
            view.logits[self.head],
            view.membership,
            self.label_smoothing,
            labels_per_image=self.labels_per_image,
            loss=self.loss,
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


def top_hits(logits: Tensor, membership: Tensor) -> Tensor:
    """(B, K) logits, (B, K) membership -> how many rows have a label of theirs as their most probable class, ()."""
    return membership.gather(1, logits.detach().argmax(dim=1, keepdim=True)).sum()
