"""Stage cluster: sharded ART over the feature table, in this process or in Ray actors."""

from __future__ import annotations

import numpy as np

from csrms_dist.art import Clustering, cluster
from csrms_dist.art.calibration import calibrate
from csrms_dist.art.outliers import find_outliers
from csrms_dist.art.patterns import two_level
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.two_level.plan import MISSED, PHASES, TwoLevel
from csrms_dist.artefacts.names import HELD_OUT
from csrms_dist.basics.arrays import F32
from csrms_dist.basics.progress import Progress, warn
from csrms_dist.basics.words import counted
from csrms_dist.evaluation.report import method_of
from ray_jobs.on_ray.actors import executor_of
from ray_jobs.settings import FEW_ROWS, hands
from ray_jobs.stages.context import StageContext
from ray_jobs.stop_points import passed


def execute(context: StageContext) -> None:
    """Write cluster/: the pattern of each row, frozen prototypes, scaling and outliers; below cluster/held_out/ where
    the other splits' rows lie, which are placed when all is frozen. No label is read."""
    settings, run = context.settings.cluster, context.run
    table = context.contents.features
    n_classes = table.classes.n_classes or None
    facts: dict[str, object] = {}
    with (
        run.writing("cluster", context.inputs, facts) as folder,
        executor_of(
            hands(settings.actors, len(table), FEW_ROWS), context.ray_slots, "cluster", context.settings.name
        ) as executor,
    ):
        with Progress("cluster", total=len(PHASES), unit="phases", steady=False) as progress:

            def show(phase: str, done: int, total: int) -> None:
                share = done / total if total else 1.0
                progress.set(PHASES.index(phase) + share, f"{phase} {done}/{total}")

            def after_phase(phase: str) -> None:
                passed(f"cluster.{phase}")

            clustering = cluster(
                context.contents.vectors_file,
                table.ids,
                settings,
                n_classes=n_classes,
                work=context.work,
                executor=executor,
                progress=show,
                after_phase=after_phase,
            )
            facts.update(_found(clustering, two_level(settings, len(table), n_classes)))
            progress.set(len(PHASES), f"{counted(clustering.n_patterns, 'pattern')} by {method_of(facts)}")
        if settings.vigilance != "auto":
            found = calibrate(table.vectors, table.ids, settings.algorithm)
            warning = found.warning(float(settings.vigilance), "cluster.vigilance", " or 'auto'")
            if warning:
                warn(warning)
        if all_equal(table.vectors):
            warn(f"all {len(table):,} vectors are the same, so their one pattern says nothing about them")
        if sentence := missed(settings, clustering.n_patterns, len(table)):
            warn(sentence)
        outliers = find_outliers(context.contents.vectors_file, clustering, executor)
        clustering.save(folder)
        outliers.save(folder)
        if held_out := context.contents.held_out:
            beside = folder / HELD_OUT
            beside.mkdir()
            placed = outliers.place(held_out.vectors, table.vectors, clustering)
            for name, values in placed._asdict().items():
                np.save(beside / f"{name}.npy", values)
        facts["outliers"] = int(outliers.outlier.sum())


BLOCK = 4096


def all_equal(vectors: F32) -> bool:
    """Whether two or more vectors (N, D) are all the same; reads no further than to the first block with another."""
    blocks = (vectors[first : first + BLOCK] for first in range(0, len(vectors), BLOCK))
    return len(vectors) > 1 and all((block == vectors[0]).all() for block in blocks)


def missed(settings: ClusterSettings, patterns: int, rows: int) -> str:
    """A sentence where the number of patterns found is far from the one asked for; else empty."""
    asked = settings.n_patterns
    if isinstance(asked, str) or abs(patterns - asked) <= MISSED * asked:
        return ""
    return (
        f"cluster.n_patterns: asked for {asked:,}, got {patterns:,}, the nearest found for {rows:,} rows, of which "
        f"equal ones stay together and patterns of fewer than cluster.min_size {settings.min_size} are dissolved"
    )


def _found(clustering: Clustering, plan: TwoLevel) -> dict[str, object]:
    """The facts of the artefact: what was found, and where the vigilance comes from."""
    grain = clustering.grain
    return {
        "patterns": clustering.n_patterns,
        "vigilance": clustering.vigilance,
        "grain": [grain.patterns, grain.low, grain.high] if grain else None,
        "sought": plan.n_patterns if plan.vigilance is None and not grain else 0,
        "looked_for": plan.grain,
        "cut": clustering.cut,
    }
