"""Stage graph: hierarchy and dominance, published to the store; the sampler's arrays come back from it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from csrms_dist.art.surroundings import Surroundings
from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.artefacts.names import CLUSTER, REFRESHED, REFRESHED_FACTS, SNAPSHOT
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.progress import Progress
from csrms_dist.basics.words import counted
from csrms_dist.features.feature_table import VECTORS, FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.support import N_AROUND, support
from csrms_dist.methods.stages import FEATURES
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import TRAIN
from graphstore import bundle
from graphstore.figures import Figures
from graphstore.schema import SCHEMA
from graphstore.store import HeldOut, Publication, Repeated, Texts
from graphstore.tables import publication_tables
from ray_jobs.places import store_of
from ray_jobs.stages.context import StageContext


def publication_of(context: StageContext) -> Publication:
    """The run's findings, ready to be published: its hierarchy, the rows beside it, ids, names and settings."""
    run, settings = context.run, context.settings
    table, clustering = context.contents.features, context.contents.clusters
    hierarchy = build_hierarchy(
        clustering.pattern,
        clustering.score,
        table.labels,
        table.instance,
        dominance_threshold=settings.graph.dominance_threshold,
        n_positives=settings.sampling.n_positives,
        multi_label=table.classes.multi_label,
    )
    features = run.stamp("features")
    content = fingerprint(features and features["fingerprint"], table.classes.class_names)
    return Publication(
        dataset=settings.data.dataset if not settings.features.path else settings.name,
        content_hash=run.facts("images")["content_hash"] if not settings.features.path else content,
        class_names=table.classes.class_names,
        ids=table.ids,
        split=Repeated("train", len(table)),
        uris=_uris(table),
        hierarchy=hierarchy,
        fingerprint=context.inputs,
        params={"cluster": settings.select("cluster"), "graph": settings.select("graph"), "seed": settings.seed},
        vigilance=clustering.vigilance,
        features_uri=run.uri_of(FEATURES.name, VECTORS),
        prototypes_uri=run.uri_of(CLUSTER, "prototypes.npy"),
        created_ms=int(time.time() * 1000),
        held_out=_held_out(context.contents, hierarchy),
        figures=figures_of(context.contents, hierarchy),
    )


def _uris(table: FeatureTable) -> Texts:
    return Repeated("", len(table)) if table.uris is None else table.uris


def figures_of(run: RunContents, graph: HierarchyGraph) -> Figures:
    """What stands beside the hierarchy of the training rows: outliers, and how well their labels are supported."""
    around = Surroundings(run.clusters).of_rows(run.vectors, N_AROUND)
    found = support(around, graph.pattern, graph.membership, graph.counts, graph.sizes)
    return Figures(run.outliers.distance, run.outliers.outlier, **vars(found))


def _held_out(run: RunContents, graph: HierarchyGraph) -> HeldOut | None:
    """The rows of the splits val, test and unlabelled, where the frozen prototypes place them."""
    table = run.held_out
    if table is None:
        return None
    placed = run.held_out_places
    around = Surroundings(run.clusters).of_rows(table.vectors, N_AROUND)
    found = support(around, placed.pattern, table.labels, graph.counts, graph.sizes, counted=False)
    return HeldOut(
        table.instance, placed.pattern, placed.score, table.labels, table.ids, table.split_names,
        _uris(table), Figures(placed.distance, placed.outlier, **vars(found)),
    )  # fmt: skip


def execute(context: StageContext) -> None:
    """Publish the run to the store and write graph/snapshot from what the store answers."""
    run, keep_runs = context.run, context.settings.graph.keep_runs
    publication = publication_of(context)
    with Progress("graph", unit="rows") as progress, store_of(run, keep_runs) as store:
        key = store.publish(publication, progress)
        hierarchy = publication.hierarchy
        facts = {
            "run": key,
            "patterns": hierarchy.n_patterns,
            "dominated": int(hierarchy.dominated.sum()),
            "classes": hierarchy.n_classes,
            "instances": publication.n_instances,
        }
        del publication, hierarchy  # the same once more is about to come back
        exported = store.export(key)
        with run.writing("graph", context.inputs, facts) as folder:
            snapshot.save(exported, folder / SNAPSHOT)


def publish_refreshed(context: StageContext, folder: Path) -> list[dict[str, Any]]:
    """Publish the hierarchies that training made anew, below folder/<epochs>, beside the run's own, which stays live.

    The newest of them, as many as the store keeps beside the run's own. They have the training rows alone. Returns what
    is known of each, oldest first; `run` is the key of one that was published.
    """
    made = sorted(folder.iterdir(), key=lambda path: int(path.name))
    run, keep_runs, found = context.run, context.settings.graph.keep_runs, []
    own = publication_of(replace(context, inputs=str((run.stamp("graph") or {})["fingerprint"])))
    with store_of(run, keep_runs) as store:
        for place, path in enumerate(made):
            facts: dict[str, Any] = json.loads((path / REFRESHED_FACTS).read_text())
            if len(made) - place < keep_runs:
                publication = replace(
                    own,
                    hierarchy=snapshot.load(path / SNAPSHOT),
                    fingerprint=fingerprint(context.inputs, facts["epoch"]),
                    params={**own.params, "epoch": facts["epoch"]},
                    vigilance=facts["vigilance"],
                    features_uri="",
                    prototypes_uri=f"{run.uri}/{TRAIN}/{REFRESHED}/{path.name}/{CLUSTER}/prototypes.npy",
                    created_ms=int(time.time() * 1000),
                    held_out=None,
                    figures=None,
                )
                with Progress(f"graph after {counted(facts['epoch'], 'epoch')}", unit="rows") as progress:
                    facts["run"] = store.publish(publication, progress)
            found.append(facts)
        store.go_live(run.facts("graph")["run"])
    return found


def is_held(run: RunDirectory) -> bool:
    """Whether the store still has the run that the stage published, whole and of this schema."""
    whole = run.facts("graph")["run"], "ready", SCHEMA.version
    with store_of(run) as store:
        return any((info.key, info.status, info.schema_version) == whole for info in store.runs())


def write_bundle(context: StageContext, folder: str | Path) -> int:
    """Write the run as the input of neo4j-admin's import, without a store; how many rows that is."""
    with Progress("bundle", unit="rows") as progress:
        return bundle.write_bundle(publication_tables(publication_of(context), SCHEMA), SCHEMA, folder, progress)
