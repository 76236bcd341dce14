"""The actor pool: results in order, dead actors replaced, errors of a task passed on as they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.on_ray.actors import MAX_ATTEMPTS
from tests.end_to_end.harness import ROOM, execute

SCRIPT = """
import json, os, sys, time
from pathlib import Path

from csrms_dist.errors import DataError
from ray_jobs.on_ray.actors import ActorPool
from ray_jobs.on_ray.session import ray_session


def square(n):
    time.sleep(0.05 * (n % 3))
    return n * n


def once_deadly(n, marker):
    # Dies at its first attempt, in the middle of the work.
    if n == 3 and not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)
    return n * n


def deadly(n, folder):
    if n == 2:
        Path(folder, str(time.monotonic_ns())).touch()
        os._exit(1)
    return n


def wrong(n):
    if n == 1:
        raise DataError("row 1", got="NaN", expected="a number")
    return n


def slow_or_wrong(n):
    time.sleep(0.5 * n)
    if n == 0:
        raise DataError("row 0")
    return n


def broken(n, folder):
    Path(folder, str(time.monotonic_ns())).touch()
    raise ZeroDivisionError("none of ours")


def failure(call):
    try:
        return {"result": call()}
    except Exception as error:
        return {"kind": type(error).__name__, "text": str(error), "code": getattr(error, "exit_code", None)}


class Taken:
    def here(self):
        return True


def here():
    return ray.get_runtime_context().get_node_id()


said = {}
with ray_session(3):
    import ray

    pool = ActorPool(2, "cluster", "a run")
    said["named"] = [ray.get(ray.get_actor(f"cluster[{n}] of a run").here.remote()) == here() for n in (0, 1)]
    said["squares"] = pool.map(square, [(n,) for n in range(9)])
    said["nothing"] = pool.map(square, [])
    said["replaced before"] = pool.replaced
    said["after a death"] = pool.map(once_deadly, [(n, "marker") for n in range(6)])
    said["replaced after"] = pool.replaced
    said["named again"] = bool(ray.get_actor("cluster[0] of a run") or ray.get_actor("cluster[1] of a run"))
    said["again"] = pool.map(square, [(n,) for n in range(4)])
    said["wrong"] = failure(lambda: pool.map(wrong, [(n,) for n in range(3)]))
    said["a slow one left alone"] = failure(lambda: pool.map(slow_or_wrong, [(n,) for n in range(2)]))
    Path("broken").mkdir()
    said["broken"] = failure(lambda: pool.map(broken, [(0, "broken")]))
    said["after errors"] = pool.map(square, [(n,) for n in range(4)])
    pool.close()
    Path("deaths").mkdir()
    pool = ActorPool(2, "cluster", "a run")  # the names may not be free yet
    said["deadly"] = failure(lambda: pool.map(deadly, [(n, "deaths") for n in range(4)]))
    pool.close()
    taken = ray.remote(num_cpus=1)(Taken).remote()
    ray.get(taken.here.remote())
    few = ActorPool(int(ray.cluster_resources()["CPU"]))  # one more than there is room for
    said["more actors than CPUs"] = few.map(square, [(n,) for n in range(5)])
    few.close()
said["attempts"] = len(list(Path("deaths").iterdir()))
said["attempts at broken"] = len(list(Path("broken").iterdir()))
print(json.dumps(said))
"""


pytestmark = ROOM


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pool")
    (folder / "pool.py").write_text(SCRIPT)
    finished = execute([sys.executable, "pool.py"], folder)
    assert finished.code == 0, finished.err
    assert Path(folder, "marker").exists()
    said = json.loads(finished.out.splitlines()[-1])
    return said | {"streams": [*finished.out.splitlines()[:-1], *finished.err.splitlines()]}


def test_results_come_in_the_order_of_the_tasks(said: Any) -> None:
    assert said["squares"] == [n * n for n in range(9)]
    assert said["nothing"] == []
    assert said["replaced before"] == 0


def test_a_dead_actor_is_replaced_and_its_task_runs_again(said: Any) -> None:
    assert said["after a death"] == [n * n for n in range(6)]
    assert said["replaced after"] == 1
    assert said["again"] == [0, 1, 4, 9]


def test_a_task_that_kills_every_actor_is_an_error_of_the_cluster(said: Any) -> None:
    assert said["deadly"]["kind"] == "ClusterError"
    assert said["deadly"]["code"] == 6
    assert f"task 2 of deadly: got {MAX_ATTEMPTS} dead actors" in said["deadly"]["text"]
    assert said["attempts"] == MAX_ATTEMPTS


def test_an_error_of_a_task_is_passed_on_and_not_tried_again(said: Any) -> None:
    assert said["wrong"] == {"kind": "DataError", "text": "row 1: got NaN, expected a number", "code": 3}
    assert said["broken"]["kind"] == "ZeroDivisionError"
    assert said["attempts at broken"] == 1
    assert said["after errors"] == [0, 1, 4, 9]


def test_actors_bear_names_and_stand_on_a_node(said: Any) -> None:
    assert said["named"] == [True, True]
    assert said["named again"]


def test_actors_that_find_no_room_keep_no_task_waiting(said: Any) -> None:
    assert said["more actors than CPUs"] == [0, 1, 4, 9, 16]


def test_a_task_that_was_under_way_when_another_failed_blocks_nobody(said: Any) -> None:
    assert said["a slow one left alone"]["text"] == "row 0"
    assert said["after errors"] == [0, 1, 4, 9]


def test_a_dead_actor_puts_nothing_between_the_results_of_a_command(said: Any) -> None:
    assert said["streams"] == []
