"""Steps down, as the paper has them (section 5.1.3): the rate times `decay` every `decay_every` epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from csrms_dist.training.schedules.rate import Pace
    from csrms_dist.training.settings import OptimiserSettings


def step_decay(step: int, pace: Pace, settings: OptimiserSettings) -> float:
    """Epochs are counted by steps, from the end of the warm-up on."""
    decays = math.floor((step - pace.warmup) / (settings.decay_every * pace.epoch))
    return settings.decay**decays
