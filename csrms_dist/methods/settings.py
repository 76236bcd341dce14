"""The section `method` as every method has it; a method's own class adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.methods.known import DEFAULT, NAMES
from csrms_dist.sampling.settings import SamplingSettings


@dataclass(frozen=True)
class MethodSettings(Settings):
    """The section `method`. What follows from it is asked of it, so that nobody else knows a method's keys."""

    name: str = setting(
        DEFAULT,
        words=NAMES,
        own="csrms_dist.methods.protocol:KIND",
        doc="the method, or a control by itself; it decides which other keys there are here",
    )

    @classmethod
    def section(cls) -> str:
        return "method"

    @classmethod
    def recipes(cls) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Defaults of any section that a value of this one brings, by that value as text, for the documentation."""
        return {}

    @classmethod
    def recipe(cls, given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        """Those that the given values bring; what the user sets wins over them."""
        return {}

    def edge_types(self) -> tuple[str, ...]:
        """The edge types that a batch's sub-graph must have."""
        return ()

    def packages(self) -> tuple[str, ...]:
        """Modules of the extra `full` that a training by these settings needs."""
        return ()

    def model_options(self, sampling: SamplingSettings) -> dict[str, Any]:
        """The options of the model's card, beside the encoder and the classes."""
        return {}

    def encodings(self, sampling: SamplingSettings) -> int:
        """How many images a step encodes at most for an image of its batch, itself included."""
        return 1

    def control_weight(self) -> float:
        """The weight of the control's classification loss, as in the method; 0 where it would have nothing to do."""
        return 1.0

    def plain_head_alone(self, frozen: bool) -> bool:
        """Whether the plain head is trained as if nothing stood beside it: bit for bit the plain classifier, at the
        same passes. frozen: the features that it looks at are not trained. A method that does not know says no."""
        return False

    def check_control(self) -> None:
        """Raise ConfigError when there can be no control."""

    def check_encoder(self, frozen: bool) -> None:
        """Raise ConfigError where the features of a frozen encoder are no input for the method."""

    def permutes_patterns(self) -> bool:
        """Whether the method is trained on a hierarchy whose images lie in patterns by chance."""
        return False

    def reported(self) -> dict[str, Any]:
        """These settings as metrics.json tells them."""
        return {"method": self.name}
