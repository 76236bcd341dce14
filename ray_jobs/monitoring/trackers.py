"""The loggers of a run, together: each hears every figure once, and one that fails falls silent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from csrms_dist.artefacts.names import LOGGED
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.lookup import chosen, one_line
from csrms_dist.basics.progress import warn
from csrms_dist.errors import check_installed
from ray_jobs.loggers import LOGGERS
from ray_jobs.loggers.logger import KIND, Logger, Place
from ray_jobs.monitoring.secrets import hidden, hide

SETTING = "loggers"


def check_loggers(names: Iterable[str]) -> None:
    """Raise MissingDependencyError for a logger of ours whose package is not installed; nothing of it is imported."""
    for name in names:
        if name in LOGGERS:
            check_installed(_kind(name).package, extra=name)


def _kind(name: str) -> Any:
    return chosen(LOGGERS, name, SETTING, fits=KIND.fits, expected=KIND.said)


class Trackers:
    """Loggers by name, made for a run.

    What each has had is noted in the run directory before it is handed over: an attempt that goes on repeats nothing,
    and what a kill cuts off between the two is lost to the tracker, not doubled.

    key: of the `Place`; what was noted under another is of no concern.
    """

    def __init__(
        self, run: RunDirectory, names: Iterable[str], name: str, key: str, settings: Mapping[str, Any]
    ) -> None:
        self._run, self._key = run, key
        noted = run.read_json(LOGGED) or {}
        self._held: dict[str, dict[str, int]] = noted["held"] if noted.get("key") == key else {}
        self._loggers: dict[str, Logger] = {}
        for logger in names:
            folder = run.side_folder(_folder(logger))
            folder.parent.mkdir(parents=True, exist_ok=True)
            with self._guarded(logger):
                self._loggers[logger] = _kind(logger)(Place(name, hide(run.uri), key, folder, hidden(settings)))

    @property
    def names(self) -> list[str]:
        """Those that listen."""
        return list(self._loggers)

    def log(self, series: str, stage: str, figures: Mapping[str, float], step: int) -> None:
        """Hand figures of a stage to the loggers that have not had this step of the series."""
        named = {f"{stage}/{name}": value for name, value in figures.items()}
        new = [name for name in self._loggers if self._held.get(name, {}).get(series, 0) < step]
        if not named or not new:
            return
        for name in new:
            self._held.setdefault(name, {})[series] = step
        self._run.write_json(LOGGED, {"key": self._key, "held": self._held})
        for name in new:
            with self._guarded(name):
                self._loggers[name].log(named, step)

    def close(self) -> None:
        """The last call."""
        for name, logger in list(self._loggers.items()):
            with self._guarded(name):
                logger.close()
            with self._guarded(name):
                self._run.put_folder(_folder(name))

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        # The package is another's, and may raise anything: no figure that is lost is worth the run.
        try:
            yield
        except Exception as error:
            self._loggers.pop(name, None)
            warn(f"loggers: {name} hears no more of this run: {hide(one_line(error))}")


def _folder(name: str) -> str:
    """A logger's folder in the run directory: a user's own module:name has no colon there."""
    return name.replace(":", ".")
