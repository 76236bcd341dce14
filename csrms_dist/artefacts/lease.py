"""A lease: the lock of a run in an object store, which has none. It ends by itself when its holder has died.

An object names the holder and a number that grows while the holder lives. Whoever wants the lease watches the object by
its own clock: one that stays the same for LEASE_S is of a dead holder, whatever the clocks of the two machines say.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.objects import Objects
from csrms_dist.basics.progress import waiting_for
from csrms_dist.errors import CsrmsError, RunDirectoryError

NAME = ".lock"
LEASE_S = 60.0
"""After so long without a sign of life a holder is dead."""
BEAT_S = 15.0
SETTLE_S = 1.0
"""Where the store cannot put conditionally: after so long it is read again who was the last to put."""


class Lease:
    """The lease of one run for this process. `with lease.held(): ...; lease.check()` before what may be done once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._holder = ""
        self._beats = 0
        self._own = b""
        self._lost = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it. Raises RunDirectoryError where another command does, of this machine or of another."""
        self._holder, self._beats, self._lost = secrets.token_hex(8), 0, False
        self._take()
        stop = threading.Event()
        beating = threading.Thread(target=self._beat, args=(stop,), daemon=True)
        beating.start()
        try:
            yield
        finally:
            stop.set()
            beating.join()
            self._give_back()

    def check(self) -> None:
        """Raise RunDirectoryError where somebody else took the lease that was held: this process had seemed dead."""
        if self._lost:
            raise RunDirectoryError(
                self._objects.shown, got="a run that another command took over while the store could not be reached",
                remedy="wait for that command or choose another --out",
            )  # fmt: skip

    def _take(self) -> None:
        found = self._objects.read(NAME)
        if found is not None and not _is_dead(found):
            found = self._watch(found)
        if not self._put(found):
            raise self._taken()
        if not self._objects.is_conditional:
            time.sleep(SETTLE_S)
            if self._objects.read(NAME) != self._own:
                raise self._taken()

    def _watch(self, found: bytes) -> bytes | None:
        """What is there once its holder is dead. Raises RunDirectoryError as soon as it shows that it lives."""
        if _is_of_here(found):
            raise self._taken()
        until = time.monotonic() + LEASE_S
        while time.monotonic() < until:
            waiting_for(f"{self._objects.shown} is another command's: seeing for {LEASE_S:.0f} s whether it lives")
            time.sleep(min(1.0, LEASE_S / 10))
            now = self._objects.read(NAME)
            if now is None:
                return None
            if now != found:
                raise self._taken()
        return found

    def _put(self, before: bytes | None) -> bool:
        self._beats += 1
        facts = {"holder": self._holder, "beat": self._beats, **_here()}
        data = json.dumps(facts, sort_keys=True).encode()
        if self._objects.put_if(NAME, data, before):
            self._own = data
            return True
        return False

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            try:
                if not self._put(self._own):
                    found = self._objects.read(NAME)
                    if found is not None and _facts(found).get("holder") == self._holder:
                        self._own = found  # a put whose answer was lost
                        continue
                    self._lost = found is not None
                    if self._lost:
                        return
                    self._own = b""
                    if self._put(None):  # somebody removed it, and nobody took it
                        continue
                    self._lost = True
                    return
            except CsrmsError:
                continue  # whoever reads or writes says it; the lease is there until another takes it

    def _give_back(self) -> None:
        with contextlib.suppress(CsrmsError):  # it ends by itself
            if not self._lost and self._objects.read(NAME) == self._own:
                self._objects.remove(NAME)

    def _taken(self) -> RunDirectoryError:
        return RunDirectoryError(
            self._objects.shown, got="a run that another command is writing",
            remedy="wait for it or choose another --out",
        )  # fmt: skip


def _here() -> dict[str, Any]:
    """This process among all: machine, its start, number and its start."""
    return {"host": socket.gethostname(), "boot": _text("/proc/sys/kernel/random/boot_id"), "pid": os.getpid(),
            "started": _started(os.getpid())}  # fmt: skip


def _facts(found: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(found)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_of_here(found: bytes) -> bool:
    """Whether the holder is a process of this machine, in whose /proc it would be seen."""
    facts, here = _facts(found), _here()
    return bool(here["boot"]) and all(facts.get(key) == here[key] for key in ("host", "boot"))


def _is_dead(found: bytes) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    facts = _facts(found)
    return _is_of_here(found) and _started(int(facts.get("pid", 0))) != facts.get("started")


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine did; '' where there is none."""
    text = _text(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split()[19] if text else ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
