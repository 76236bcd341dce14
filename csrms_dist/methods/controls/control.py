"""The base of the controls: the plain classifier, which knows the epoch, the workers and its own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.hashing import mix, uniform
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.plain import PlainMethod
from csrms_dist.methods.protocol import Task
from csrms_dist.methods.settings import MethodSettings

S = TypeVar("S", bound=MethodSettings)


@dataclass(frozen=True)
class ControlSettings(MethodSettings):
    """The section `method` of a control that is trained by itself; a control's own class adds to it."""

    def reported(self) -> dict[str, Any]:
        own = {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name != "name"}
        return super().reported() | {"settings": own}


def settings_of(task: Task, kind: type[S]) -> S:
    """A control's settings: those of the run where it is trained by itself, the defaults where it stands beside a
    method, whose section is the method's."""
    return task.settings if isinstance(task.settings, kind) else kind()


class Control(PlainMethod):
    """The plain classifier of a task, at the weight that its loss has in the method. Draws are hashes of the seed, the
    epoch and the first row of the global batch, so that they do not depend on the number of workers.

    mine: where this worker's rows lie in a global batch.
    """

    def __init__(self, model: PlainModel, task: Task) -> None:
        self.weight = task.settings.control_weight()
        super().__init__(
            model,
            weight=self.weight,
            label_smoothing=task.label_smoothing,
            labels_per_image=task.labels_per_image,
            loss=task.loss,
        )
        self.seed, self.epoch, self.mine = task.seed, 0, slice(None)

    def begin_epoch(self, history: Sequence[Mapping[str, float]], epochs: int, collective: Collective) -> None:
        self.epoch, self.mine = len(history), slice(collective.rank, None, collective.world)

    def uniform(self, purpose: int, global_rows: I64) -> float:
        """A number in [0, 1) of a global batch (B,), another one for each purpose."""
        return float(uniform(purpose, self.seed, self.epoch, global_rows[:1])[0])

    def integer(self, purpose: int, global_rows: I64) -> int:
        """A whole number from 0 to 2^63 - 1, likewise."""
        return int(mix(purpose, self.seed, self.epoch, global_rows[:1])[0]) >> 1
