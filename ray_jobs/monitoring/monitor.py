"""Follows a run: tells its log, its loggers and Ray's metrics what the work says of itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.artefacts.log_file import read_log
from csrms_dist.artefacts.names import LOG
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.listening import Event, Measured, Shown, Tallied, Warned, listening
from ray_jobs.monitoring.figures import stage_figures
from ray_jobs.monitoring.process import this_process
from ray_jobs.monitoring.run_log import RunLog
from ray_jobs.monitoring.trackers import Trackers
from ray_jobs.on_ray.prometheus import Prometheus
from ray_jobs.sentences import sentence_of
from ray_jobs.settings import RunSettings
from ray_jobs.stopping import stopping

SHOWN_DIGITS = 12
"""Of a fingerprint, in the log."""
NO_RESULT = ("name", "loggers")
DONE_BEFORE, LEFT_OUT = "done before", "left out, for the images have no labels"


class Monitor:
    """Of one attempt.

    inputs: of the stages that the attempt has, in order, the fingerprints of their inputs.
    """

    def __init__(self, run: RunDirectory, settings: RunSettings, attempt: int, inputs: Mapping[str, str]) -> None:
        self._run, self._plan = run, {stage: text[:SHOWN_DIGITS] for stage, text in inputs.items()}
        values = settings.as_mapping()
        decisive = {key: value for key, value in values.items() if key not in NO_RESULT}
        # The first stage's inputs carry the digest of the data.
        self._key = fingerprint(run.uri, decisive, *list(inputs.values())[:1])[:SHOWN_DIGITS]
        self._measured: dict[tuple[str, str], set[int]] = {}
        self._whole: dict[tuple[str, str], dict[str, float]] = {}
        for line in read_log(run, LOG):
            result = line.get("stage", ""), line.get("inputs", "")
            if line.get("event") == "measured":
                self._measured.setdefault(result, set()).add(line["step"])
            elif line.get("event") == "done" and "figures" in line:
                self._whole[result] = line["figures"]
                self._measured.pop(result, None)  # whoever trains it again begins with the first epoch
        self.log = RunLog(run, settings.name, attempt)
        self._trackers = Trackers(run, settings.loggers, settings.name, self._key, values)
        self._prometheus = Prometheus(settings.name)
        self._stage = ""
        self._waiting: list[str] = []
        self._tallies: dict[str, float] = {}

    def begin(self, waiting: Collection[str], earlier: Iterable[Event]) -> None:
        """The attempt begins: some stages are waiting, the others are done; warnings came while it was prepared."""
        loggers = self._trackers.names
        self.log.write("started", stage=None, stages=list(self._plan), process=this_process(), loggers=loggers)
        for event in earlier:
            self.hear(event)
        self._waiting = [stage for stage in self._plan if stage in waiting]
        for stage, inputs in self._plan.items():
            if stage not in self._waiting:
                self._repeat(stage)
                self.log.write("skipped", stage=stage, inputs=inputs, message=DONE_BEFORE)

    def _repeat(self, stage: str) -> None:
        """Loggers that are new to this run, or to these settings, hear of what is done too."""
        inputs = self._plan[stage]
        for report in self._run.facts(stage).get("history", ()):
            self._trackers.log(f"{stage} {inputs}", stage, _figures(report), int(report["epoch"]))
        if figures := self._whole.get((stage, inputs)):
            self._trackers.log(f"{stage} {inputs} whole", stage, figures, 1)

    @contextmanager
    def stage(self, name: str, inputs: str) -> Iterator[None]:
        """A stage's job runs in this block."""
        self._stage, self._plan[name], self._tallies = name, inputs[:SHOWN_DIGITS], {}
        self.log.enter(name)
        self.log.write("started", inputs=self._plan[name])
        self._prometheus.enter(name)
        yield

    def done(self, entry: Mapping[str, Any]) -> None:
        """The stage is whole. entry: its in run.json."""
        stage, inputs = self._stage, self._plan[self._stage]
        figures = stage_figures(self._run, stage, entry, self._tallies)
        self.log.write("done", inputs=inputs, figures=figures, **self.log.last_shown())
        self._trackers.log(f"{stage} {inputs} whole", stage, figures, 1)
        self._prometheus.done(figures)
        self._waiting.remove(stage)
        self.log.enter(None)

    def left_out(self) -> None:
        """The attempt does not come to the stages that are still waiting: as the data are, there are none."""
        for stage in self._waiting:
            self.log.write("skipped", stage=stage, message=LEFT_OUT)

    def end(self, error: BaseException | None) -> None:
        """The attempt is over, well or with an error."""
        if error is None:
            self.log.write("done", stage=None)
        elif stopping.asked or not isinstance(error, Exception):
            self.log.write("stopped", message="by Ctrl-C or SIGTERM; the same command goes on from here")
        else:
            sentence, code = sentence_of(error)
            self.log.write("failed", message=sentence, kind=type(error).__name__, exit_code=code)
        self._trackers.close()

    def hear(self, event: Event) -> None:
        """Whatever is told while the run runs."""
        if not isinstance(event, Measured):
            self._prometheus.hear(event)
        match event:
            case Shown():
                self.log.show(event)
            case Warned():
                self.log.write("warning", message=event.sentence)
            case Tallied():
                self._tallies[event.name] = self._tallies.get(event.name, 0.0) + event.amount
            case Measured():
                self._hear_step(event)

    def _hear_step(self, event: Measured) -> None:
        stage, step, figures = self._stage, event.step, _figures(event.figures)
        inputs = self._plan[stage]
        measured = self._measured.setdefault((stage, inputs), set())
        if step not in measured:  # those that are told again were counted by another attempt
            measured.add(step)
            self._prometheus.hear(event)
            self._tallies["rows"] = self._tallies.get("rows", 0.0) + event.figures.get("images", 0.0)
            self.log.write("measured", inputs=inputs, step=step, figures=figures)
        self._trackers.log(f"{stage} {inputs}", stage, figures, step)


def _figures(report: Mapping[str, float]) -> dict[str, float]:
    """Those of an epoch that are finite."""
    return {name: value for name, value in report.items() if name not in ("epoch", "images") and math.isfinite(value)}


@contextmanager
def monitored(
    run: RunDirectory,
    settings: RunSettings,
    attempt: int,
    inputs: Mapping[str, str],
    waiting: Collection[str],
    earlier: Iterable[Event] = (),
) -> Iterator[Monitor]:
    """A monitor that hears all that is told within this block, and how the block ends."""
    monitor = Monitor(run, settings, attempt, inputs)
    with monitor.log.beating(), listening(monitor.hear):
        ended: BaseException | None = None
        try:
            monitor.begin(waiting, earlier)
            yield monitor
        except BaseException as error:
            ended = error
            raise
        finally:
            monitor.end(ended)
