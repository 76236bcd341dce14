"""Checkpoints within an epoch: when, so that all workers agree on the batch; and the sums that such a one holds.

Nothing is sent at a step but at those that all workers look at, some seconds apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from csrms_dist.basics.collective import Collective

LOOK_S = 2.0
"""Between two looks."""


class Looks:
    """After which batches of an epoch a checkpoint is written: rank 0's clock decides, and tells the others.

    seconds: between two checkpoints, those after epochs included; 0: only where `wanted` asks.
    wanted: asked on rank 0 at every look, whether one is wanted at once; None: never.
    """

    def __init__(
        self,
        seconds: float,
        wanted: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._wanted, self._clock = seconds, wanted, clock
        self._steps, self._looked, self._next = 0, 0, 1
        self._looked_at = self._saved_at = clock()

    def due(self, collective: Collective) -> bool:
        """Whether to write one after the step that was just done; every worker asks after every step."""
        self._steps += 1
        if self._steps < self._next:
            return False
        now = self._clock()
        late = bool(self._seconds) and now - self._saved_at >= self._seconds
        asked = collective.rank == 0 and (late or (self._wanted is not None and self._wanted()))
        told = [float(asked), (now - self._looked_at) / (self._steps - self._looked)]
        if collective.rank:
            told = [0.0, 0.0]
        write, pace = collective.summed(torch.tensor(told, dtype=torch.float64)).tolist()
        self._looked, self._looked_at = self._steps, now
        self._next = self._steps + max(1, round(LOOK_S / max(pace, 1e-6)))
        return bool(write)

    def saved(self) -> None:
        """A checkpoint was written, here or after an epoch."""
        self._saved_at = self._clock()


def shared_sums(
    totals: dict[str, float], observed: dict[str, Tensor], encoded: int, collective: Collective
) -> dict[str, Any]:
    """The sums of an epoch so far over all workers, to be saved. A name that another worker has not seen is 0 there;
    all workers have the same names."""
    names, seen = sorted(totals), sorted(observed)
    flat = [torch.tensor([*(totals[name] for name in names), float(encoded)], dtype=torch.float64)]
    flat += [observed[name].cpu() for name in seen]
    found = collective.summed(torch.cat(flat)).tolist()
    pairs = found[len(names) + 1 :]
    return {
        "totals": dict(zip(names, found, strict=False)),
        "encoded": round(found[len(names)]),
        "observed": {name: torch.tensor(pairs[2 * k : 2 * k + 2], dtype=torch.float64) for k, name in enumerate(seen)},
    }


def own_sums(saved: dict[str, Any], rank: int) -> tuple[dict[str, float], dict[str, Tensor], int]:
    """(totals, observed, encoded) of this worker when it goes on: rank 0 has them all, so that they count once."""
    share = 1.0 if rank == 0 else 0.0
    totals = {name: share * value for name, value in saved["totals"].items()}
    observed = {name: share * pair for name, pair in saved["observed"].items()}
    return totals, observed, saved["encoded"] if rank == 0 else 0
