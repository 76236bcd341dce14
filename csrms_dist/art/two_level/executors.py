"""Who runs the tasks of a sharded clustering: this process, its threads, or whatever offers `map` (Ray actors do)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
After = Callable[[int], None]


class Executor(Protocol):
    """Runs tasks. Assumes that a task may run in any process, in any order, and more than once."""

    def map(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], after: After = ...) -> list[T]:
        """function(*task) for each task, in the order of the tasks; `after` hears the number of each that is done."""
        ...


class SerialExecutor:
    """One task after the other, in this process."""

    def map(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], after: After | None = None) -> list[T]:
        results = []
        for number, task in enumerate(tasks):
            results.append(function(*task))
            if after is not None:
                after(number)
        return results


class ThreadExecutor:
    """Threads of this process: the compiled loops run without the interpreter's lock."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def map(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], after: After | None = None) -> list[T]:
        with ThreadPoolExecutor(self.threads) as pool:
            running = [pool.submit(function, *task) for task in tasks]
            results = []
            for number, future in enumerate(running):
                results.append(future.result())
                if after is not None:
                    after(number)
            return results
