"""One way to show long work: stage, share done, and once they can be told, rate and remaining time. Quiet in CI.

On a terminal one line is rewritten; elsewhere a line is written at most every ten seconds; with CI=true only the last
line of a stage is written. Everything goes to standard error, so that standard output stays the command's result. The
same is told to whoever listens (`listening`), muted and in CI too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO

from csrms_dist.basics.listening import Shown, Tallied, Warned, tell


def duration(seconds: float) -> str:
    """'0.4 s', '12 s', '3 min 05 s', '2 h 10 min'."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


RATED_S = 5.0
"""The rate of less time than this tells nothing about the rest."""
ROWS = ("rows", "images")
"""Units of which a stage's rows are counted."""


class Progress:
    """`with Progress("train", total=30, unit="epochs") as p: p.update(1)`; safe to use from one thread at a time.

    The rate is counted from the first report on: until then things were starting. steady: units take about as long as
    each other; without that neither rate nor remaining time is shown.
    """

    def __init__(
        self, stage: str, total: float = 0, unit: str = "", stream: TextIO | None = None, *, steady: bool = True
    ) -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.done = 0.0
        self.note = ""
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._quiet = os.environ.get("CI", "").lower() not in ("", "0", "false")
        self._started = self._shown = time.monotonic()
        self._said: set[str] = set()
        self._steady = steady
        self._rated_from: float | None = None
        self._base = 0.0

    def __enter__(self) -> Self:
        _UNDER_WAY.append(self)
        return self

    def say(self, text: str) -> None:
        """Say once, on a line of its own, what the work is waiting for; in CI nothing is said."""
        if not self._quiet and text not in self._said:
            self._said.add(text)
            self._write(f"{self.stage:<9} {text}", last=True)

    def resume_at(self, done: float) -> None:
        """Work done before now, by an earlier attempt: counted as done, not in the rate."""
        self.done = done
        self._rated_from = None

    def update(self, amount: float = 1, note: str = "") -> None:
        self.set(self.done + amount, note)

    def set(self, done: float, note: str = "") -> None:
        """Say how much is done in all."""
        if self.unit in ROWS:
            tell(Tallied("rows", done - self.done))
        self.done, self.note = done, note or self.note
        now = time.monotonic()
        if self._rated_from is None:
            self._rated_from, self._base = now, done
        if not self._quiet and now - self._shown >= (0.1 if self._tty else 10.0):
            self._shown = now
            self._write(self._line(now), last=False)
        tell(self.at(now))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _UNDER_WAY.remove(self)
        if kind is None:
            elapsed = time.monotonic() - self._started
            unit = self.unit.removesuffix("s") if self.done == 1 else self.unit
            amount = f"{self.done:,.0f} {unit} in " if unit else ""
            note = f"  {self.note}" if self.note else ""
            self._write(f"{self.stage:<9} done   {amount}{duration(elapsed)}{note}", last=True)
        elif self._tty and not self._quiet and not _MUTED:
            self._stream.write("\n")

    def at(self, now: float) -> Shown:
        """How far it is at a time of the monotonic clock."""
        rated = now - (now if self._rated_from is None else self._rated_from)
        rate = (self.done - self._base) / rated if self._steady and rated >= RATED_S else 0.0
        left = (self.total - self.done) / rate if rate > 0 and self.total > self.done else 0.0
        return Shown(self.stage, self.done, self.total, self.unit, rate, left, self.note)

    def _line(self, now: float) -> str:
        at = self.at(now)
        text = f"{at.work:<9} "
        if at.total:
            text += f"{min(at.done / at.total, 1):4.0%}   {at.done:,.0f}/{at.total:,.0f} {at.unit}"
        if at.rate > 0:
            text += f"  {at.rate:,.1f} {at.unit}/s"
        if at.left_s > 0:
            text += f"  {duration(at.left_s)} left"
        return text + (f"  {at.note}" if at.note else "")

    def _write(self, line: str, last: bool) -> None:
        if _MUTED:
            return
        if self._tty and not self._quiet:
            self._stream.write(f"\r\x1b[2K{line}" + ("\n" if last else ""))
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


_UNDER_WAY: list[Progress] = []
"""What this process shows at the moment, the last begun last."""


def waiting_for(text: str) -> None:
    """What the work that is shown at the moment waits for, said once; nothing where none is shown, as in a library."""
    for progress in _UNDER_WAY[-1:]:
        progress.say(text)


_MUTED: list[list[str]] = []


@contextmanager
def muted(warnings: list[str]) -> Iterator[None]:
    """Nothing is shown within this block, and what `warn` says in it is appended to `warnings`: for work that consists
    of many works."""
    _MUTED.append(warnings)
    try:
        yield
    finally:
        _MUTED.pop()


def warn(sentence: str) -> None:
    """A warning, on standard error: the work goes on."""
    tell(Warned(sentence))
    if _MUTED:
        _MUTED[-1].append(sentence)
        return
    print(f"warning: {sentence}", file=sys.stderr)
