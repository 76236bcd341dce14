"""The plain classifier: stage 0 and the control. Same encoder, head, optimiser and passes; no structural term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.collective import Collective
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.losses.classification import check_loss, classification_loss, top_hits
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.separation import Separation
from csrms_dist.losses.term import Reducer, View
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, BatchOutcome, Built, MethodSpec, Structure, Task
from csrms_dist.methods.saved_model import ModelCard
from csrms_dist.methods.stages import BY_ITSELF
from csrms_dist.sampling.subgraph import BatchSubgraph


def _no_edges(edge_type: str) -> tuple[Tensor, Tensor]:
    raise ValueError(f"the plain classifier looks at no {edge_type} edges")


class PlainMethod:
    """Classification loss of the plain head, weighted as in the method that it is the control of."""

    edge_types: tuple[str, ...] = ()
    more_view = 0

    def __init__(
        self,
        model: PlainModel,
        *,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        labels_per_image: float | None = None,
        loss: str = "auto",
    ) -> None:
        check_loss(loss, labels_per_image)
        self.module = model
        self.labels_per_image = labels_per_image
        self.objective = Objective({"plain": weight})
        self.label_smoothing, self.loss = label_smoothing, loss
        self.separation = Separation()

    def more_rows(self, rows: I64, global_rows: I64, subgraph: BatchSubgraph | None) -> I64 | None:
        """None: the images of the batch are all that is encoded."""
        return None

    def begin_epoch(self, history: Sequence[Mapping[str, float]], epochs: int, collective: Collective) -> None:
        """Every epoch is like the others."""

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        reducer = Reducer(len(batch.global_rows), collective)
        features = self.encoded(batch, reducer)
        logits = self.module.plain_head(features)
        terms = {"plain": self.loss_of(logits, batch, reducer), **self.more_terms(features, batch, reducer)}
        observed = self.separation.of(self.view(features, batch, reducer, plain=logits))
        hits = {"plain": top_hits(logits, batch.membership)}
        return BatchOutcome(terms, hits, observed, encoded=len(batch.rows))

    def encoded(self, batch: Batch, reducer: Reducer) -> Tensor:
        """(b, D) features of the batch."""
        features: Tensor = self.module.encoder(batch.inputs)
        return features

    def loss_of(self, logits: Tensor, batch: Batch, reducer: Reducer) -> Tensor:
        """This worker's share of the plain head's loss, (b, K) logits of the batch."""
        return self.loss_on(logits, batch.membership, reducer)

    def loss_on(self, logits: Tensor, targets: Tensor, reducer: Reducer, *, soft: bool = False) -> Tensor:
        """The same on targets (b, K), 0 and 1; soft: or between them."""
        return classification_loss(
            logits,
            targets,
            self.label_smoothing,
            labels_per_image=self.labels_per_image,
            loss=self.loss,
            reducer=reducer,
            soft=soft,
        )

    def view(self, features: Tensor, batch: Batch, reducer: Reducer, **logits: Tensor) -> View:
        """The batch as loss terms see it: (b, D) features, (b, K) logits by head."""
        return View(
            features, logits, features, batch.membership, _no_edges, reducer, labels_per_image=self.labels_per_image
        )

    def more_terms(self, features: Tensor, batch: Batch, reducer: Reducer) -> dict[str, Tensor]:
        """Terms that a method on top of this one adds: (b, D) features of the batch -> this worker's shares."""
        return {}

    def end_epoch(self, collective: Collective) -> None:
        self.separation.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is kept between epochs."""

    def part_state(self) -> dict[str, Any]:
        """Of an epoch under way."""
        return {"separation": self.separation.part_state()}

    def load_part_state(self, state: dict[str, Any]) -> None:
        self.separation.load_part_state(state["separation"])


def make(card: ModelCard, encoder: Encoder) -> PlainModel:
    """The model of a card."""
    return PlainModel(encoder, len(card.class_names))


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """The plain classifier for stage 0, where its loss weighs 1, or as a control."""
    weight = 1.0 if task.role == "pretrain" else task.settings.control_weight()
    method = PlainMethod(
        model,
        weight=weight,
        label_smoothing=task.label_smoothing,
        labels_per_image=task.labels_per_image,
        loss=task.loss,
    )
    return Built(method)


CONTROL = MethodSpec(model="csrms_dist.methods.plain:make", build="csrms_dist.methods.plain:build", stages=BY_ITSELF)
