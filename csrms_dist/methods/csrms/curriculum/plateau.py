"""From easy to hard when the loss has converged, once and once again (CSRMS sec. 4.2.3)."""

from __future__ import annotations

from collections.abc import Callable

from csrms_dist.methods.csrms.curriculum.weights import (
    EASY_FIRST,
    EASY_LAST,
    MEDIUM_FIRST,
    MEDIUM_LAST,
    History,
    eased,
    shares,
)

HARDLY = 0.01
"""A smaller relative change of the loss from epoch to epoch is none."""
PRINTED_LOSS, PRINTED_CHANGE = 0.01, 0.0001


def plateau(history: History, epochs: int) -> tuple[float, float, float]:
    """Converged: the loss of an epoch is within 1 % of that of the epoch before."""
    return _after(history, epochs, lambda before, now: abs(now - before) < HARDLY * abs(before))


def printed(history: History, epochs: int) -> tuple[float, float, float]:
    """Converged as printed: the loss is below .01 and within .0001 of that of the epoch before."""
    return _after(history, epochs, lambda before, now: now < PRINTED_LOSS and abs(now - before) < PRINTED_CHANGE)


def _after(history: History, epochs: int, converged: Callable[[float, float], bool]) -> tuple[float, float, float]:
    """alpha_i falls from the first convergence on, for a quarter of the epochs; alpha_f from the first one after that.

    The paper says when they fall, not how fast.
    """
    losses, length = [report["loss"] for report in history], max(epochs / 4, 1.0)
    starts: list[int] = []
    for epoch in range(1, len(losses)):
        due = not starts or (len(starts) == 1 and epoch >= starts[0] + length)
        if due and converged(losses[epoch - 1], losses[epoch]):
            starts.append(epoch)
    passed = [(len(losses) - start) / length for start in starts] + [0.0, 0.0]
    return shares(eased(EASY_FIRST, EASY_LAST, passed[0]), eased(MEDIUM_FIRST, MEDIUM_LAST, passed[1]))
