"""Stage train: the method on class-aware sub-graphs, from the stage-0 weights."""

from __future__ import annotations

from typing import Any

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.artefacts.names import CANDIDATES, REFRESHED
from csrms_dist.basics.progress import Progress
from csrms_dist.methods.known import method, part
from csrms_dist.methods.saved_model import save_apart
from csrms_dist.sampling import write_candidates
from csrms_dist.training.averaging import final_weights
from csrms_dist.training.budget import Passes, control_images
from csrms_dist.training.from_run import model_card, whole_state
from csrms_dist.training.recipe import TRAIN
from csrms_dist.training.structure import structure_of
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.graph import publish_refreshed
from ray_jobs.stages.workers import discard_checkpoints, train


def execute(context: StageContext) -> None:
    """Write train/: the model, what the method keeps beside it, and the encoder's weights for others to load."""
    run, settings, recipe = context.contents, context.settings, context.recipe
    prepare_candidates(context)
    n_rows = run.facts("images")["train"]
    n_images = settings.train.epochs * n_rows
    if recipe.by_itself and not settings.encoder.frozen:
        n_images += control_images(Passes(forward=n_rows), Passes())  # a method would have made a feature table of them
    state = train(context, TRAIN, n_images, -(-n_images // n_rows))
    encoded = sum(round(report.get("encoded", report["images"])) for report in state["history"])
    backward = 0 if settings.encoder.frozen else encoded
    facts: dict[str, Any] = {"passes": {"backward": backward, "forward": 0}, "history": state["history"]}
    keep = method(settings.method.name).keep
    with context.run.writing("train", context.inputs, facts) as folder:
        save_apart(folder, model_card(run, recipe, TRAIN), whole_state(run, recipe, final_weights(state)))
        if keep:
            part(keep)(folder, state["method"], context.work)
        if (folder / REFRESHED).exists():
            facts["refreshed"] = publish_refreshed(context, folder / REFRESHED)
    discard_checkpoints(context)


def prepare_candidates(context: StageContext) -> None:
    """The neighbours that an anchor may draw: an artefact, so that every worker maps the same file."""
    run, sampling, wanted = context.run, context.settings.sampling, context.recipe.edge_types
    if not wanted:
        return
    stamps = [s and s["fingerprint"] for s in (run.stamp(name) for name in ("features", "graph"))]
    recipe = context.recipe
    permuted = [recipe.seed] if recipe.method.permutes_patterns() else []
    inputs = fingerprint(CANDIDATES, context.settings.select("sampling"), list(wanted), stamps, *permuted)
    if run.is_done(CANDIDATES, inputs):
        return
    structure = structure_of(context.contents, recipe.method, sampling, recipe.seed)
    graph, vectors = structure.hierarchy, structure.vectors
    with Progress("candidates", unit="anchors") as progress, run.writing(CANDIDATES, inputs) as folder:
        write_candidates(folder, graph, vectors, sampling, progress=progress, edge_types=wanted)
