"""Mixup (Zhang et al., ICLR 2018): images and labels are mixed with those of another image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.settings import setting
from csrms_dist.methods.controls.control import ControlSettings, settings_of
from csrms_dist.methods.controls.mixing import InputMixing
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Built, MethodSpec, Structure, Task
from csrms_dist.methods.stages import BY_ITSELF


@dataclass(frozen=True)
class MixupSettings(ControlSettings):
    alpha: float = setting(0.2, "(0, 100]", doc="lambda, an image's own share, comes from Beta(alpha, alpha)")
    probability: float = setting(1.0, "[0, 1]", doc="share of the batches that are mixed")


class Mixup(InputMixing):
    """x = lambda x_i + (1 - lambda) x_j, and the targets likewise; of images, or of a frozen encoder's features."""

    def mixed(self, inputs: Tensor, others: Tensor, share: float, global_rows: I64) -> Tensor:
        return inputs * share + others * (1 - share)


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """Mixup as a control or by itself."""
    own = settings_of(task, MixupSettings)
    return Built(Mixup(model, task, own.alpha, own.probability))


CONTROL = MethodSpec(
    model="csrms_dist.methods.plain:make",
    build="csrms_dist.methods.controls.mixup:build",
    settings="csrms_dist.methods.controls.mixup:MixupSettings",
    stages=BY_ITSELF,
)
