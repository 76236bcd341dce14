"""The plain classifier: stage 0 and the control. Same encoder, head, optimiser and passes; no structural term."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from csrms_dist.collective import Collective
from csrms_dist.encoders import Encoder
from csrms_dist.losses.classification import classification_loss
from csrms_dist.losses.objective import Objective
from csrms_dist.methods.method import Batch, BatchOutcome


class PlainModel(nn.Module):
    """encoder -> linear classifier. forward: (B, 3, H, W) -> (B, K) logits."""

    def __init__(self, encoder: Encoder, dimension: int, n_classes: int) -> None:
        super().__init__()
        self.encoder: Encoder = encoder
        self.plain_head = nn.Linear(dimension, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.plain_head(self.encoder(images))
        return logits


class PlainMethod:
    """Cross-entropy of the plain head, weighted as in the method that it is the control of."""

    edge_types: tuple[str, ...] = ()

    def __init__(self, model: PlainModel, *, weight: float = 1.0, label_smoothing: float = 0.0) -> None:
        self.module = model
        self.objective = Objective({"plain": weight})
        self.label_smoothing = label_smoothing

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        logits = self.module(batch.images)
        loss = classification_loss(logits, batch.labels, len(batch.global_rows), self.label_smoothing)
        return BatchOutcome({"plain": loss}, {"plain": int((logits.argmax(dim=1) == batch.labels).sum())})

    def end_epoch(self) -> None:
        """Nothing is kept between epochs."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is kept between epochs."""
