"""The section `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    bootstrap_samples: int = setting(10000, "[100, 10000000]", doc="resamples of the paired 95 % interval")
    more_metrics: str = setting("", doc="metrics beside the standard ones: module:name, separated by commas")
