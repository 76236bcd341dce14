"""Seconds of contenders that run in turn, and their ratios."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

Table = list[dict[str, Any]]


def rounds(contenders: Mapping[str, Callable[[], Any]], n: int) -> dict[str, list[float]]:
    """Seconds of each contender in each of n rounds, one after the other."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(n):
        for name, work in contenders.items():
            started = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - started)
    return taken


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Best against best, and the extremes of the rounds."""
    each = sorted(a / b for a, b in zip(slow, fast, strict=True))
    return {"ratio": min(slow) / min(fast), "low": each[0], "high": each[-1]}
