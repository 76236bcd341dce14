"""GPUs of the Ray session: what an actor or a worker takes of one."""

from __future__ import annotations

from csrms_dist.errors import ConfigError, require


def gpu_share(device: str, share: float) -> float:
    """The part of a GPU that an actor asks Ray for, 0 where it computes on a CPU: `device` says cpu, or auto in a
    session without GPUs. Raises ConfigError where GPUs are asked for and the session has none."""
    there = require("ray").cluster_resources().get("GPU", 0) > 0
    if device == "cuda" and not there:
        raise ConfigError(
            "train.device", got="'cuda' in a Ray session without GPUs", expected="a GPU",
            remedy="set it to auto or cpu, or start a node with GPUs",
        )  # fmt: skip
    return share if there and device != "cpu" else 0.0
