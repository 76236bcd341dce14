"""Who runs the tasks of a stage: this process, or a pool of Ray actors that outlives its actors and their nodes.

A task is a pure function of its arguments, so who runs it, in which order and how often changes nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from csrms_dist.art.two_level.executors import Executor, SerialExecutor
from csrms_dist.basics.progress import warn
from csrms_dist.errors import ClusterError, require
from ray_jobs.on_ray.session import ray_session, uses_ray

MAX_ATTEMPTS = 4
WAITING_S = 60.0
"""After which it is said that no actor has begun."""

_log = logging.getLogger(__name__)


@contextmanager
def executor_of(hands: int, slots: int, stage: str = "work", run: str = "") -> Iterator[Executor]:
    """This process for one pair of hands, else as many Ray actors in a session of `slots` CPUs; see `uses_ray`.

    stage, run: whose actors they are, for whoever looks at the cluster.
    """
    if not uses_ray(hands):
        yield SerialExecutor()
        return
    with ray_session(slots):
        pool = ActorPool(hands, stage, run)
        yield pool
        pool.close()


class _Worker:
    def here(self) -> str:
        """The node that it runs on."""
        return str(require("ray").get_runtime_context().get_node_id())

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return function(*arguments)


class ActorPool:
    """`map` over `actors` Ray actors, of which dead ones are replaced and their tasks run again.

    They are spread over the nodes, and one whose node is lost comes back on another. Only an actor that has begun is
    given a task: where a cluster has room for fewer than were asked for, those that there are do it all. Each bears a
    name, `cluster[3] of <run>`. Raises ClusterError when a task has lost its actor `MAX_ATTEMPTS` times, or so many
    actors in a row die before they begin. Errors of the task itself are raised as they are and not tried again.
    """

    def __init__(self, actors: int, stage: str = "work", run: str = "") -> None:
        self._ray = require("ray")
        self._kind = self._ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(_Worker)
        self._names = [f"{stage}[{place}]" + (f" of {run}" if run else "") for place in range(actors)]
        self._actors: list[Any] = [None] * actors
        self._idle: deque[int] = deque()
        self._rising: dict[Any, int] = {}
        self._stillborn = 0
        self.replaced = 0
        for place in range(actors):
            self._raise(place)

    def _raise(self, place: int) -> None:
        """Begin an actor; its place is idle when it says where it is."""
        for number in count(1):
            name = self._names[place] + (f" ({number})" if number > 1 else "")
            try:
                self._actors[place] = self._kind.options(name=name).remote()
                break
            except ValueError:  # the one before may still bear it, or another run of this name
                continue
        self._rising[self._actors[place].here.remote()] = place

    def _risen(self, reference: Any) -> None:
        place = self._rising.pop(reference)
        try:
            node = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            self._stillborn += 1
            if self._stillborn == MAX_ATTEMPTS:
                raise ClusterError(
                    self._names[place], got=f"{MAX_ATTEMPTS} actors in a row that died before they began",
                    expected="an actor that lives", remedy="look into Ray's logs of that node",
                ) from error  # fmt: skip
            self._raise(place)
            return
        self._stillborn = 0
        self._idle.append(place)
        _log.info("%s works on node %s", self._names[place], node)

    def map(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        after: Callable[[int], None] | None = None,
    ) -> list[Any]:
        """function(*task) for each task, results in the order of the tasks; `after` hears of each that is done."""
        running: dict[Any, tuple[int, int, int]] = {}
        try:
            return self._map(function, tasks, after, running)
        finally:
            for place, _, _ in running.values():  # after an error: idle again when they have done what they are at
                self._rising[self._actors[place].here.remote()] = place

    def _map(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        after: Callable[[int], None] | None,
        running: dict[Any, tuple[int, int, int]],
    ) -> list[Any]:
        """running: by the task's reference its actor's place, its number and its attempt."""
        results: list[Any] = [None] * len(tasks)
        waiting = deque((number, 1) for number in range(len(tasks)))
        told = False
        while waiting or running:
            while waiting and self._idle:
                place, (number, attempt) = self._idle.popleft(), waiting.popleft()
                reference = self._actors[place].run.remote(function, tasks[number])
                running[reference] = (place, number, attempt)
            found, _ = self._ray.wait([*running, *self._rising], num_returns=1, timeout=WAITING_S)
            if not found:
                if not running and not told:
                    told = True
                    warn(f"{self._names[0]}: waiting for a free CPU, of which an actor needs one")
                continue
            [reference] = found
            if reference in self._rising:
                self._risen(reference)
                continue
            place, number, attempt = running.pop(reference)
            try:
                results[number] = self._ray.get(reference)
                if after is not None:
                    after(number)
            except (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError) as error:
                _log.info(
                    "%s: lost in task %d of %s, attempt %d", self._names[place], number, function.__name__, attempt
                )
                self._ray.kill(self._actors[place])  # of one whose result is lost, too
                self._raise(place)
                self.replaced += 1
                if attempt == MAX_ATTEMPTS:
                    raise ClusterError(
                        f"task {number} of {function.__name__}", got=f"{attempt} dead actors",
                        expected="an actor that lives", remedy="look for out-of-memory kills in Ray's logs",
                    ) from error  # fmt: skip
                waiting.appendleft((number, attempt + 1))
                continue
            except self._ray.exceptions.RayTaskError as error:
                self._idle.append(place)
                raise error.cause from error
            self._idle.append(place)
        return results

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            self._ray.kill(actor)
