"""Who hears of long work beside the person at the terminal: a log, a tracker of experiments, a metrics endpoint.

`progress` and the work itself tell; whoever listens renders. Nothing listens in a library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """How far a work is, whenever it has moved.

    work: its name, its stage's or that of a part of it. done, total: in `unit`; total is 0 where it is unknown.
    rate: units a second, left_s: seconds that remain, both 0 where they cannot be told. note: figures for a person.
    """

    work: str
    done: float
    total: float
    unit: str
    rate: float
    left_s: float
    note: str


@dataclass(frozen=True)
class Warned:
    """A warning; the work goes on."""

    sentence: str


@dataclass(frozen=True)
class Measured:
    """Figures of a step (an epoch, say), counted from 1 on. The same step may be told again by work that goes on after
    an interruption."""

    figures: Mapping[str, float]
    step: int


@dataclass(frozen=True)
class Tallied:
    """So many more of something: `rows`, `retries`."""

    name: str
    amount: float


Event = Shown | Warned | Measured | Tallied
Listener = Callable[[Event], None]

_LISTENERS: list[Listener] = []


def tell(event: Event) -> None:
    """Every listener of this process hears it, on the thread that tells."""
    for listener in tuple(_LISTENERS):
        listener(event)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """The listener hears all that is told within this block."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)
