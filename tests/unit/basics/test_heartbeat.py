"""Who is silent, idle, or in another message than the others is named; who works or merely sleeps with all is not.

The workers are threads on one store; real processes that are stopped: tests/faults/test_stalls.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from csrms_dist.basics import heartbeat
from csrms_dist.basics.heartbeat import Heartbeat, work_done
from csrms_dist.errors import StalledError

LIMIT_S = 0.4


class Message:
    """A message under way, until `done` is set."""

    def __init__(self, error: str = "") -> None:
        self.done, self.error = threading.Event(), error

    def is_completed(self) -> bool:
        return self.done.is_set()

    def wait(self, timeout: timedelta | None = None) -> None:
        if not self.done.wait(timeout.total_seconds() if timeout else None):
            raise RuntimeError("Operation timed out!")
        if self.error:
            raise RuntimeError(self.error)


class Workers:
    """Heartbeats of several workers in this process, and what they found."""

    def __init__(self, world: int) -> None:
        store, names = dist.HashStore(), [f"worker {rank} of {world}" for rank in range(world)]
        for rank in range(world):
            store.set(str(rank), "0|0||0")
        self.told: list[str] = []
        self.errors: dict[int, BaseException] = {}
        self.hearts = [
            Heartbeat(store, rank, names, limit_s=LIMIT_S, tell=lambda error: self.told.append(str(error)))
            for rank in range(world)
        ]
        self._waits: list[tuple[threading.Thread, Message]] = []

    def enter(self, rank: int, operation: str) -> Message:
        """A worker waits in a message, on a thread of its own."""
        message = Message()

        def wait() -> None:
            try:
                self.hearts[rank].wait(message, operation)
            except StalledError as error:
                self.errors[rank] = error

        thread = threading.Thread(target=wait)
        thread.start()
        self._waits.append((thread, message))
        return message

    def end(self) -> None:
        for heart in self.hearts:
            heart.close()
        for _, message in self._waits:
            message.done.set()
        for thread, _ in self._waits:
            thread.join()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.02)
    monkeypatch.setattr(heartbeat, "GRACE_S", 60.0)
    # What this process does itself would be the work of all workers here.
    busy = [0.0]
    monkeypatch.setattr(heartbeat, "work_done", lambda: busy[0])
    groups: list[Workers] = []

    def make(world: int) -> Workers:
        groups.append(Workers(world))
        return groups[-1]

    make.busy = busy  # type: ignore[attr-defined]
    yield make
    for group in groups:
        group.end()


def until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("gone", [0, 2])
def test_a_silent_worker_is_named_to_all_who_wait(made: Any, gone: int) -> None:
    workers = made(3)
    waiting = [rank for rank in range(3) if rank != gone]
    for rank in waiting:
        workers.enter(rank, "sum")
    workers.hearts[gone].close()
    until(lambda: len(workers.errors) == 2)
    for rank in waiting:
        assert str(workers.errors[rank]).startswith(f"training: worker {gone} of 3: got no answer for ")
        assert workers.errors[rank].exit_code == 6
    assert len(workers.told) == 2


def test_a_worker_that_works_is_waited_for_and_one_that_does_nothing_is_not(made: Any) -> None:
    workers = made(2)
    message = workers.enter(0, "barrier")
    for _ in range(25):  # much longer than the limit
        made.busy[0] += 0.02
        time.sleep(0.02 * 2)
    assert workers.hearts[0].verdict is None
    until(lambda: 0 in workers.errors)
    assert "worker 1 of 2: got nothing done for " in str(workers.errors[0])
    assert not message.is_completed()


def test_workers_in_different_messages_are_told_apart(made: Any) -> None:
    workers = made(2)
    first = workers.enter(0, "sum")
    first.done.set()
    until(lambda: not workers.hearts[0]._waiting)
    workers.enter(0, "barrier")
    workers.enter(1, "sum")
    until(lambda: len(workers.errors) == 2)
    said = str(workers.errors[0])
    assert "worker 1 of 2: got one that waits in message 1 (sum) for " in said
    assert "others do in message 2 (barrier)" in said


def test_messages_that_end_are_no_stall(made: Any) -> None:
    workers = made(2)
    for _ in range(3):
        messages = [workers.enter(rank, "sum") for rank in (0, 1)]
        time.sleep(LIMIT_S / 2)
        for message in messages:
            message.done.set()
        until(lambda: not any(heart._waiting for heart in workers.hearts))
    assert workers.told == []
    assert workers.errors == {}


def test_what_a_message_failed_with_is_passed_on(made: Any) -> None:
    workers = made(2)
    message = Message("Connection closed by peer")
    message.done.set()
    with pytest.raises(RuntimeError, match="Connection closed by peer"):
        workers.hearts[0].wait(message, "sum")


def test_work_is_time_on_a_processor_and_bytes(tmp_path: Path) -> None:
    before = work_done()
    (tmp_path / "some").write_bytes(bytes(30_000_000))
    assert work_done() - before >= 3
    started, middle = time.process_time(), work_done()
    while time.process_time() - started < 0.05:
        pass
    assert work_done() - middle >= 0.05


def test_a_process_that_slept_itself_accuses_nobody(made: Any) -> None:
    """Rounds are counted, each for two at the most: waking after a minute, it has heard nobody for two rounds."""
    peer = heartbeat._Peer()
    peer.hear("1|0||0", 0.02)
    peer.hear("1|0||0", min(60.0, 2 * heartbeat.EVERY_S))
    assert peer.silent < LIMIT_S
