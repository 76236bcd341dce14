"""Self-distillation without edges: targets partly from an image's own answer of the epoch before (Kim et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.collective import Collective
from csrms_dist.basics.settings import setting
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.controls.control import Control, ControlSettings, settings_of
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Built, MethodSpec, Structure, Task
from csrms_dist.methods.stages import BY_ITSELF
from csrms_dist.models.feature_bank import FeatureBank


@dataclass(frozen=True)
class SelfDistillationSettings(ControlSettings):
    weight: float = setting(0.5, "[0, 1]", doc="share of the image's own answer in its target, from epoch 2 on")


class SelfDistillation(Control):
    """Target = (1 - weight) label + weight p, p the image's probabilities when it came last, an epoch ago or more.

    An image that never came has its label alone. The probabilities are a softmax, with several labels a sigmoid, and
    detached; they lie in a bank (N, K), which is written to as the feature bank is.
    """

    def __init__(self, model: PlainModel, task: Task, weight: float) -> None:
        super().__init__(model, task)
        self.answer_weight = weight
        nothing = np.zeros((task.n_rows, model.plain_head.out_features), np.float32)
        self.bank = FeatureBank(nothing, task.work, rank=task.rank, device=task.device)

    def loss_of(self, logits: Tensor, batch: Batch, reducer: Reducer) -> Tensor:
        before = self.bank.read(batch.rows)
        weight = self.answer_weight * (before > 0).any(dim=1, keepdim=True)
        several = self.labels_per_image is not None
        # No answer is 0 in every class: that is what tells images that came from those that did not.
        answers = (logits.sigmoid() if several else logits.softmax(dim=1)).clamp(min=torch.finfo(logits.dtype).tiny)
        self.bank.write(batch.global_rows, reducer.rows(answers.detach()))
        return self.loss_on(logits, batch.membership * (1 - weight) + before * weight, reducer, soft=True)

    def end_epoch(self, collective: Collective) -> None:
        super().end_epoch(collective)
        self.bank.turn(collective)

    def state_dict(self) -> dict[str, Any]:
        return {"bank": self.bank.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.bank.load_state_dict(state["bank"])

    def part_state(self) -> dict[str, Any]:
        return {**super().part_state(), "bank": self.bank.part_state()}

    def load_part_state(self, state: dict[str, Any]) -> None:
        super().load_part_state(state)
        self.bank.load_part_state(state["bank"])


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """Self-distillation as a control or by itself."""
    return Built(SelfDistillation(model, task, settings_of(task, SelfDistillationSettings).weight))


CONTROL = MethodSpec(
    model="csrms_dist.methods.plain:make",
    build="csrms_dist.methods.controls.self_distillation:build",
    settings="csrms_dist.methods.controls.self_distillation:SelfDistillationSettings",
    stages=BY_ITSELF,
)
