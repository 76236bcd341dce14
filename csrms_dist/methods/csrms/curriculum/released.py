"""The curriculum of the released code, with the parentheses that it lacks."""

from __future__ import annotations

from csrms_dist.methods.csrms.curriculum.weights import History


def released(history: History, epochs: int) -> tuple[float, float, float]:
    """Easy and medium alpha, hard 1 - alpha, where alpha falls from 1 to 0: alpha = (epochs - done) / epochs.

    The code computes epochs - done / epochs, so that of 300 epochs the weights are about 299, 299 and -298.
    """
    alpha = (epochs - len(history)) / epochs
    return alpha, alpha, 1 - alpha
