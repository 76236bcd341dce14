"""Schedules of the learning rate by name (`schedule` in the sections `pretrain` and `train`), one file each.

A schedule is a function (step, pace, settings) -> the share of the largest rate, after the warm-up that all have.
"""

from __future__ import annotations

from collections.abc import Mapping

SCHEDULES: Mapping[str, str] = {
    "cosine": "csrms_dist.training.schedules.cosine:cosine",
    "step": "csrms_dist.training.schedules.step:step_decay",
}
