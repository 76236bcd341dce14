"""A method as the rest of the project knows it: its stages, how it is built, and how it turns a batch into loss terms.

Nothing heavy is imported here, so that a command can list stages without loading torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from csrms_dist.basics.lookup import Kind

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from csrms_dist.art.settings import ClusterSettings
    from csrms_dist.basics.arrays import F32, I64
    from csrms_dist.basics.collective import Collective
    from csrms_dist.basics.hashing import Texts
    from csrms_dist.hierarchy.graph import HierarchyGraph
    from csrms_dist.hierarchy.settings import GraphSettings
    from csrms_dist.losses.objective import Objective
    from csrms_dist.methods.settings import MethodSettings
    from csrms_dist.sampling.candidates import Candidates
    from csrms_dist.sampling.protocol import Sampler, SamplerType
    from csrms_dist.sampling.settings import SamplingSettings
    from csrms_dist.sampling.subgraph import BatchSubgraph


@dataclass(frozen=True)
class Stage:
    """One stage of a run. Its artefact has its name. Functions are named as 'module:name' and imported when needed.

    name: of the stage, its folder and its command.
    job: the function that does the work, called with a StageContext.
    requires: the stages whose artefacts it reads.
    settings: the sections, or section.key, that decide its result; whatever is not listed (the number of actors, say)
        may change without redoing it.
    outside: a function of the run's settings, the digest of the files from outside that it reads.
    held: a function of the run directory, whether what it wrote elsewhere is still there.
    estimate: a formula of `csrms plan`; a stage without one is left out of the plan.
    beside: folders that it writes beside its own.
    format: raised when its artefact changes its meaning, so that an old one is made anew instead of misread.
    needs_labels: without labels it is left out, and with it all that follows.
    """

    name: str
    job: str
    requires: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    outside: str = ""
    held: str = ""
    estimate: str = ""
    beside: tuple[str, ...] = ()
    format: int = 2
    needs_labels: bool = False


@dataclass(frozen=True)
class MethodSpec:
    """A method before anything is built; functions and classes as 'module:name'.

    model: (card, encoder) -> the module that is trained and saved, a `methods.model.PlainModel` or what extends it.
    build: (model, structure, task) -> Built, ready to be trained.
    settings: the class of the section `method`, a `methods.settings.MethodSettings`.
    stages: in an order in which each follows what it requires; given_vector_stages: of vectors without images.
    keep: (folder, state, work) writes what a trained method's `state_dict` leaves beside the weights; '' for nothing.
        work is the folder of its task.
    trial: `build` also works on a made-up structure, without artefacts, on which `csrms plan` measures a step; where it
        does not, the plan takes the control's step for the method's, and the plain classifier's for a control's.
    """

    model: str
    build: str
    settings: str = "csrms_dist.methods.settings:MethodSettings"
    stages: tuple[Stage, ...] = ()
    given_vector_stages: tuple[Stage, ...] = ()
    keep: str = ""
    trial: bool = True


KIND = Kind("a MethodSpec of {}", lambda value: isinstance(value, MethodSpec))
"""A method or a control of a user's own."""


class Structure(Protocol):
    """The ground that a method builds on: a run's contents (`RunContents`), or something made up for a trial."""

    @property
    def hierarchy(self) -> HierarchyGraph: ...

    @property
    def ids(self) -> Texts:
        """(N,) names of the hierarchy's rows."""
        ...

    @property
    def vectors(self) -> F32:
        """(N, D) features of the hierarchy's rows, as the model's encoder has them when training begins."""
        ...

    def candidates(self, edge_types: tuple[str, ...]) -> dict[str, Candidates]: ...

    def artefact(self, stage: str) -> Path:
        """The folder that a stage of the method's own wrote."""
        ...


