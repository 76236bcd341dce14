"""Who runs the tasks of a stage: this process, or a pool of Ray actors that outlives its actors.

A task is a pure function of its arguments, so who runs it, in which order and how often changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from csrms_dist.art.two_level.executors import Executor, SerialExecutor
from csrms_dist.basics.listening import Tallied, tell
from csrms_dist.errors import ClusterError, require
from ray_jobs.on_ray.session import ray_session, uses_ray

MAX_ATTEMPTS = 4


@contextmanager
def executor_of(hands: int, slots: int) -> Iterator[Executor]:
    """This process for one pair of hands, else as many Ray actors in a session of `slots` CPUs; see `uses_ray`."""
    if not uses_ray(hands):
        yield SerialExecutor()
        return
    with ray_session(slots):
        pool = ActorPool(hands)
        yield pool
        pool.close()


class _Worker:
    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return function(*arguments)


class ActorPool:
    """`map` over `actors` Ray actors, of which dead ones are replaced and their tasks run again.

    Raises ClusterError when a task has lost its actor `MAX_ATTEMPTS` times. Errors of the task itself are raised as
    they are and not tried again.
    """

    def __init__(self, actors: int) -> None:
        self._ray = require("ray")
        self._kind = self._ray.remote(num_cpus=1, max_restarts=0)(_Worker)
        self._actors = [self._kind.remote() for _ in range(actors)]
        self.replaced = 0

    def map(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        after: Callable[[int], None] | None = None,
    ) -> list[Any]:
        """function(*task) for each task, results in the order of the tasks; `after` hears of each that is done."""
        results: list[Any] = [None] * len(tasks)
        waiting = deque((number, 1) for number in range(len(tasks)))
        idle = deque(range(len(self._actors)))
        running: dict[Any, tuple[int, int, int]] = {}
        while waiting or running:
            while waiting and idle:
                place, (number, attempt) = idle.popleft(), waiting.popleft()
                reference = self._actors[place].run.remote(function, tasks[number])
                running[reference] = (place, number, attempt)
            [reference], _ = self._ray.wait(list(running), num_returns=1)
            place, number, attempt = running.pop(reference)
            try:
                results[number] = self._ray.get(reference)
                if after is not None:
                    after(number)
            except self._ray.exceptions.RayActorError as error:
                if attempt == MAX_ATTEMPTS:
                    raise ClusterError(
                        f"task {number} of {function.__name__}", got=f"{attempt} dead actors",
                        expected="an actor that lives", remedy="look for out-of-memory kills in Ray's logs",
                    ) from error  # fmt: skip
                self._actors[place] = self._kind.remote()
                self.replaced += 1
                tell(Tallied("retries", 1))
                waiting.appendleft((number, attempt + 1))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
            idle.append(place)
        return results

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            self._ray.kill(actor)
