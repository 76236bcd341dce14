"""The whole pipeline as one function: every stage that is not done yet, in order."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.names import METRICS, RECORD
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.encoders.make import architecture_of
from csrms_dist.errors import ConfigError, DataError, require
from csrms_dist.evaluation.scores import check_metrics
from csrms_dist.methods.known import part
from csrms_dist.methods.protocol import Stage
from csrms_dist.run_contents import RunContents
from graphstore.bundle import empty_folder
from ray_jobs.memory import Peak, watched
from ray_jobs.on_ray.session import shared_session
from ray_jobs.places import RUNS, run_directory
from ray_jobs.settings import RunSettings, load_settings
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.graph import write_bundle
from ray_jobs.stages.table import fingerprints, needed_for, stages_of
from ray_jobs.stages.versions import versions


@dataclass(frozen=True)
class RunResult:
    """run: its directory. metrics: metrics.json, empty when the run ended before `evaluate`. done: stages executed."""

    run: RunDirectory
    settings: RunSettings
    metrics: dict[str, Any]
    done: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """The work of a command: its stages in order, and the fingerprint of the inputs of each."""

    settings: RunSettings
    directory: RunDirectory
    stages: tuple[Stage, ...]
    inputs: Mapping[str, str]


def prepare(
    config: str | Path | RunSettings,
    out: str | Path | None,
    overrides: tuple[str, ...],
    *,
    control: bool,
    until: str | None = None,
) -> Work:
    """Read a configuration and refuse what cannot work, before any stage starts."""
    settings = config if isinstance(config, RunSettings) else load_settings(config, overrides)
    stages = stages_of(settings, control=control)
    if until is not None:
        stages = needed_for(until, stages)
    if settings.features.path and not Path(settings.features.path).is_file():
        raise DataError(
            "features.path",
            got=f"{settings.features.path}, which is not a file",
            expected="a Parquet file of id and vector",
        )
    if control and not settings.features.path:
        settings.method.check_control()
    settings.check_own()  # what is not there, or is something else, is said now, not after an hour
    check_metrics(settings.evaluate.more_metrics)
    if not settings.features.path:
        architecture_of(settings.encoder.name).check()
    if settings.tensorboard:
        require("tensorboard", "tensorboard")
    inputs = fingerprints(stages, settings)
    if out is not None and not str(out):
        raise ConfigError("--out", got="no text", expected="a folder")
    if Path(settings.name).name != settings.name:
        raise ConfigError("name", got=repr(settings.name), expected="a folder's name", remedy="use --out for a path")
    directory = run_directory(out if out is not None else Path(RUNS) / settings.name)
    if not directory.is_local:
        raise ConfigError(
            "--out", got=directory.uri, expected="a local or shared folder, because the graph database lies in it"
        )
    return Work(settings, directory, stages, inputs)


def run(
    config: str | Path | RunSettings,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    *,
    control: bool = True,
    until: str | None = None,
) -> RunResult:
    """Execute a run's stages (up to `until` and what it needs), skipping what is done.

    config: a YAML file or settings. out: the run directory, runs/<name> by default. overrides: 'section.key=value'.
    Raises the errors of csrms_dist.errors.
    """
    work = prepare(config, out, overrides, control=control, until=until)
    settings, directory, stages, inputs = work.settings, work.directory, work.stages, work.inputs
    done = []
    with directory.lock(), shared_session():
        started = _begin(directory, settings)
        for stage in stages:
            if is_done(directory, stage, inputs[stage.name]):
                continue
            if stage.needs_labels and not RunContents(directory).has_labels:
                if until == stage.name:
                    raise _no_labels()
                break
            context = StageContext(directory, settings, inputs[stage.name], stage.requires)
            begun = time.monotonic()
            with watched() as peak:
                part(stage.job)(context)
            done.append(stage.name)
            _note(directory, started, stage.name, time.monotonic() - begun, peak)
    metrics = {}
    if "evaluate" in inputs and directory.is_done("evaluate", inputs["evaluate"]):
        metrics = json.loads((directory.open("evaluate") / METRICS).read_text())
        if directory.read_json(METRICS) != metrics:
            directory.write_json(METRICS, metrics)
    return RunResult(directory, settings, metrics, tuple(done))


def bundle(
    config: str | Path | RunSettings, out: str | Path | None, overrides: tuple[str, ...], folder: str | Path
) -> int:
    """Execute what the graph needs and write it as the input of neo4j-admin's import; how many rows that is.

    Nothing is published: no store has to hold a graph that is too large for it.
    """
    work = prepare(config, out, overrides, control=False, until="graph")
    empty_folder(folder)
    (graph,) = (stage for stage in work.stages if stage.name == "graph")
    run(work.settings, work.directory.path, control=False, until="cluster")
    with work.directory.lock():
        context = StageContext(work.directory, work.settings, work.inputs["graph"], graph.requires)
        if not context.contents.has_labels:
            raise _no_labels()
        return write_bundle(context, folder)


def _no_labels() -> DataError:
    return DataError("the feature table", got="no labels", expected="a column label or labels for the graph")


def is_done(directory: RunDirectory, stage: Stage, inputs: str) -> bool:
    """Whether a stage's artefact is whole and of these inputs, and what it wrote elsewhere is still there."""
    return directory.is_done(stage.name, inputs) and (not stage.held or part(stage.held)(directory))


def _begin(directory: RunDirectory, settings: RunSettings) -> dict[str, Any]:
    record: dict[str, Any] = directory.read_json(RECORD) or {"stages": {}, "attempts": 0}
    record |= {"versions": versions(), "seed": settings.seed, "config": settings.as_mapping()}
    record["attempts"] += 1
    directory.write_json(RECORD, record)
    return record


def _note(directory: RunDirectory, record: dict[str, Any], stage: str, seconds: float, peak: Peak) -> None:
    facts = directory.facts(stage)
    entry: dict[str, Any] = {"seconds": round(seconds, 3)}
    if peak.mb is not None:
        entry |= {"peak_mb": round(peak.mb, 1), "peak_process": peak.process}
    if "passes" in facts:
        entry["passes"] = facts["passes"]
    record["stages"][stage] = entry
    directory.write_json(RECORD, record)
