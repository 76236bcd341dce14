"""Ctrl-C and SIGTERM: remembered, because a library may swallow the exception that they raise."""

from __future__ import annotations

import signal
from types import FrameType


class Stopping:
    """Whether somebody asked this process to stop.

    An import that KeyboardInterrupt ends half-way may leave a half module, which fails later with whatever error, and
    a bare `except:` may swallow it altogether. So the command looks here for the reason of an error, and the work at
    each of its points (`stop_points.passed`).
    """

    asked = False

    def listen(self) -> None:
        """Take both signals, but not one that is ignored, as Ctrl-C is by what a script runs in the background."""
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt where one was asked for and swallowed."""
        if self.asked:
            raise KeyboardInterrupt


stopping = Stopping()
"""Of this process."""
