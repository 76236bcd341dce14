"""The learning rate of a step."""

from __future__ import annotations

import math


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Linear warm-up over `warmup` steps, then a cosine to 0 (Loshchilov and Hutter, 2017)."""
    if step < warmup:
        return peak * min((step + 1) / max(warmup, 1.0), 1.0)
    share = (step - warmup) / max(total - warmup, 1.0)
    return peak * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
