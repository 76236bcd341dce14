"""Ranges of a flat array, one after the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import I64


def ranges(start: npt.NDArray[np.integer], length: npt.NDArray[np.integer]) -> tuple[I64, I64]:
    """(R,) where ranges begin and how long they are -> (which range (E,), place (E,)) of all their elements."""
    which = np.repeat(np.arange(len(start)), length)
    first = np.repeat(start - (np.cumsum(length) - length), length)
    return which, first + np.arange(len(which))


def starts(length: npt.NDArray[np.integer]) -> I64:
    """(R,) lengths of ranges that lie one after the other -> (R + 1,) int64, where each begins, and the end."""
    found = np.zeros(len(length) + 1, dtype=np.int64)
    np.cumsum(length, out=found[1:])
    return found
