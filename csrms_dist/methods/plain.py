"""The plain classifier: stage 0 and the control. Same encoder, head, optimiser and passes; no structural term."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from csrms_dist.basics.collective import Collective
from csrms_dist.encoders import Encoder
from csrms_dist.losses.classification import classification_loss, top_hits
from csrms_dist.losses.objective import Objective
from csrms_dist.methods.protocol import Batch, BatchOutcome


class PlainModel(nn.Module):
    """encoder -> linear classifier. forward: (B, 3, H, W), or what the encoder takes, -> (B, K) logits."""

    def __init__(self, encoder: Encoder, dimension: int, n_classes: int) -> None:
        super().__init__()
        self.encoder: Encoder = encoder
        self.plain_head = nn.Linear(dimension, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.plain_head(self.encoder(images))
        return logits


class PlainMethod:
    """Classification loss of the plain head, weighted as in the method that it is the control of."""

    edge_types: tuple[str, ...] = ()

    def __init__(
        self,
        model: PlainModel,
        *,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        labels_per_image: float | None = None,
    ) -> None:
        self.module = model
        self.labels_per_image = labels_per_image
        self.objective = Objective({"plain": weight})
        self.label_smoothing = label_smoothing

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        logits = self.module(batch.inputs)
        loss = classification_loss(
            logits,
            batch.membership,
            len(batch.global_rows),
            self.label_smoothing,
            labels_per_image=self.labels_per_image,
        )
        return BatchOutcome({"plain": loss}, {"plain": top_hits(logits, batch.membership)})

    def end_epoch(self, collective: Collective) -> None:
        """Nothing is kept between epochs."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is kept between epochs."""
