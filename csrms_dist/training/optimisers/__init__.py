"""Optimisers by name (`optimiser` in the sections `pretrain` and `train`), one file each.

An optimiser is a function (parameters, settings, fused) -> a torch.optim.Optimizer, whose learning rate is set at every
step. fused: a step is one kernel of the device, where torch has one.
"""

from __future__ import annotations

from collections.abc import Mapping

OPTIMISERS: Mapping[str, str] = {
    "sgd": "csrms_dist.training.optimisers.sgd:sgd",
    "adam": "csrms_dist.training.optimisers.adam:adam",
    "adamw": "csrms_dist.training.optimisers.adamw:adamw",
}
