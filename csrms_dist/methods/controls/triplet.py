"""Cross-entropy with the triplet loss beside it (Schroff et al., CVPR 2015), over the plain batches."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from csrms_dist.basics.settings import setting
from csrms_dist.losses.batch_triplet import MARGIN, BatchTriplet
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.controls.control import Control, ControlSettings, settings_of
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Built, MethodSpec, Structure, Task
from csrms_dist.methods.stages import BY_ITSELF


@dataclass(frozen=True)
class TripletSettings(ControlSettings):
    weight: float = setting(0.3, "(0, 100]", doc="weight of the triplet loss beside the cross-entropy's 1")
    margin: float = setting(MARGIN, "(0, 2]", doc="by how much positives are to be nearer than negatives")

    def packages(self) -> tuple[str, ...]:
        return BatchTriplet.packages


class TripletMethod(Control):
    """The plain classifier with the triplets of all images of the global batch; see `losses.batch_triplet`."""

    def __init__(self, model: PlainModel, task: Task, own: TripletSettings) -> None:
        super().__init__(model, task)
        self.objective = Objective({"plain": self.weight, "triplet": self.weight * own.weight})
        self.term = BatchTriplet(margin=own.margin)

    def more_terms(self, features: Tensor, batch: Batch, reducer: Reducer) -> dict[str, Tensor]:
        return {"triplet": self.term.of(self.view(features, batch, reducer))}


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """The triplet loss as a control or by itself."""
    return Built(TripletMethod(model, task, settings_of(task, TripletSettings)))


CONTROL = MethodSpec(
    model="csrms_dist.methods.plain:make",
    build="csrms_dist.methods.controls.triplet:build",
    settings="csrms_dist.methods.controls.triplet:TripletSettings",
    stages=BY_ITSELF,
)
