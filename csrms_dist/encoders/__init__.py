"""Image encoders, (B, 3, H, W) float32, normalised -> (B, D) features; `ENCODERS` names those of `encoder.name`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csrms_dist.encoders.public import *  # noqa: F403

ENCODERS: Mapping[str, str] = {
    "lenet5": "csrms_dist.encoders.lenet5:LENET5",
    "resnet18": "csrms_dist.encoders.resnet18:RESNET18",
    "efficientnet_lite0": "csrms_dist.encoders.efficientnet_lite0:EFFICIENTNET_LITE0",
}
"""Each an `Architecture`, which is imported when it is asked for."""


def __getattr__(name: str) -> Any:
    """The names of `public`, which load torch, when they are asked for: the settings of this room need none."""
    if not name.startswith("_") and name in __dir__():
        return getattr(import_module("csrms_dist.encoders.public"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["ENCODERS", *import_module("csrms_dist.encoders.public").__all__]
