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
from csrms_dist.basics.listening import Event, listening
from csrms_dist.basics.progress import warn
from csrms_dist.datasets.augmentation import NONE
from csrms_dist.encoders.make import architecture_of
from csrms_dist.errors import ConfigError, DataError
from csrms_dist.evaluation.scores import check_metrics
from csrms_dist.methods.known import control_settings, part
from csrms_dist.methods.protocol import Stage
from csrms_dist.methods.stages import CONTROL, IMAGES, PRETRAIN, TRAIN
from csrms_dist.run_contents import RunContents
from graphstore.bundle import empty_folder
from ray_jobs.memory import Peak, watched
from ray_jobs.monitoring.monitor import monitored
from ray_jobs.monitoring.trackers import check_loggers
from ray_jobs.on_ray.session import shared_session
from ray_jobs.places import RUNS, refuse_data_in, run_directory
from ray_jobs.settings import RunSettings, load_settings
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.graph import write_bundle
from ray_jobs.stages.needs import check_needs
from ray_jobs.stages.table import fingerprints, needed_for, stages_of
from ray_jobs.stages.versions import versions
from ray_jobs.stopping import stopping


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
    settings.features.check_paths()
    if control and not settings.features.path:
        settings.method.check_control()
    _check_encoder(settings, stages)
    settings.check_own()  # what is not there, or is something else, is said now, not after an hour
    check_metrics(settings.evaluate.more_metrics)
    _warn_of_no_augmentation(settings, stages)
    if not settings.features.path:
        architecture_of(settings.encoder.name).check()
    check_loggers(settings.loggers)
    inputs = fingerprints(stages, settings)
    if out is not None and not str(out):
        raise ConfigError("--out", got="no text", expected="a folder")
    if settings.name in ("", "..") or Path(settings.name).name != settings.name:
        raise ConfigError("name", got=repr(settings.name), expected="a folder's name", remedy="use --out for a path")
    directory = run_directory(out if out is not None else Path(RUNS) / settings.name)
    data, features = settings.data, settings.features
    own = {"data.path": data.path, "data.test_path": data.test_path} if not features.path else {}
    own |= {"features.path": features.path, "features.rows_path": features.rows_path}
    refuse_data_in(directory, own, [name for stage in stages for name in (stage.name, *stage.beside)])
    work = _for_the_data(Work(settings, directory, stages, inputs), until)
    waiting = [stage for stage in work.stages if not directory.is_done(stage.name, work.inputs[stage.name])]
    check_needs(waiting, work.settings)
    return work


def _check_encoder(settings: RunSettings, stages: tuple[Stage, ...]) -> None:
    """Raise ConfigError where the method, or the control beside it, cannot take what the encoder gives."""
    names, frozen = [stage.name for stage in stages], settings.encoder.frozen
    if TRAIN.name in names:
        settings.method.check_encoder(frozen)
    if CONTROL.name in names:
        control_settings(settings.evaluate.control).check_encoder(frozen)


def _warn_of_no_augmentation(settings: RunSettings, stages: tuple[Stage, ...]) -> None:
    """Say which settings do nothing because heads are trained on features that are there already."""
    train = settings.train
    set_ones = [f"train.augmentation {train.augmentation}"] * (train.augmentation != NONE)
    set_ones += [f"train.random_erasing {train.random_erasing:g}"] * (train.random_erasing > 0)
    if settings.encoder.frozen and set_ones and any(stage.name == TRAIN.name for stage in stages):
        warn(f"{' and '.join(set_ones)}: nothing is augmented, for with encoder.frozen heads are trained on features")


