"""A loader, and the Neo4j server itself, killed at random moments: the old run stays, a retry completes, once each."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from csrms_dist.hierarchy.snapshot import equal
from graphstore.embedded.store import EmbeddedStore
from graphstore.store import GraphStore
from tests.contract.conftest import ENGINES
from tests.contract.hierarchies import ask, totals
from tests.contract.neo4j_server import ROOT, Connection, server, server_for_tests, start
from tests.faults.publisher import addition_of, run_of

N, KILLS, SERVER_KILLS, IN_A_ROW = 20_000, 50, 10, 5
FEW_ROWS, FEW = 6_000, 2


@dataclass
class Place:
    """Where the publisher publishes to, and a store that reads there."""

    folder: str
    variables: dict[str, str]
    store: GraphStore
    n: int = FEW_ROWS

    def publisher(self, name: str) -> subprocess.Popen[str]:
        """A publisher that is about to begin."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.publisher", self.folder, name, str(self.n)],
            cwd=ROOT, env={**os.environ, **self.variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n", process.communicate()[1]
        return process

    def publish(self, name: str) -> float:
        """Publish without disturbance; the seconds that it took."""
        process, started = self.publisher(name), time.monotonic()
        out, errors = process.communicate()
        assert (process.returncode, out) == (0, "done\n"), errors
        return time.monotonic() - started


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "embedded":
        with EmbeddedStore(tmp_path / "graph") as store:
            yield Place(str(store.folder), {}, store)
        return
    with server_for_tests(tmp_path / "neo4j") as connection:
        connection.wipe()
        with connection.store() as store:
            yield Place("-", connection.variables, store)


class Trial:
    """The old run live, the new one published again and again, and what must hold after each kill."""

    def __init__(self, place: Place) -> None:
        self.place, self.store = place, place.store
        self.old, self.new = run_of("old", place.n), run_of("new", place.n)
        place.publish("old")
        self.life = place.publish("new")
        self.both = totals(self.store, timeout_s=60)
        self.undo()
        self.killed = 0

    def undo(self) -> None:
        """Back to the old run alone."""
        self.store.go_live(self.old.run_key)
        self.store.retire(self.new.run_key)

    def check_old(self) -> None:
        self.store.close()
        assert self.store.live_run() == self.old.run_key
        assert equal(self.store.export(self.old.run_key), self.old.hierarchy)

    def complete(self) -> None:
        """A retry brings the new run, and nothing twice."""
        self.place.publish("new")
        assert self.store.live_run() == self.new.run_key
        assert equal(self.store.export(self.new.run_key), self.new.hierarchy)
        assert equal(self.store.export(self.old.run_key), self.old.hierarchy)
        assert totals(self.store, timeout_s=60) == self.both
        self.undo()

    def kill_a_publisher(self, moment: float) -> bool:
        """Whether it was killed before it was done."""
        process = self.place.publisher("new")
        time.sleep(moment * self.life)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        if "done" in out:
            self.life *= 0.7  # a warm store publishes faster than it did the first time
            self.undo()
            return False
        if self.store.live_run() == self.new.run_key:  # killed between the switch and its answer
            self.complete()
        self.killed += 1
        return True


def kill_publishers(place: Place, kills: int) -> None:
    """Kill loaders at random moments; complete now and then, and at the end."""
    trial, draw = Trial(place), random.Random(0)
    tries = 0
    while trial.killed < kills:
        tries += 1
        assert tries < 3 * kills, "the publisher ends before it can be killed"
        if trial.kill_a_publisher(draw.random()):
            trial.check_old()
            if trial.killed % IN_A_ROW == 0:
                trial.complete()
    trial.complete()


def test_killed_loaders(place: Place) -> None:
    kill_publishers(place, FEW)


def test_killed_additions(place: Place) -> None:
    place.publish("old")
    graph, run, store = run_of("old", place.n).hierarchy, run_of("old", place.n).run_key, place.store
    before, life = totals(store, timeout_s=60), place.publish("1")
    one = totals(store, timeout_s=60)
    mistakes = [row["key"] for row in ask(store, "mistakes", run=run, addition="", top=1000)]
    draw = random.Random(0)
    for _ in range(FEW):
        process = place.publisher("2")
        time.sleep(draw.random() * life)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        store.close()
        assert equal(store.export(run), graph)
        ready = [info.key for info in store.additions(run) if info.status == "ready"]
        assert ready[:1] == [addition_of("1", place.n).key]
        if ready[1:]:  # killed between the last step and its answer, or too late
            break
        assert [row["key"] for row in ask(store, "mistakes", run=run, addition="", top=1000)] == mistakes
    place.publish("2")
    two = totals(store, timeout_s=60)
    assert {name: n - one[name] for name, n in two.items()} == {name: n - before[name] for name, n in one.items()}
    assert one["Instance"] - before["Instance"] == place.n // 2
    assert {info.status for info in store.additions(run)} == {"ready"}
    assert equal(store.export(run), graph)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_killed_loaders(place: Place) -> None:
    place.n = N
    kill_publishers(place, KILLS)


def kill_servers(home: Path, n: int, kills: int) -> None:
    """Kill the server while a loader is at work, start it again; the loader waits for it or says what happened."""
    connection = start(home)
    try:
        with connection.store() as store:
            trial, draw = Trial(Place("-", connection.variables, store, n)), random.Random(1)
            for _ in range(kills):
                process = trial.place.publisher("new")
                time.sleep(draw.random() * trial.life)
                os.kill(pid_of(home), signal.SIGKILL)
                again = start(home)
                assert again == connection  # so that a loader that is patient finds it again
                _, errors = process.communicate()
                assert process.returncode in (0, 5), errors
                if process.returncode:
                    assert "no answer from" in errors
                    assert errors.count("\n") == 1
                    trial.check_old()
                trial.complete()
    finally:
        assert server("stop", home).returncode == 0


def pid_of(home: Path) -> int:
    done = server("status", home)
    assert done.returncode == 0, done.stderr
    return int(next(word for word in done.stdout.replace(",", " ").split() if word.isdigit()))


@pytest.mark.neo4j
def test_a_killed_server(tmp_path: Path) -> None:
    kill_servers(tmp_path / "neo4j", FEW_ROWS, 1)


@pytest.mark.neo4j
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_killed_servers(tmp_path: Path) -> None:
    kill_servers(tmp_path / "neo4j", N, SERVER_KILLS)


@pytest.mark.slow
@pytest.mark.parametrize("readers", [4])
def test_readers_see_the_old_or_the_new_run_whole(place: Place, readers: int) -> None:
    place.publish("old")
    reading = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.reader", place.folder, str(place.n)],
            cwd=ROOT, env={**os.environ, **place.variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(readers)
    ]  # fmt: skip
    for process in reading:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == run_of("old", place.n).run_key
    place.publish("new")
    for process in reading:
        out, errors = process.communicate("stop\n")
        assert process.returncode == 0, errors
        seen = out.split()
        assert seen[-1] == run_of("new", place.n).run_key  # the last look was after the publication
        assert set(seen) <= {run_of("old", place.n).run_key, run_of("new", place.n).run_key}


def test_connections_hide_the_password() -> None:
    assert "hidden" not in repr(Connection("bolt://localhost", "neo4j", "hidden", "neo4j"))
