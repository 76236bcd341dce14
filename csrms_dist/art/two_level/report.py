"""The progress of a clustering, for those who want to hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]


class Report:
    """The phase that is running and how many of its steps are done. Without listeners it tells nobody.

    progress: called as progress(phase, done, total), phases as in plan.PHASES. after_phase: called after each phase.
    """

    def __init__(self, progress: Progress | None = None, after_phase: Callable[[str], None] | None = None) -> None:
        self.progress, self.after_phase = progress, after_phase
        self._phase, self._done, self._total = "", 0, 0

    @contextmanager
    def phase(self, name: str, total: int = 1) -> Iterator[None]:
        """Report the phase from its begin to its end, by which all its steps are done."""
        self._phase, self._total = name, total
        self._tell(0)
        yield
        if self._done < total:
            self._tell(total)
        self._done = self._total = 0
        if self.after_phase is not None:
            self.after_phase(name)

    def step(self, *_: object) -> None:
        """Another step of the phase is done; outside of a phase, and beyond its total, nobody hears of it."""
        if self._done < self._total:
            self._tell(self._done + 1)

    def _tell(self, done: int) -> None:
        self._done = done
        if self.progress is not None:
            self.progress(self._phase, done, self._total)
