"""Cross-entropy (CSRMS eq. 13), or binary cross-entropy for several labels, with uniform label smoothing."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def classification_loss(
    logits: Tensor, membership: Tensor, global_size: int, smoothing: float = 0.0, *, multi_label: bool = False
) -> Tensor:
    """(B, K) logits, (B, K) membership -> the sum over these rows, divided by the rows of the global batch.

    One label: cross-entropy. Several: for each row the sum over classes of the binary cross-entropies, whose targets
    are t (1 - s) + s / 2 with smoothing s; a row without labels counts too, as an answer of no to every class.
    """
    if multi_label:
        targets = membership * (1 - smoothing) + smoothing / 2
        return binary_cross_entropy_with_logits(logits, targets, reduction="sum") / global_size
    labels = membership.argmax(dim=1)
    return cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing) / global_size


def top_hits(logits: Tensor, membership: Tensor) -> int:
    """(B, K) logits, (B, K) membership -> how many rows have a label of theirs as their most probable class."""
    return int(membership.gather(1, logits.argmax(dim=1, keepdim=True)).sum())
