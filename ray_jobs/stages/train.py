"""Stage train: the method on class-aware sub-graphs, from the stage-0 weights."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.basics.progress import Progress
from csrms_dist.encoders.export import save_encoder
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.methods.csrms.method import edge_types
from csrms_dist.methods.saved_model import save_model
from csrms_dist.models.feature_bank import generation_file
from csrms_dist.sampling.write import write_candidates
from csrms_dist.training.from_run import model_card, whole_state
from ray_jobs.on_ray.trainer import discard_checkpoints, recipe_of, train, work_folder
from ray_jobs.stages.stage import StageContext


def execute(context: StageContext) -> None:
    """Write train/: the model, its prototypes (J, D), the feature bank (N, D) that they are means of, and the encoder's
    weights for others to load.

    With a frozen encoder the bank is the feature table, and no copy of it is written.
    """
    run, settings, recipe = context.run, context.settings, recipe_of(context.settings)
    prepare_candidates(context)
    epochs, n_rows = settings.train.epochs, run.facts("images")["train"]
    state = train(context, "train", epochs * n_rows, epochs)
    backward = 0 if settings.encoder.frozen else epochs * n_rows
    facts = {"passes": {"backward": backward, "forward": 0}, "history": state["history"]}
    with run.writing("train", context.inputs, facts) as folder:
        card = model_card(run, recipe, reading=settings.method.reading)
        prototypes = state["method"]["prototypes"].numpy()
        save_model(folder, card, whole_state(run, recipe, state["model"]), prototypes)
        if not settings.encoder.frozen:
            bank = generation_file(work_folder(context), state["method"]["bank"]["generation"])
            _link(bank, folder / "bank.npy")
        model = Classifier(folder).model
        save_encoder(folder / "encoder.safetensors", card.encoder, model.encoder, model.plain_head)
    discard_checkpoints(context)


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def prepare_candidates(context: StageContext) -> None:
    """The neighbours that an anchor may draw: an artefact, so that every worker maps the same file."""
    run, sampling, wanted = context.run, context.settings.sampling, edge_types(context.settings.method)
    if not wanted:
        return
    stamps = [s and s["fingerprint"] for s in (run.stamp(name) for name in ("features", "graph"))]
    inputs = fingerprint("candidates", context.settings.select("sampling"), list(wanted), stamps)
    if run.is_done("candidates", inputs):
        return
    graph = snapshot.load(run.open("graph") / "snapshot")
    vectors = FeatureTable.load(run.open("features")).vectors
    with Progress("candidates", unit="anchors") as progress, run.writing("candidates", inputs) as folder:
        write_candidates(folder, graph, vectors, sampling, progress=progress, edge_types=wanted)
