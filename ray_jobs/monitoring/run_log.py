"""The log of a run, log.jsonl: one JSON object a line, appended by every attempt (docs/monitoring.md)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from csrms_dist.artefacts.log_file import LogFile
from csrms_dist.artefacts.names import LOG
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.listening import Shown
from csrms_dist.basics.progress import warn
from csrms_dist.errors import CsrmsError
from ray_jobs.monitoring.secrets import hidden

HEARTBEAT_S = 10.0
"""Progress is written at most as often as this, and something at least as often."""
DIGITS = 6


class RunLog:
    """Writes the lines of one attempt, from any thread.

    A log that cannot be written is no reason to end a run: that is said once.
    """

    def __init__(self, run: RunDirectory, name: str, attempt: int) -> None:
        self._file = LogFile(run, LOG)
        self._always = {"run": name, "attempt": attempt}
        self._guard = threading.RLock()
        self._stage: str | None = None
        self._shown: Shown | None = None
        self._written, self._progressed = 0.0, 0.0
        self._broken = False

    def enter(self, stage: str | None) -> None:
        """The lines to come are of this stage, None for the run as a whole."""
        with self._guard:
            self._stage, self._shown, self._progressed = stage, None, time.monotonic()

    def write(self, event: str, *, stage: str | None = "", **more: Any) -> None:
        """One line; a stage that is not given is the one that was entered. Empty fields are left out."""
        with self._guard:
            if self._broken:
                return
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = {"time": now, **self._always, "stage": self._stage if stage == "" else stage, "event": event}
            line |= {key: value for key, value in more.items() if value not in ("", None)}
            self._written = time.monotonic()
            if event == "progress":
                self._progressed = self._written
            try:
                self._file.append(hidden(line))
            except CsrmsError as error:
                self._give_up(error)

    def show(self, at: Shown | None = None) -> None:
        """Write how far the stage is, if that was not written for a while, whatever else was; without `at` the last
        that was shown."""
        with self._guard:
            self._shown = at or self._shown
            if time.monotonic() - self._progressed < HEARTBEAT_S:
                return
            self.write("progress", **({} if self._shown is None else _fields(self._shown)))

    def last_shown(self) -> Mapping[str, Any]:
        """The fields of how far the stage was when it last said so."""
        with self._guard:
            return {} if self._shown is None else _fields(self._shown)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """A line at least every `HEARTBEAT_S` within this block, also while one epoch takes an hour."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT_S / 2):
                self.show()
                self._flush()

        thread = threading.Thread(target=beat, name="run log", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._flush()

    def _flush(self) -> None:
        try:
            self._file.flush()
        except CsrmsError as error:
            self._give_up(error)

    def _give_up(self, error: CsrmsError) -> None:
        with self._guard:
            if not self._broken:
                self._broken = True
                warn(f"{LOG} is not written any more: {error}")


def _fields(at: Shown) -> dict[str, Any]:
    return {
        "work": at.work,
        "done": round(at.done, DIGITS),
        "total": round(at.total, DIGITS) or None,
        "unit": at.unit,
        "rate": round(at.rate, DIGITS) or None,
        "left_s": round(at.left_s, 1) or None,
        "message": at.note,
    }
