"""`csrms plan`: what a run will take, before anything runs; and, where stages are done, how far off that was.

It writes nothing. A stage that is done is estimated like any other, by formulas that look at no result of the run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.basics.progress import warn
from csrms_dist.datasets.image_source import TRAIN, UNLABELLED, VAL, Layout
from csrms_dist.datasets.layouts.choose import open_layout
from csrms_dist.encoders.weights import load_initial_weights
from csrms_dist.evaluation.report import SAME_TRAINING
from csrms_dist.features.given_vectors import vector_facts
from csrms_dist.features.settings import FeaturesSettings
from csrms_dist.methods.stages import PRETRAIN
from csrms_dist.training.from_run import check_losses
from ray_jobs.pipeline import Work, is_done, prepare
from ray_jobs.plan.estimates import SESSION_S, Facts, Rates, estimates
from ray_jobs.plan.text import Planned, comparison_text, plan_text, sizes_text
from ray_jobs.plan.trials import encoder_facts, measure, sampled
from ray_jobs.settings import RunSettings

NO_IMAGES = Rates(0, 0, 0, 0, 0, 0)


def plan(
    config: str | Path | RunSettings,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    *,
    control: bool = True,
    images: Sequence[int] = (),
) -> str:
    """The plan, and the comparison if a stage is done, as text; for other numbers of images a column each, where asked.

    Raises what `run` raises before its first stage, and DataError for images that cannot be opened or read.
    """
    work = prepare(config, out, overrides, control=control)
    cores = os.cpu_count() or 1
    facts, rates = _surveyed(work)
    if images:
        scaled = [_planned(work, facts.scaled(number), rates, cores) for number in images]
        return sizes_text(images, scaled, work.directory.uri, cores)
    planned = _planned(work, facts, rates, cores)
    text = plan_text(planned, work.directory.uri, cores)
    if unknown := [stage.name for stage in work.stages if not stage.estimate]:
        text += f"\nnot in the plan, for there is no formula: {', '.join(unknown)}"
    if not work.settings.features.path and work.settings.recipe.control_is_plain_head:
        text += f"\ncontrol is not run: {SAME_TRAINING}"
    compared = comparison_text(work.directory, planned)
    return f"{text}\n\n{compared}" if compared else text


def forecast(work: Work, cores: int) -> list[Planned]:
    """The estimate of each stage that has a formula, in order."""
    return _planned(work, *_surveyed(work), cores)


def _surveyed(work: Work) -> tuple[Facts, Rates]:
    starts = [stage for stage in work.stages if stage.name == PRETRAIN.name]
    weights = any(not is_done(work.directory, stage, work.inputs[stage.name]) for stage in starts)
    return survey(work.settings, weights=weights)


def _planned(work: Work, facts: Facts, rates: Rates, cores: int) -> list[Planned]:
    labelled = bool(facts.n_classes)
    stages = [stage for stage in work.stages if stage.estimate and (labelled or not stage.needs_labels)]
    done = {stage.name for stage in stages if is_done(work.directory, stage, work.inputs[stage.name])}
    found = estimates(stages, facts, rates, work.settings, cores)
    for first in [name for name, estimate in found.items() if estimate.on_ray and name not in done][:1]:
        found[first] = replace(found[first], seconds=found[first].seconds + SESSION_S)
    return [Planned(name, estimate, name in done) for name, estimate in found.items()]


def survey(settings: RunSettings, *, weights: bool = False) -> tuple[Facts, Rates]:
    """Count what the configuration names, without decoding more than a sample, and measure rates on it.

    weights: load those that the encoder starts from too, because they may be of no use or out of reach.
    """
    if settings.features.path:
        return _vector_facts(settings.features), NO_IMAGES
    layout = open_layout(settings.data)
    for note in layout.notes:
        warn(note)
    if not layout.label_space.n_classes:
        settings = settings.without_labels()
    check_losses(settings.recipe, layout.label_space.multi_label)
    with sampled(layout.train) as sample:
        encoder, parameters = encoder_facts(settings, sample.table.shape)
        if weights:
            load_initial_weights(encoder, settings.encoder)
        facts = _image_facts(layout, sample.table.shape, sample.stored_bytes, int(encoder.dimension), parameters)
        return facts, measure(facts, encoder, sample, settings)


def _image_facts(layout: Layout, shape: tuple[int, ...], stored_bytes: float, dimension: int, parameters: int) -> Facts:
    train, test = layout.train, layout.test
    ids = pc.mean(pc.binary_length(pa.array(train.ids))).as_py()
    return Facts(
        train=int((train.split == TRAIN).sum()),
        val=int((train.split == VAL).sum()),
        test=len(test),
        n_classes=layout.label_space.n_classes or None,
        labels=float(train.membership.nnz / max(len(train), 1)),
        id_bytes=float(ids or 0),
        shape=tuple(shape),
        stored_bytes=stored_bytes,
        dimension=dimension,
        parameters=parameters,
        unlabelled=int((train.split == UNLABELLED).sum()),
    )


def _vector_facts(settings: FeaturesSettings) -> Facts:
    """The facts of a run on given vectors. Raises DataError for a file that holds none."""
    found = vector_facts(settings.path, settings)
    return Facts(
        train=found.rows - found.held_out, val=0, test=found.held_out, n_classes=found.n_classes,
        labels=found.labels / found.rows, id_bytes=found.id_bytes, shape=(), stored_bytes=0.0,
        dimension=found.dimension, parameters=0,
    )  # fmt: skip
