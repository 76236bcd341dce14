"""A cosine from the largest rate to 0 (Loshchilov and Hutter, 2017)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from csrms_dist.training.schedules.rate import Pace
    from csrms_dist.training.settings import OptimiserSettings


def cosine(step: int, pace: Pace, settings: OptimiserSettings) -> float:
    """Half a turn over what is left after the warm-up."""
    share = (step - pace.warmup) / max(pace.total - pace.warmup, 1.0)
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
