"""The port of a tracker of experiments, and what one is made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from csrms_dist.basics.lookup import Kind, takes


@dataclass(frozen=True)
class Place:
    """Which run it is, and where a tracker may write.

    name: of the run. uri: its directory.
    key: equal for attempts that go on with the same settings, another for any other run and settings: what one
        tracker's record of a run is found by.
    folder: the tracker's own, of its name, which may not exist yet; it lies in the run directory.
    settings: of the run, nested plain values without secrets.
    """

    name: str
    uri: str
    key: str
    folder: Path
    settings: Mapping[str, Any]


class Logger(Protocol):
    """A tracker of experiments, made with a `Place`.

    Assumptions: `log` is called from one thread, with finite numbers; a name is told a step once, also by attempts that
    go on after an interruption, and steps of a name grow; `close` is the last call. What either raises ends the
    logger, not the run.
    """

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Figures of one stage at a step from 1 on (an epoch), by names such as 'train/loss'."""
        ...

    def close(self) -> None: ...


def _is_logger(value: Any) -> bool:
    return (
        isinstance(value, type) and takes(value, 1) and all(callable(getattr(value, it, 0)) for it in ("log", "close"))
    )


KIND = Kind("a class of {} with log(metrics, step) and close(), made with one argument", _is_logger)
"""A logger of a user's own."""


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by 'section.key'."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
