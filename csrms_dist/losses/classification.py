"""Cross-entropy (CSRMS eq. 13) with uniform label smoothing."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy


def classification_loss(logits: Tensor, labels: Tensor, global_size: int, smoothing: float = 0.0) -> Tensor:
    """(B, K) logits, (B,) labels -> the sum over these rows, divided by the rows of the global batch."""
    return cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing) / global_size