def _for_the_data(work: Work, until: str | None) -> Work:
    """The work as the images allow it, once they have been read: without labels it ends before what needs them.

    Raises ConfigError when there is no encoder for such images, DataError when what is asked for needs labels.
    """
    directory, inputs = work.directory, work.inputs
    name = IMAGES.name
    if name not in inputs or not directory.is_done(name, inputs[name]) or directory.facts(name)["classes"] > 0:
        return work
    if any(stage.needs_labels for stage in work.stages if stage.name == until):
        raise _no_labels(str(until))
    stages, settings = tuple(stage for stage in work.stages if not stage.needs_labels), work.settings
    if any(stage.name == PRETRAIN.name for stage in stages):
        settings = settings.without_labels()
        if settings.encoder != work.settings.encoder:
            warn(
                f"the images have no labels to train an encoder with: it is {settings.encoder.name} with pretrained "
                "weights; encoder.name and encoder.weights choose another, pretrain.objective contrastive trains one"
            )
    return Work(settings, directory, stages, fingerprints(stages, settings))


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
    said: list[Event] = []
    with listening(said.append):
        work = prepare(config, out, overrides, control=control, until=until)
    directory = work.directory
    done: list[str] = []
    with directory.lock(), shared_session():
        started = _begin(directory, work.settings)
        waiting = to_do(work, until)
        with monitored(directory, work.settings, started["attempts"], work.inputs, waiting, said) as monitor:
            for stage in work.stages:
                if stage.name not in waiting:
                    continue
                if stage.needs_labels and not RunContents(directory).has_labels:
                    if until == stage.name:
                        raise _no_labels(until)
                    break
                stopping.check()
                context = StageContext(directory, work.settings, work.inputs[stage.name], stage.requires)
                begun = time.monotonic()
                with watched() as peak, monitor.stage(stage.name, context.inputs):
                    part(stage.job)(context)
                done.append(stage.name)
                directory.release()
                monitor.done(_note(directory, started, stage.name, time.monotonic() - begun, peak))
                if stage.name == IMAGES.name:
                    work = _for_the_data(work, until)
                    check_needs([some for some in work.stages if some.name in waiting], work.settings)
                    waiting = to_do(work, until)
                    started["config"] = work.settings.as_mapping()
            monitor.left_out()
    metrics = {}
    if "evaluate" in work.inputs and directory.is_done("evaluate", work.inputs["evaluate"]):
        metrics = json.loads((directory.open("evaluate") / METRICS).read_text())
        if directory.read_json(METRICS) != metrics:
            directory.write_json(METRICS, metrics)
    return RunResult(directory, work.settings, metrics, tuple(done))


def bundle(
    config: str | Path | RunSettings, out: str | Path | None, overrides: tuple[str, ...], folder: str | Path
) -> int:
    """Execute what the graph needs and write it as the input of neo4j-admin's import; how many rows that is.

    Nothing is published: no store has to hold a graph that is too large for it.
    """
    work = prepare(config, out, overrides, control=False, until="graph")
    empty_folder(folder)
    (graph,) = (stage for stage in work.stages if stage.name == "graph")
    run(work.settings, work.directory.address, control=False, until="cluster")
    work = _for_the_data(work, "graph")
    with work.directory.lock():
        return write_bundle(StageContext(work.directory, work.settings, work.inputs["graph"], graph.requires), folder)


def _no_labels(stage: str) -> DataError:
    return DataError(
        f"the stage {stage}", got="data without labels", expected="labels to learn from",
        remedy="without them `csrms run CONFIG` ends with the graph of patterns",
    )  # fmt: skip


def to_do(work: Work, until: str | None = None) -> set[str]:
    """The stages that are not done, and those whose files were discarded and are needed again: by a stage that is not
    done, or because `until` names them."""
    waiting: set[str] = set()
    needed = {until}
    for stage in reversed(work.stages):
        done = is_done(work.directory, stage, work.inputs[stage.name])
        if not done or (stage.name in needed and work.directory.is_discarded(stage.name)):
            waiting.add(stage.name)
            needed.update(stage.requires)
    return waiting


def is_done(directory: RunDirectory, stage: Stage, inputs: str) -> bool:
    """Whether a stage's artefact is whole and of these inputs, and what it wrote elsewhere is still there."""
    return directory.is_done(stage.name, inputs) and (not stage.held or part(stage.held)(directory))


def _begin(directory: RunDirectory, settings: RunSettings) -> dict[str, Any]:
    record: dict[str, Any] = directory.read_json(RECORD) or {"stages": {}, "attempts": 0}
    record |= {"versions": versions(), "seed": settings.seed, "config": settings.as_mapping()}
    record["attempts"] += 1
    directory.write_json(RECORD, record)
    return record


def _note(directory: RunDirectory, record: dict[str, Any], stage: str, seconds: float, peak: Peak) -> dict[str, Any]:
    facts = directory.facts(stage)
    entry: dict[str, Any] = {"seconds": round(seconds, 3)}
    if peak.mb is not None:
        entry |= {"peak_mb": round(peak.mb, 1), "peak_process": peak.process}
    if "passes" in facts:
        entry["passes"] = facts["passes"]
    record["stages"][stage] = entry
    directory.write_json(RECORD, record)
    return entry
