"""The vigilance that gives about so many patterns: a bisection that keeps the best value it has tried."""

from __future__ import annotations

import math
from collections.abc import Callable

HIGHEST = 0.99
MAX_STEPS = 9
CLOSE_ENOUGH = 0.05
PATTERNS_PER_CLASS = 12
ROWS_PER_PATTERN = 20
MOST_WITHOUT_CLASSES = 1000  # patterns aimed at when nobody says how many classes there are


def target_patterns(n_patterns: int | str, n_rows: int, n_classes: int | None) -> int:
    """The number of patterns to aim at: as asked, or max(K, min(12 K, N // 20)), at least 1.

    >>> target_patterns("auto", 1797, 10), target_patterns("auto", 1797, None), target_patterns(50, 1797, 10)
    (89, 89, 50)
    """
    if not isinstance(n_patterns, str):
        return n_patterns
    by_rows = n_rows // ROWS_PER_PATTERN
    if n_classes is None:
        return max(1, min(by_rows, MOST_WITHOUT_CLASSES))
    return max(1, n_classes, min(PATTERNS_PER_CLASS * n_classes, by_rows))


def bisect(count: Callable[[float], tuple[int, bool]], target: int) -> tuple[float, tuple[tuple[float, int], ...]]:
    """Search rho in [0, HIGHEST] for `target` patterns.

    count: rho -> (J, too_high); J is not monotone where patterns get too small, there `too_high` says which way to go.
    Returns the tried rho with the least |ln(J / target)| (ties: the smaller), and all that were tried.
    """
    low, high = 0.0, HIGHEST
    tried: list[tuple[float, int]] = []
    for _ in range(MAX_STEPS):
        rho = (low + high) / 2
        n, too_high = count(rho)
        tried.append((rho, n))
        if abs(n - target) <= CLOSE_ENOUGH * target:
            break
        if n > target or too_high:
            high = rho
        else:
            low = rho
    best = min(tried, key=lambda step: (abs(math.log(max(step[1], 0.5) / target)), step[0]))
    return best[0], tuple(tried)
