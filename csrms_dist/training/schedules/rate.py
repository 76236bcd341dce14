"""The learning rate of a step."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.lookup import resolve
from csrms_dist.training.schedules import SCHEDULES
from csrms_dist.training.settings import OptimiserSettings


@dataclass(frozen=True)
class Pace:
    """total: steps of the training. epoch: steps of its first epoch. warmup: steps until the largest rate."""

    total: int
    epoch: int
    warmup: float


def pace_of(settings: OptimiserSettings, total: int, epoch: int) -> Pace:
    """The pace of a training; fractions of an epoch are fractions of its steps."""
    return Pace(total, epoch, settings.warmup_epochs * epoch)


def learning_rate(step: int, pace: Pace, settings: OptimiserSettings) -> float:
    """Linear warm-up, then what `schedule` says."""
    if step < pace.warmup:
        return settings.lr * min((step + 1) / max(pace.warmup, 1.0), 1.0)
    share: float = resolve(SCHEDULES[settings.schedule])(step, pace, settings)
    return settings.lr * share
