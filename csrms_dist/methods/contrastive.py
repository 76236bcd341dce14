"""Contrastive learning without labels (SimCLR; Chen et al., 2020): stage 0 of images that nobody has labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.collective import Collective
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.losses.nt_xent import NTXent
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.separation import AT_MOST, effective_rank
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, BatchOutcome, Built, MethodSpec, Structure, Task
from csrms_dist.sampling.subgraph import BatchSubgraph

PROJECTED = 128


class Projected(nn.Module):
    """An encoder and the head that the loss looks at, D-D-128; the head is of no use afterwards."""

    def __init__(self, encoder: Encoder, seed: int) -> None:
        super().__init__()
        self.encoder: Encoder = encoder
        dimension = encoder.dimension
        with torch.random.fork_rng(devices=[]):
            # Its weights are the seed's alone: the number of classes has no part in them.
            torch.manual_seed(seed)
            self.projection = nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(), nn.Linear(dimension, PROJECTED))


class ContrastiveMethod:
    """Tells the two views of an image from all others of the global batch.

    A batch's `more_inputs` are the second views of its own images, so that each costs two encoder passes.
    """

    edge_types: tuple[str, ...] = ()
    more_view = 1

    def __init__(self, module: Projected, temperature: float = 0.5) -> None:
        self.module = module
        self.objective = Objective({"contrastive": 1.0})
        self.loss = NTXent(temperature)
        self._first = True

    def more_rows(self, rows: I64, global_rows: I64, subgraph: BatchSubgraph | None) -> I64 | None:
        """The same images once more: their inputs are another view."""
        return rows

    def begin_epoch(self, history: Sequence[Mapping[str, float]], epochs: int, collective: Collective) -> None:
        """Of each epoch the first batch's features are looked at."""
        self._first = True

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        if batch.more_inputs is None:
            raise ValueError("a batch without second views")
        reducer = Reducer(len(batch.global_rows), collective)
        features = self.module.encoder(torch.cat([batch.inputs, batch.more_inputs]))
        first, second = self.module.projection(features).split(len(batch.rows))
        loss = reducer.share(self.loss(reducer.rows(first), reducer.rows(second)))
        observed = {}
        if self._first:
            self._first = False
            with torch.no_grad():
                unit = nn.functional.normalize(features[: len(batch.rows)], dim=1)
                rank = effective_rank(reducer.rows(unit)[:AT_MOST])
            observed = {"effective_rank": (rank, (rank > 0).to(rank.dtype))}
        return BatchOutcome({"contrastive": loss}, {}, observed)

    def end_epoch(self, collective: Collective) -> None:
        """Nothing is kept between epochs."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is kept between epochs."""

    def part_state(self) -> dict[str, Any]:
        """Of an epoch under way."""
        return {"first": self._first}

    def load_part_state(self, state: dict[str, Any]) -> None:
        self._first = bool(state["first"])


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """The objective on the encoder of a plain model, whose own head stays as it is."""
    return Built(ContrastiveMethod(Projected(model.encoder, task.seed).to(task.device), task.temperature))


OBJECTIVE = MethodSpec(model="csrms_dist.methods.plain:make", build="csrms_dist.methods.contrastive:build")
