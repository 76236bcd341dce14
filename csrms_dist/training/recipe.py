"""The settings that decide a training, beside the artefacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from csrms_dist.art.settings import ClusterSettings
from csrms_dist.basics.lookup import chosen, resolve
from csrms_dist.encoders.settings import NONE, EncoderSettings
from csrms_dist.hierarchy.settings import GraphSettings
from csrms_dist.methods.known import control, method, settings_class
from csrms_dist.methods.protocol import MethodSpec
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.methods.stage_0 import objective
from csrms_dist.methods.stages import BY_ITSELF
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.orders import ORDERS, UNIFORM
from csrms_dist.training.settings import OptimiserSettings, PretrainSettings, TrainSettings

if TYPE_CHECKING:
    from csrms_dist.training.orders.ground import Order

PRETRAIN, TRAIN, CONTROL = "pretrain", "train", "control"
PLAIN = "plain"
"""The method of stage 0's saved model."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a training: with the artefacts they decide its result."""

    seed: int = 0
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    method: MethodSettings = field(default_factory=lambda: settings_class()())
    train: TrainSettings = field(default_factory=TrainSettings)
    control: str = "plain"
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    graph: GraphSettings = field(default_factory=GraphSettings)

    def optimiser(self, role: str) -> OptimiserSettings:
        """The settings of a role's training."""
        return self.pretrain if role == PRETRAIN else self.train

    def adapter(self, role: str) -> str:
        """The adapter of a role's model; stage 0, which trains nothing of a frozen encoder, has none."""
        return NONE if role == PRETRAIN else self.encoder.used_adapter

    def order(self, role: str) -> type[Order]:
        """The order of a role's images: stage 0 knows no structure, and a control takes none of the method's."""
        uniform: type[Order] = resolve(ORDERS[UNIFORM])
        if role == PRETRAIN:
            return uniform
        kind: type[Order] = chosen(ORDERS, self.train.batches, "train.batches")
        return uniform if kind.structural and (role != TRAIN or self.by_itself) else kind

    @property
    def by_itself(self) -> bool:
        """Whether a control, ours or a user's, is what the run trains: it has no patterns to look at, and the passes of
        one beside a method."""
        return method(self.method.name).stages == BY_ITSELF

    @property
    def edge_types(self) -> tuple[str, ...]:
        """The neighbours that the method's training draws: those of the method and those of its batches."""
        wanted = (*self.method.edge_types(), *self.order(TRAIN).edge_types)
        return tuple(dict.fromkeys(wanted))

    @property
    def control_is_plain_head(self) -> bool:
        """Whether the control would be trained as the method's plain head is, so that nobody needs to train it twice.

        It is where the control is the plain classifier and the method knows that its plain head is too.
        """
        alone = self.method.plain_head_alone(self.encoder.fixed)
        same = self.order(TRAIN) is self.order(CONTROL)
        return alone and same and self.spec(CONTROL)[1] == control(PLAIN)

    def spec(self, role: str) -> tuple[str, MethodSpec]:
        """(name on the model's card, method, control or objective) of a role; stage 0's model is the plain one."""
        if role == TRAIN:
            return self.method.name, method(self.method.name)
        if role == PRETRAIN:
            return PLAIN, objective(self.pretrain.objective)
        return self.control, control(self.control)
