"""GPUs for a stage's actors: how many there are, and the share that each one asks for."""

from __future__ import annotations

import math
import os

from csrms_dist.basics.devices import device_of
from csrms_dist.errors import ConfigError, require
from ray_jobs.on_ray.session import ray_session, uses_ray

PARTS = 10_000
"""Ray counts GPUs in ten-thousandths."""


def check_gpu(setting: str) -> None:
    """Raise ConfigError, which names the setting, where this machine has no GPU; a cluster is asked later."""
    if not os.environ.get("RAY_ADDRESS"):
        device_of("cuda", setting)


def share_of_gpus(word: str, setting: str, hands: int, slots: int) -> float:
    """GPUs for each of so many hands, at most one; 0.0: they compute on the processor.

    word: of `basics.devices.DEVICES`. setting: its name, for the error. Raises ConfigError where 'cuda' is asked
    for and torch sees no GPU here or, where the hands are Ray's, its cluster has none.
    """
    if word == "cpu":
        return 0.0
    if not uses_ray(hands):
        return 1.0 if device_of(word, setting).type == "cuda" else 0.0
    with ray_session(slots):
        there = float(require("ray").cluster_resources().get("GPU", 0))
    if word == "cuda" and there == 0:
        raise ConfigError(
            setting, got=f"'cuda' on {'a cluster' if os.environ.get('RAY_ADDRESS') else 'a machine'} whose Ray has no "
            "GPU", expected="a GPU", remedy="set it to auto or cpu, or start Ray's nodes with --num-gpus",
        )  # fmt: skip
    return min(1.0, math.floor(PARTS * there / hands) / PARTS)
