"""CutMix (Yun et al., ICCV 2019): a box of each image is another image's, and its labels by the box's area."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.settings import setting
from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.errors import ConfigError
from csrms_dist.methods.controls.control import ControlSettings, settings_of
from csrms_dist.methods.controls.mixing import InputMixing
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Built, MethodSpec, Structure, Task
from csrms_dist.methods.stages import BY_ITSELF
from csrms_dist.models.adapter import base_of

_ROW, _COLUMN = 0x626F785F79, 0x626F785F78

Box = tuple[int, int, int, int]
"""Rows from..to, columns from..to, the ends left out."""


@dataclass(frozen=True)
class CutMixSettings(ControlSettings):
    alpha: float = setting(1.0, "(0, 100]", doc="1 - the box's share of the image comes from Beta(alpha, alpha)")
    probability: float = setting(1.0, "[0, 1]", doc="share of the batches that are mixed")

    def check_encoder(self, frozen: bool) -> None:
        if frozen:
            raise ConfigError(
                "the control cutmix", got="the features of a frozen encoder",
                expected="images, because a box is cut out of them", remedy="take mixup, or train the encoder",
            )  # fmt: skip


class CutMix(InputMixing):
    """One box a batch, sides sqrt(1 - lambda) of the image's, its middle anywhere, cut off at the borders; the labels'
    share is what of the image is left, as in timm."""

    def mixed(self, inputs: Tensor, others: Tensor, share: float, global_rows: I64) -> Tensor:
        top, bottom, left, right = self.box(inputs, share, global_rows)
        found = inputs.clone()
        found[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return found

    def label_share(self, batch: Batch) -> float:
        share = super().label_share(batch)
        if share == 1:
            return share
        top, bottom, left, right = self.box(batch.inputs, share, batch.global_rows)
        return 1 - (bottom - top) * (right - left) / (batch.inputs.shape[2] * batch.inputs.shape[3])

    def box(self, inputs: Tensor, share: float, global_rows: I64) -> Box:
        """The box of a batch whose lambda is `share`, for images (b, 3, H, W)."""
        height, width = inputs.shape[2:]
        row, column = (self.uniform(purpose, global_rows) for purpose in (_ROW, _COLUMN))
        return *_side(height, share, row), *_side(width, share, column)


def _side(length: int, share: float, place: float) -> tuple[int, int]:
    """From..to of a box along a side of the image, its middle at `place` in [0, 1) of it."""
    size, middle = int(length * math.sqrt(1 - share)), int(place * length)
    return max(middle - size // 2, 0), min(middle + (size + 1) // 2, length)


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """CutMix as a control or by itself. Raises ConfigError where a frozen encoder's features take the images' place."""
    own = settings_of(task, CutMixSettings)
    own.check_encoder(isinstance(base_of(model.encoder), GivenFeatures))
    return Built(CutMix(model, task, own.alpha, own.probability))


CONTROL = MethodSpec(
    model="csrms_dist.methods.plain:make",
    build="csrms_dist.methods.controls.cutmix:build",
    settings="csrms_dist.methods.controls.cutmix:CutMixSettings",
    stages=BY_ITSELF,
    trial=False,
)
