"""What the trainer and `csrms run` know of a method: its stages, and how it turns a batch into loss terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from csrms_dist.basics.collective import Collective
from csrms_dist.losses.objective import Objective
from csrms_dist.sampling.subgraph import BatchSubgraph


@dataclass(frozen=True)
class Stage:
    """One stage of a method. Its artefact has its name.

    requires: the stages whose artefacts it reads. settings: the sections, or section.key, that decide its result;
    whatever is not listed (the number of actors, say) may change without redoing it.
    """

    name: str
    requires: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """This worker's slice of a global batch.

    rows (b,): training rows. inputs: what the encoder takes, normalised images (b, 3, H, W), or the features (b, D) of
    an encoder that stays frozen. membership (b, K) float32, 0 and 1. global_rows (B,): the rows of all workers, in
    order; this worker holds global_rows[rank::world]. subgraph: of these anchors, None where no edges are sampled.
    """

    rows: Tensor
    inputs: Tensor
    membership: Tensor
    global_rows: Tensor
    subgraph: BatchSubgraph | None


@dataclass(frozen=True)
class BatchOutcome:
    """terms: this worker's share of each loss term (they add up over workers).

    hits: by head, the images whose most probable class is theirs (with several labels: one of theirs, so precision@1).
    """

    terms: Mapping[str, Tensor]
    hits: Mapping[str, int]


class Method(Protocol):
    """A method under training.

    Assumptions: `batch` is called for every global batch on every worker, `end_epoch` on every worker after each epoch;
    whatever is not a parameter of `module` and must outlive a restart is in `state_dict`.
    """

    @property
    def module(self) -> nn.Module: ...

    @property
    def objective(self) -> Objective: ...

    @property
    def edge_types(self) -> tuple[str, ...]: ...

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome: ...

    def end_epoch(self, collective: Collective) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
