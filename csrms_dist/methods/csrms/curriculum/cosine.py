"""From easy to hard over the middle half of training, whatever the loss does."""

from __future__ import annotations

from csrms_dist.methods.csrms.curriculum.weights import (
    EASY_FIRST,
    EASY_LAST,
    MEDIUM_FIRST,
    MEDIUM_LAST,
    History,
    eased,
    shares,
)


def cosine(history: History, epochs: int) -> tuple[float, float, float]:
    """alpha_i falls from .95 to .33 in the second quarter of training, alpha_f from .95 to .5 in the third.

    The paper lets both fall when the loss has converged below .01, which classification losses rarely do.
    """
    quarters = 4 * len(history) / epochs
    return shares(eased(EASY_FIRST, EASY_LAST, quarters - 1), eased(MEDIUM_FIRST, MEDIUM_LAST, quarters - 2))
