"""Signs of life of training workers: who waits for whom, and who does not answer.

A message of torch.distributed waits for its slowest worker, by default half an hour, and its timeout names nobody. So
every worker writes once a second into a store of their own how far it is, and reads how far the others are. One that is
silent (its process stopped, its machine cut off), one that does nothing while others wait for it, and workers that wait
for each other are each named after `LIMIT_S`. One that works is waited for however long it takes: rank 0 may cluster
anew for an hour while the others stand at a barrier.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from csrms_dist.errors import StalledError

LIMIT_S = 45.0
"""Silence, or idleness, that is too long: with the seconds that it takes to notice, less than a minute."""
EVERY_S = 1.0
BUSY = 0.1
"""A worker whose work (`work_done`) is less than this share of the time does nothing."""
SECOND_OF_BYTES = 10e6
"""Bytes read or written that count as a second of work."""
GRACE_S = 10.0
"""After a verdict the process ends by itself, unless the waiting thread has raised it: it may stand in a library."""

_REMEDY = "look at that machine, its memory and its network"


@dataclass
class _Peer:
    """What one worker's last sign of life said, and for how long (in seconds of ours) it has said no other."""

    said: str = ""
    silent: float = 0.0
    entered: int = 0
    waiting: str = ""
    busy: float = 0.0
    still: float = 0.0
    busy_before: float = 0.0

    def hear(self, said: str, elapsed: float) -> None:
        self.silent = 0.0 if said != self.said else self.silent + elapsed
        if said == self.said:
            return
        self.said = said
        _, entered, waiting, busy = said.split("|")
        moved = (int(entered), waiting) != (self.entered, self.waiting)
        # Of threads that have ended nothing is known any more: it would be less than before.
        self.entered, self.waiting, self.busy = int(entered), waiting, max(self.busy, float(busy))
        self.still = 0.0 if moved else self.still + elapsed
        if moved:
            self.busy_before = self.busy

    @property
    def idle(self) -> bool:
        """Whether it has done nothing since it moved last."""
        return self.busy - self.busy_before < BUSY * self.still


def work_done() -> float:
    """Seconds that this process has worked, ever: on a processor, ready to but waiting for one (on a busy machine that
    is most of the time), and `SECOND_OF_BYTES` read or written as one. Without /proc the first alone."""
    found = time.process_time()
    for place in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # the thread has ended
            found += int(place.read_text().split()[1]) / 1e9
    with contextlib.suppress(OSError):
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        found += sum(int(counts[name]) for name in ("rchar", "wchar", "read_bytes")) / SECOND_OF_BYTES
    return found


