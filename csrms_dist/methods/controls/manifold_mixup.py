"""Manifold mixup (Verma et al., ICML 2019): mixup of the input, or of what a stage of the encoder makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from csrms_dist.basics.settings import setting
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.controls.control import ControlSettings, settings_of
from csrms_dist.methods.controls.mixing import Mixing
from csrms_dist.methods.model import PlainModel, encoded
from csrms_dist.methods.protocol import Batch, Built, MethodSpec, Structure, Task
from csrms_dist.methods.stages import BY_ITSELF

_PLACE = 0x706C616365


@dataclass(frozen=True)
class ManifoldMixupSettings(ControlSettings):
    alpha: float = setting(2.0, "(0, 100]", doc="lambda, an image's own share, comes from Beta(alpha, alpha)")
    probability: float = setting(1.0, "[0, 1]", doc="share of the batches that are mixed")


class ManifoldMixup(Mixing):
    """A batch is mixed at one place, drawn from the input and the stages of the encoder (`stages_of`)."""

    def __init__(self, model: PlainModel, task: Task, alpha: float, probability: float) -> None:
        super().__init__(model, task, alpha, probability)
        self._stages: list[nn.Module] | None = None

    def encoded(self, batch: Batch, reducer: Reducer) -> Tensor:
        encoder, share = self.module.encoder, self.own_share(batch.global_rows)
        if share == 1:
            return super().encoded(batch, reducer)
        if self._stages is None:
            self._stages = stages_of(encoder, batch.inputs)

        def mixed(own: Tensor) -> Tensor:
            return own * share + reducer.exchanged(own).flip(0)[self.mine] * (1 - share)

        place = self.integer(_PLACE, batch.global_rows) % (1 + len(self._stages))
        if place == 0:
            return self.module.encode(mixed(batch.inputs))
        hook = self._stages[place - 1].register_forward_hook(lambda module, given, found: mixed(found))
        try:
            # As it is: what torch.compile made of the encoder passes hooks by.
            return encoded(encoder, batch.inputs, self.module.precision)
        finally:
            hook.remove()


def stages_of(encoder: nn.Module, inputs: Tensor) -> list[nn.Module]:
    """The stages of an encoder after which images can be mixed: its top-level parts that are passed once and answer
    with one tensor whose first dimension is the batch's; without any, the encoder itself, that is its features.

    They are found by two blank images, as the inputs (b, ...) are, so that every worker finds the same. The encoder is
    in the mode it was in afterwards, and torch's stream where it was.
    """
    parts, answers = list(encoder.children()), {}  # type: ignore[var-annotated]

    def note(part: nn.Module, given: Any, found: Any) -> None:
        answers.setdefault(part, []).append(isinstance(found, Tensor) and found.ndim > 1 and len(found) == 2)

    hooks = [part.register_forward_hook(note) for part in parts]
    training = [(part, part.training) for part in encoder.modules()]
    try:
        encoder.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            encoder(inputs.new_zeros(2, *inputs.shape[1:]))
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in training:
            part.training = mode
    return [part for part in parts if answers.get(part) == [True]] or [encoder]


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """Manifold mixup as a control or by itself."""
    own = settings_of(task, ManifoldMixupSettings)
    return Built(ManifoldMixup(model, task, own.alpha, own.probability))


CONTROL = MethodSpec(
    model="csrms_dist.methods.plain:make",
    build="csrms_dist.methods.controls.manifold_mixup:build",
    settings="csrms_dist.methods.controls.manifold_mixup:ManifoldMixupSettings",
    stages=BY_ITSELF,
)
