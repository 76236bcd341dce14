"""Stage pretrain (stage 0): cross-entropy training of the encoder that makes the features to cluster."""

from __future__ import annotations

from csrms_dist.inference import save_model
from ray_jobs.stage import StageContext
from ray_jobs.trainer import discard_checkpoints, model_card, train


def execute(context: StageContext) -> None:
    """Write pretrain/: a plain model. Its passes are counted in every comparison."""
    epochs = context.settings.pretrain.epochs
    n_images = epochs * context.run.facts("images")["train"]
    state = train(context, "pretrain", n_images, epochs)
    facts = {"passes": {"backward": n_images, "forward": 0}, "history": state["history"]}
    with context.run.writing("pretrain", context.inputs, facts) as folder:
        save_model(folder, model_card(context.run, context.settings), state["model"])
    discard_checkpoints(context)
