"""Stage train: the method on class-aware sub-graphs, from the stage-0 weights."""

from __future__ import annotations

import numpy as np
import torch

from csrms_dist.feature_table import FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.inference import save_model
from csrms_dist.models.prototypes import PatternPrototypes
from csrms_dist.run_directory import fingerprint
from csrms_dist.sampling.candidates import build_candidates, save_candidates
from ray_jobs.stage import StageContext
from ray_jobs.trainer import discard_checkpoints, model_card, train


def execute(context: StageContext) -> None:
    """Write train/: the model, its prototypes (J, D) and the feature bank (N, D) that they are means of."""
    run, settings = context.run, context.settings
    write_candidates(context)
    epochs = settings.train.epochs
    n_images = epochs * run.facts("images")["train"]
    state = train(context, "train", n_images, epochs)
    bank = state["method"]["bank"]["features"]
    graph = snapshot.load(run.open("graph") / "snapshot")
    pattern = torch.from_numpy(np.array(graph.pattern, dtype=np.int64))
    prototypes = PatternPrototypes(bank, pattern, graph.n_patterns).means.numpy()
    facts = {"passes": {"backward": n_images, "forward": 0}, "history": state["history"]}
    with run.writing("train", context.inputs, facts) as folder:
        save_model(folder, model_card(run, settings, reading=settings.method.reading), state["model"], prototypes)
        np.save(folder / "bank.npy", bank.numpy())
    discard_checkpoints(context)


def write_candidates(context: StageContext) -> None:
    """The neighbours that an anchor may draw: an artefact, so that every worker maps the same file."""
    run, sampling = context.run, context.settings.sampling
    stamps = [run.stamp(name) for name in ("features", "graph")]
    inputs = fingerprint("candidates", context.settings.select("sampling"), [s and s["fingerprint"] for s in stamps])
    if run.is_done("candidates", inputs):
        return
    graph = snapshot.load(run.open("graph") / "snapshot")
    with run.writing("candidates", inputs) as folder:
        save_candidates(folder, build_candidates(graph, FeatureTable.load(run.open("features")).vectors, sampling))
