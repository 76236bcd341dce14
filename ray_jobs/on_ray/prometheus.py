"""Figures of a run among Ray's own metrics, which every node of Ray offers to Prometheus.

Ray names them with `ray_` before: `ray_csrms_loss`. Only what happens while Ray runs is exported, and nothing is loaded
or started for it: a run that needs no Ray has no endpoint.
"""

from __future__ import annotations

import sys
from typing import Any

from csrms_dist.basics.listening import Event, Measured, Shown, Tallied, Warned

GAUGES = {
    "csrms_stage_done": "share of a stage that is done",
    "csrms_epoch": "epochs of a training that are done",
    "csrms_loss": "loss of the last epoch",
    "csrms_accuracy": "accuracy of a head on the training images of the last epoch",
    "csrms_bytes": "bytes of a stage's artefact",
    "csrms_seconds": "seconds that a stage took",
}
COUNTERS = {
    "csrms_rows_total": "rows or images that a stage has seen",
    "csrms_retries_total": "tasks and trainings that were begun again after a worker was lost",
    "csrms_warnings_total": "warnings",
}
ACCURACY = "_accuracy"
HEADS = ("csrms_accuracy",)
"""Metrics that are told apart by head too."""


class Prometheus:
    """Hears the events of one run, on the driver."""

    def __init__(self, run: str) -> None:
        self._run, self._stage = run, ""
        self._metrics: dict[str, Any] = {}

    def enter(self, stage: str) -> None:
        """What is heard from now on is of this stage."""
        self._stage = stage
        self._set("csrms_stage_done", 0.0)

    def done(self, figures: dict[str, float]) -> None:
        """The stage is whole."""
        self._set("csrms_stage_done", 1.0)
        for name in ("bytes", "seconds"):
            if name in figures:
                self._set(f"csrms_{name}", figures[name])

    def hear(self, event: Event) -> None:
        """Whatever is told while the run runs."""
        match event:
            case Shown() if event.total and event.work == self._stage:
                self._set("csrms_stage_done", min(event.done / event.total, 1.0))
            case Measured():
                self._set("csrms_epoch", float(event.step))
                for name, value in event.figures.items():
                    if name == "loss":
                        self._set("csrms_loss", value)
                    elif name.endswith(ACCURACY):
                        self._set("csrms_accuracy", value, head=name.removesuffix(ACCURACY))
                self._add("csrms_rows_total", event.figures.get("images", 0.0))
            case Tallied():
                self._add(f"csrms_{event.name}_total", event.amount)
            case Warned():
                self._add("csrms_warnings_total", 1.0)

    def _set(self, name: str, value: float, **tags: str) -> None:
        if (metric := self._metric(name)) is not None:
            metric.set(value, {"run": self._run, "stage": self._stage, **tags})

    def _add(self, name: str, amount: float) -> None:
        if amount > 0 and (metric := self._metric(name)) is not None:
            metric.inc(amount, {"run": self._run, "stage": self._stage})

    def _metric(self, name: str) -> Any:
        """None where Ray does not run in this process."""
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return None
        if name not in self._metrics:
            from ray.util.metrics import Counter, Gauge

            kind, said = (Gauge, GAUGES[name]) if name in GAUGES else (Counter, COUNTERS[name])
            tags = ("run", "stage", "head") if name in HEADS else ("run", "stage")
            self._metrics[name] = kind(name, description=said, tag_keys=tags)
        return self._metrics[name]
