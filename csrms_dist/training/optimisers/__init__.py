"""Optimisers by name (`optimiser` in the sections `pretrain` and `train`), one file each.

An optimiser is a function (parameters, settings) -> a torch.optim.Optimizer, whose learning rate is set at every step.
"""

from __future__ import annotations

from collections.abc import Mapping

OPTIMISERS: Mapping[str, str] = {
    "sgd": "csrms_dist.training.optimisers.sgd:sgd",
    "adam": "csrms_dist.training.optimisers.adam:adam",
}

MOMENTS: Mapping[str, int] = {"sgd": 1, "adam": 2}
"""Numbers that are kept beside each weight."""
