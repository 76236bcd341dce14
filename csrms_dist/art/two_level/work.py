"""The means of one clustering: its plan, the keys of its rows, who runs its tasks, where its steps are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from csrms_dist.art.scaling import BLOCK
from csrms_dist.art.two_level.executors import Executor, SerialExecutor
from csrms_dist.art.two_level.plan import TwoLevel
from csrms_dist.art.two_level.report import Report
from csrms_dist.art.two_level.selection import RowKeys, learning_rows
from csrms_dist.art.two_level.steps import Arrays, Checkpoint
from csrms_dist.basics.arrays import I64

MAX_RANGES = 64  # tasks of one pass over the rows, so that the recentring sums of all of them fit in memory


class Work:
    """The work on one clustering. Finished steps are kept in `folder`, and those that are there already are read.

    plan, keys: what decides the result beside the rows.
    folder: a folder that every worker can read and write.
    inputs: what names the rows, as JSON can hold it, so that the steps of other rows are not taken for theirs.
    executor: who runs the tasks, this process by default.
    report: who hears of the phases, nobody by default.
    """

    def __init__(
        self,
        plan: TwoLevel,
        keys: RowKeys,
        folder: Path,
        inputs: Any,
        executor: Executor | None = None,
        report: Report | None = None,
    ) -> None:
        self.plan, self.keys, self.folder = plan, keys, folder
        self.executor, self.report = executor or SerialExecutor(), report or Report()
        self.steps = Checkpoint(folder, [repr(plan), inputs])

    def select(self) -> tuple[I64, I64]:
        """The rows to learn (R,), shard after shard, and the first of each shard (V + 1,)."""

        def made() -> Arrays:
            rows, first = learning_rows(self.keys, self.plan.shards, self.plan.learn_rows)
            return {"rows": rows, "first": first}

        kept = self.steps.step("selected", made)
        return kept["rows"], kept["first"]


def ranges(n: int) -> list[tuple[int, int]]:
    """At most MAX_RANGES ranges of whole blocks of n rows; what is computed does not depend on them."""
    step = -(-n // (BLOCK * MAX_RANGES)) * BLOCK
    return [(start, min(n, start + step)) for start in range(0, n, step)]
