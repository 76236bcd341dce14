"""Small hand-written objects that stand at a port of the library."""

from __future__ import annotations

from typing import Any

from csrms_dist.basics.collective import Collective
from csrms_dist.methods.protocol import Batch, BatchOutcome, Method


class PassingOn:
    """A method that passes everything on to another; tests override what they want to see or to spoil."""

    def __init__(self, method: Method) -> None:
        self.method, self.module, self.objective = method, method.module, method.objective
        self.edge_types, self.more_view = method.edge_types, method.more_view

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        return self.method.batch(batch, collective)

    def more_rows(self, rows: Any, global_rows: Any, subgraph: Any) -> Any:
        return self.method.more_rows(rows, global_rows, subgraph)

    def begin_epoch(self, history: Any, epochs: int, collective: Collective) -> None:
        self.method.begin_epoch(history, epochs, collective)

    def end_epoch(self, collective: Collective) -> None:
        self.method.end_epoch(collective)

    def state_dict(self) -> dict[str, Any]:
        return self.method.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state)

    def part_state(self) -> dict[str, Any]:
        return self.method.part_state()

    def load_part_state(self, state: dict[str, Any]) -> None:
        self.method.load_part_state(state)
