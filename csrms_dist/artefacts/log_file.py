"""A file of JSON lines in a run directory: one process appends, others read meanwhile, from any machine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.artefacts.run_directory import RunDirectory

SEGMENT_BYTES = 64 * 1024
"""An object of a remote log is written anew until it is as long as this."""


class LogFile:
    """The log `name` of a run.

    Assumptions: one process appends at a time, from any of its threads; lines are never changed.

    In a local run it is one file: a line is one write at its end, so a reader, and whoever comes after a kill, finds
    whole lines, but perhaps for the last one on a disk that was full. Where nothing can be appended to (an object
    store) it is a folder of objects in the order of their names. Lines wait there for `flush`, which writes the last
    object anew.
    """

    def __init__(self, run: RunDirectory, name: str) -> None:
        self._run, self._name = run, name
        self._guard = threading.Lock()
        self._waiting = b""
        self._segment = 0
        self._begun = False

    def append(self, value: Mapping[str, Any]) -> None:
        """Write one object as a line. Raises RunDirectoryError where it cannot be written."""
        line = json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self._guard, disk_errors(self._run.uri):
            if self._run.is_local:
                self._append_here(line)
            else:
                if len(self._waiting) + len(line) > SEGMENT_BYTES:
                    self._put()
                    self._waiting, self._segment = b"", self._segment + 1
                self._waiting += line

    def flush(self) -> None:
        """Others can read from now on what was appended; a local file is always as far as that."""
        with self._guard, disk_errors(self._run.uri):
            self._put()

    def _append_here(self, line: bytes) -> None:
        file = os.open(self._run.path / self._name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if not self._begun and _is_torn(file):
                line = b"\n" + line
            self._begun = True
            if os.write(file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)

    def _put(self) -> None:
        if not self._waiting:
            return
        if self._segment == 0:
            self._segment = len(_segments(self._run, self._name)) + 1
        self._run.write_bytes(f"{self._name}/{self._segment:06}", self._waiting)


def _is_torn(file: int) -> bool:
    """Whether a file's last line has no end: somebody's disk was full in the middle of it."""
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def _segments(run: RunDirectory, name: str) -> list[str]:
    return [f"{name}/{segment}" for segment in run.names(name)]


def read_log(run: RunDirectory, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a log, oldest first; what is no whole line of JSON is left out. Nothing where there is no log."""
    for place in [name] if run.is_local else _segments(run, name):
        for line in (run.read_bytes(place) or b"").splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    yield value