@dataclass(frozen=True)
class Task:
    """The occasion for which a method is built, beside the structure.

    role: the training stage, `pretrain`, `train` or `control`.
    settings, sampling: the sections `method` and `sampling`.
    seed, label_smoothing: of the training.
    n_rows: training rows, N.
    labels_per_image: the mean number of labels of a training image, None where each has one.
    cluster, graph: the sections of these names, of which the structure was made.
    frozen: the features that the model's heads look at are not trained: neither the encoder nor an adapter on it.
    rank: of this worker.
    work: a folder for generations of the feature bank, equal for all workers; None keeps them in memory.
    device: where tensors go.
    sampler_type: makes the sampler.
    loss: the classification loss of every head, as `train.loss` names it.
    temperature: of a contrast between views, `pretrain.temperature`.
    """

    role: str
    settings: MethodSettings
    sampling: SamplingSettings
    seed: int
    n_rows: int
    label_smoothing: float
    labels_per_image: float | None
    cluster: ClusterSettings
    graph: GraphSettings
    frozen: bool
    rank: int
    work: Path | None
    device: torch.device
    sampler_type: SamplerType
    loss: str = "auto"
    temperature: float = 0.5


@dataclass(frozen=True)
class Built:
    """A method ready to be trained, and what draws its batches' edges, None where it looks at none."""

    method: Method
    sampler: Sampler | None = None


@dataclass(frozen=True)
class Batch:
    """This worker's slice of a global batch.

    rows: (b,) int64, training rows, on the host, because they index what is memory-mapped there.
    inputs: what the encoder takes, normalised images (b, 3, H, W), or the features (b, D) of an encoder that stays
        frozen.
    membership: (b, K) float32, 0 and 1.
    global_rows: (B,) int64, the rows of all workers, in order; this worker holds global_rows[rank::world].
    subgraph: of these anchors, None where no edges are sampled; a `ClassAwareSubgraph` from a `ClassAwareSampling`.
    more_rows: (M,) rows that are looked at beside these, as `Method.more_rows` says; more_inputs: as inputs, (M, ...).
    """

    rows: I64
    inputs: Tensor
    membership: Tensor
    global_rows: I64
    subgraph: BatchSubgraph | None
    more_rows: I64 | None = None
    more_inputs: Tensor | None = None


@dataclass(frozen=True)
class BatchOutcome:
    """terms: this worker's share of each loss term (they add up over workers).

    hits: by head, the images whose most probable class is theirs (with several labels: one of theirs, so precision@1).
    observed: what training is meant to change, by name: a detached sum over this worker's part and its number, of which
        an epoch reports the mean over all workers; every worker gives the same names.
    encoded: how many images of this worker went through the encoder; None: all those of the batch and its more_rows.
    """

    terms: Mapping[str, Tensor]
    hits: Mapping[str, int]
    observed: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    encoded: int | None = None


class Method(Protocol):
    """A method under training.

    Assumptions, on every worker: `begin_epoch` is called before each epoch with the reports of those that are done and
    the number of all, `batch` for every global batch, `end_epoch` after each epoch; whatever is not a parameter of
    `module` and must outlive a restart is in `state_dict`, and in the middle of an epoch what that epoch has brought so
    far also in `part_state`, which is loaded after `begin_epoch`.
    """

    @property
    def module(self) -> nn.Module: ...

    @property
    def objective(self) -> Objective: ...

    @property
    def edge_types(self) -> tuple[str, ...]: ...

    @property
    def more_view(self) -> int:
        """The view of `more_inputs`: 0 where they are augmented as the same rows are in their own batch, 1 for another
        draw."""
        ...

    def more_rows(self, rows: I64, global_rows: I64, subgraph: BatchSubgraph | None) -> I64 | None:
        """The rows (M,) whose inputs a step needs beside those (b,) of its batch, which is rows[rank::world] of the
        global one; None for none."""
        ...

    def begin_epoch(self, history: Sequence[Mapping[str, float]], epochs: int, collective: Collective) -> None: ...

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome: ...

    def end_epoch(self, collective: Collective) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def part_state(self) -> dict[str, Any]: ...

    def load_part_state(self, state: dict[str, Any]) -> None: ...