class Heartbeat:
    """This worker's signs of life, and its judgement of the others'.

    Assumptions: every worker makes one at the same time, by `connect`, and each enters the same messages in the same
    order. Time is counted in rounds of this process, so that one which slept itself accuses nobody when it wakes.

    Parameters
    ----------
    store: a torch.distributed.Store of these workers alone; rank 0's process serves it.
    names: of the workers, by rank, as a sentence calls them.
    what: the subject of the sentence.
    limit_s: how long one may be silent.
    tell: hears the verdict once, from a thread.
    """

    def __init__(
        self,
        store: Any,
        rank: int,
        names: list[str],
        *,
        what: str = "training",
        limit_s: float = LIMIT_S,
        tell: Callable[[StalledError], None] | None = None,
    ) -> None:
        self.rank, self.world, self.verdict = rank, len(names), None
        self._store, self._names, self._what, self._limit, self._tell = store, names, what, limit_s, tell
        self._entered, self._waiting = 0, ""
        self._peers = {other: _Peer() for other in range(self.world) if other != rank}
        self._rounds, self._waited = 0, 0.0
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._beat(0)
        for work in (self._beats, self._judges):
            threading.Thread(target=work, name=f"heartbeat {work.__name__}", daemon=True).start()

    verdict: StalledError | None

    @classmethod
    def connect(
        cls,
        rank: int,
        world: int,
        address: str = "127.0.0.1",
        *,
        what: str = "training",
        limit_s: float = LIMIT_S,
        tell: Callable[[StalledError], None] | None = None,
    ) -> Heartbeat:
        """Among the workers of the process group, which all call it. address: where they find rank 0."""
        wait = timedelta(seconds=limit_s)
        store = _store(address, 0, wait) if rank == 0 else None
        mine = (f"worker {rank} of {world} on {socket.gethostname()} (process {os.getpid()})", store and store.port)
        told: list[Any] = [None] * world
        dist.all_gather_object(told, mine)
        if store is None:
            store = _store(address, told[0][1], wait)
        store.set(str(rank), "0|0||0")
        dist.barrier()  # from here on every key is there
        return cls(store, rank, [name for name, _ in told], what=what, limit_s=limit_s, tell=tell)

    def wait(self, work: Any, operation: str) -> None:
        """Wait for a message under way. Raises StalledError when a worker keeps everybody waiting."""
        with self._lock:
            self._entered, self._waiting, self._waited = self._entered + 1, operation, 0.0
        try:
            while not _is_done(work, EVERY_S):
                if self.verdict is not None:
                    raise self.verdict
        finally:
            with self._lock:
                self._waiting = ""

    def close(self) -> None:
        """No more signs of life, and no more judgements."""
        self._ended.set()

    def _beats(self) -> None:
        number, before = 0, time.monotonic()
        while not self._ended.wait(EVERY_S):
            number += 1
            now = time.monotonic()
            # A round that took long, or a process that was stopped meanwhile, counts as two at the most.
            elapsed, before = min(now - before, 2 * EVERY_S), now
            try:
                self._beat(number, elapsed)
            except RuntimeError:
                return  # rank 0's process is gone, which the messages under way say by themselves

    def _beat(self, number: int, elapsed: float = 0.0) -> None:
        with self._lock:
            entered, waiting = self._entered, self._waiting
        self._store.set(str(self.rank), f"{number}|{entered}|{waiting}|{work_done():.2f}")
        found = self._store.multi_get([str(other) for other in self._peers])
        with self._lock:
            for peer, said in zip(self._peers.values(), found, strict=True):
                peer.hear(said.decode(), elapsed)
            self._rounds += 1

    def _judges(self) -> None:
        seen, stuck = 0, 0.0
        while not self._ended.wait(EVERY_S):
            with self._lock:
                stuck = 0.0 if self._rounds != seen else stuck + EVERY_S
                seen = self._rounds
                self._waited += EVERY_S
                found = self._judge(stuck)
            if found is None:
                continue
            self.verdict = found
            if self._tell is not None:
                self._tell(found)
            if not self._ended.wait(GRACE_S):
                os._exit(found.exit_code)
            return

    def _judge(self, stuck: float) -> StalledError | None:
        """stuck: for how long the store, which rank 0 serves, has not answered."""
        if self.rank and stuck > self._limit:
            return self._error(0, f"no answer for {stuck:.0f} s")
        for other, peer in self._peers.items():
            if peer.silent > self._limit:
                return self._error(other, f"no answer for {peer.silent:.0f} s")
        if not self._waiting or self._waited <= self._limit:
            return None
        mine = f"message {self._entered} ({self._waiting})"
        for other, peer in self._peers.items():
            if peer.still > self._limit and peer.idle and not peer.waiting:
                return self._error(other, f"nothing done for {peer.still:.0f} s, while others wait for it")
        if all(peer.still > self._limit and peer.idle and peer.waiting for peer in self._peers.values()):
            # The one that lags, or where all are in the same place, the first of the others.
            other, peer = min(self._peers.items(), key=lambda pair: pair[1].entered)
            there = f"message {peer.entered} ({peer.waiting})"
            return self._error(other, f"one that waits in {there} for {peer.still:.0f} s, while others do in {mine}")
        return None

    def _error(self, rank: int, got: str) -> StalledError:
        return StalledError(f"{self._what}: {self._names[rank]}", got=got, remedy=_REMEDY)


def _store(address: str, port: int, timeout: timedelta) -> Any:
    """A connection to the store; port 0: the store itself, on a free one."""
    store = dist.TCPStore  # type: ignore[attr-defined]  # it says so nowhere, and is documented
    return store(address, port, is_master=port == 0, wait_for_workers=False, timeout=timeout)


def _is_done(work: Any, seconds: float) -> bool:
    """Wait so long for a message. Raises what it failed with."""
    try:
        work.wait(timeout=timedelta(seconds=seconds))
    except RuntimeError:
        if not work.is_completed():
            return False
        work.wait()
    return True
