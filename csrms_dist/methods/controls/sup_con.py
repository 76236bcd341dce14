"""Cross-entropy with supervised contrast beside it (Khosla et al., NeurIPS 2020), over the plain batches."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from csrms_dist.basics.settings import setting
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.sup_con import SupCon
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.controls.control import Control, ControlSettings, settings_of
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Built, MethodSpec, Structure, Task
from csrms_dist.methods.stages import BY_ITSELF


@dataclass(frozen=True)
class SupConSettings(ControlSettings):
    weight: float = setting(0.3, "(0, 100]", doc="weight of the contrast beside the cross-entropy's 1")

    def packages(self) -> tuple[str, ...]:
        return SupCon.packages


class SupConMethod(Control):
    """The plain classifier with supervised contrast of all images of the global batch; see `losses.sup_con.SupCon`."""

    def __init__(self, model: PlainModel, task: Task, weight: float) -> None:
        super().__init__(model, task)
        self.objective = Objective({"plain": self.weight, "sup_con": self.weight * weight})
        self.term = SupCon()

    def more_terms(self, features: Tensor, batch: Batch, reducer: Reducer) -> dict[str, Tensor]:
        return {"sup_con": self.term.of(self.view(features, batch, reducer))}


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """Supervised contrast as a control or by itself."""
    return Built(SupConMethod(model, task, settings_of(task, SupConSettings).weight))


CONTROL = MethodSpec(
    model="csrms_dist.methods.plain:make",
    build="csrms_dist.methods.controls.sup_con:build",
    settings="csrms_dist.methods.controls.sup_con:SupConSettings",
    stages=BY_ITSELF,
)
