"""The section `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.methods.known import CONTROLS


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    bootstrap_samples: int = setting(10000, "[100, 10000000]", doc="resamples of the paired 95 % interval")
    control: str = setting(
        "plain",
        words=CONTROLS,
        own="csrms_dist.methods.protocol:KIND",
        doc="what is trained beside the method, at equal encoder passes",
    )
    more_metrics: str = setting("", doc="metrics beside the standard ones: module:name, separated by commas")
