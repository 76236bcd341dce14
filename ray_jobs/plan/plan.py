"""`csrms plan`: what a run will take, before anything runs; and, where stages are done, how far off that was.

The estimate is kept in the run's plan.json. A stage that is done keeps the estimate that was made before it ran, so the
comparison is of a forecast with what came; a stage that was done without a plan is estimated afterwards, by the same
formulas, which look at no result of the run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.artefacts.names import PLAN
from csrms_dist.basics.progress import warn
from csrms_dist.datasets.image_source import TRAIN, VAL, Layout
from csrms_dist.datasets.layouts.choose import open_layout
from csrms_dist.evaluation.report import SAME_TRAINING
from csrms_dist.features.given_vectors import vector_facts
from csrms_dist.methods.protocol import Stage
from ray_jobs.pipeline import Work, is_done, prepare
from ray_jobs.plan.estimates import SESSION_S, Facts, Rates, estimates
from ray_jobs.plan.text import Planned, comparison_text, estimate_of, plan_text
from ray_jobs.plan.trials import encoder_facts, measure, sampled
from ray_jobs.settings import RunSettings

SCHEMA = 1
NO_IMAGES = Rates(0, 0, 0, 0, 0, 0)


def plan(
    config: str | Path | RunSettings,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    *,
    control: bool = True,
) -> str:
    """Write plan.json into the run directory and return the plan, and the comparison if a stage is done, as text.

    Raises what `run` raises before its first stage, and DataError for images that cannot be opened or read.
    """
    work = prepare(config, out, overrides, control=control)
    done = {stage.name for stage in work.stages if is_done(work.directory, stage, work.inputs[stage.name])}
    kept = _kept(work, done)
    cores = os.cpu_count() or 1
    missing = [stage for stage in work.stages if stage.name not in kept and stage.estimate]
    earlier = work.directory.read_json(PLAN) or {}
    record = {"schema": SCHEMA, "cores": cores, "facts": earlier.get("facts"), "rates": earlier.get("rates")}
    if missing:
        facts, rates = survey(work.settings)
        if not facts.labels and not facts.shape:
            missing = [stage for stage in missing if not stage.needs_labels]
        record |= {"facts": asdict(facts), "rates": asdict(rates)}
        kept |= _fresh(missing, done, facts, rates, work, cores)
    planned = [kept[stage.name] for stage in work.stages if stage.name in kept]
    record["stages"] = {item.stage: {"inputs": item.inputs, **asdict(item.estimate)} for item in planned}
    work.directory.write_json(PLAN, record)
    text = plan_text(planned, work.directory.uri, cores)
    if unknown := [stage.name for stage in work.stages if not stage.estimate]:
        text += f"\nnot in the plan, for there is no formula: {', '.join(unknown)}"
    if not work.settings.features.path and work.settings.recipe.control_is_plain_head:
        text += f"\ncontrol is not run: {SAME_TRAINING}"
    compared = comparison_text(work.directory)
    return f"{text}\n\n{compared}" if compared else text


def survey(settings: RunSettings) -> tuple[Facts, Rates]:
    """Count what the configuration names, without decoding more than a sample, and measure rates on it."""
    if settings.features.path:
        return _vector_facts(Path(settings.features.path)), NO_IMAGES
    layout = open_layout(settings.data)
    for note in layout.notes:
        warn(note)
    with sampled(layout.train) as sample:
        encoder, parameters = encoder_facts(settings, sample.table.shape)
        facts = _image_facts(layout, sample.table.shape, sample.stored_bytes, int(encoder.dimension), parameters)
        return facts, measure(facts, encoder, sample, settings)


def _image_facts(layout: Layout, shape: tuple[int, ...], stored_bytes: float, dimension: int, parameters: int) -> Facts:
    train, test = layout.train, layout.test
    ids = pc.mean(pc.binary_length(pa.array(train.ids))).as_py()
    return Facts(
        train=int((train.split == TRAIN).sum()),
        val=int((train.split == VAL).sum()),
        test=len(test),
        n_classes=layout.label_space.n_classes,
        labels=float(train.membership.nnz / max(len(train), 1)),
        id_bytes=float(ids or 0),
        shape=tuple(shape),
        stored_bytes=stored_bytes,
        dimension=dimension,
        parameters=parameters,
    )


def _vector_facts(path: Path) -> Facts:
    """The facts of a run on given vectors. Raises DataError for a file that holds none."""
    found = vector_facts(path)
    return Facts(
        train=found.rows, val=0, test=0, n_classes=found.n_classes, labels=found.labels / found.rows,
        id_bytes=found.id_bytes, shape=(), stored_bytes=0.0, dimension=found.dimension, parameters=0,
    )  # fmt: skip


def _kept(work: Work, done: set[str]) -> dict[str, Planned]:
    """The estimates of plan.json that were made for the inputs of stages that are done."""
    stages = (work.directory.read_json(PLAN) or {}).get("stages", {})
    return {
        name: Planned(name, entry["inputs"], estimate_of(entry), True)
        for name, entry in stages.items()
        if name in done and entry["inputs"] == work.inputs[name]
    }


def _fresh(
    stages: Sequence[Stage], done: set[str], facts: Facts, rates: Rates, work: Work, cores: int
) -> dict[str, Planned]:
    found = estimates(stages, facts, rates, work.settings, cores)
    waiting = [stage.name for stage in stages if stage.needs_ray and stage.name not in done]
    # Without epochs of its own stage 0 starts nothing.
    waiting = [stage for stage in waiting if stage != "pretrain" or found[stage].passes.total]
    for first in waiting[:1]:
        found[first] = replace(found[first], seconds=found[first].seconds + SESSION_S)
    return {name: Planned(name, work.inputs[name], estimate, name in done) for name, estimate in found.items()}
