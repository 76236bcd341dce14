"""BatchFormer (Hou, Yu and Tao, CVPR 2022): a transformer layer across the images of a batch, in training alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from csrms_dist.basics.settings import setting
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.errors import ConfigError
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.controls.control import Control, ControlSettings
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Built, MethodSpec, Structure, Task
from csrms_dist.methods.saved_model import ModelCard
from csrms_dist.methods.stages import BY_ITSELF
from csrms_dist.sampling.settings import SamplingSettings

HEADS, DROPOUT = 4, 0.5
"""Of the layer, as in the released code; its hidden width is D."""
_DROPOUT = 0x64726F70


@dataclass(frozen=True)
class BatchFormerSettings(ControlSettings):
    heads: int = setting(HEADS, "[1, 64]", doc="attention heads; they divide the dimension of the features")

    def model_options(self, sampling: SamplingSettings) -> dict[str, Any]:
        return {"heads": self.heads}


class BatchFormerModel(PlainModel):
    """The plain classifier with a transformer encoder layer (B, D) -> (B, D) over a batch; answers go past it."""

    def __init__(self, encoder: Encoder, n_classes: int, heads: int = HEADS) -> None:
        super().__init__(encoder, n_classes)
        width = encoder.dimension
        if width % heads:
            raise ConfigError(
                "the heads of batch_former", got=f"{heads} for features of dimension {width}",
                expected="a divisor of that dimension", remedy="set method.heads, or take another control",
            )  # fmt: skip
        self.batch_former = nn.TransformerEncoderLayer(width, heads, dim_feedforward=width, dropout=DROPOUT)


class BatchFormer(Control):
    """Half the loss of the features as they are, half of what the layer makes of them; both by the plain head.

    Every worker has the whole batch pass the layer and looks at its own rows of the result.
    """

    module: BatchFormerModel

    def __init__(self, model: BatchFormerModel, task: Task) -> None:
        super().__init__(model, task)
        self.objective = Objective({"plain": self.weight / 2, "batch_former": self.weight / 2})

    def more_terms(self, features: Tensor, batch: Batch, reducer: Reducer) -> dict[str, Tensor]:
        everyone = reducer.exchanged(features)
        with torch.random.fork_rng(devices=[features.device] if features.is_cuda else []):
            torch.manual_seed(self.integer(_DROPOUT, batch.global_rows))
            found = self.module.batch_former(everyone[:, None])[self.mine, 0]
        return {"batch_former": self.loss_of(self.module.plain_head(found), batch, reducer)}


def make(card: ModelCard, encoder: Encoder) -> BatchFormerModel:
    """The model of a card. Raises ConfigError where the heads do not divide the dimension."""
    return BatchFormerModel(encoder, len(card.class_names), card.options.get("heads", HEADS))


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """BatchFormer as a control or by itself."""
    if not isinstance(model, BatchFormerModel):
        raise TypeError("BatchFormer is built of its own model")
    return Built(BatchFormer(model, task))


CONTROL = MethodSpec(
    model="csrms_dist.methods.controls.batch_former:make",
    build="csrms_dist.methods.controls.batch_former:build",
    settings="csrms_dist.methods.controls.batch_former:BatchFormerSettings",
    stages=BY_ITSELF,
)
