"""Stage pretrain (stage 0): training of the encoder that makes the features to cluster, with labels or without."""

from __future__ import annotations

from typing import Any

from csrms_dist.basics.progress import Progress, warn
from csrms_dist.methods.saved_model import save_model
from csrms_dist.training.averaging import final_weights
from csrms_dist.training.from_run import image_rows, initial_model, model_card, stage_0_state
from csrms_dist.training.recipe import PRETRAIN
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.workers import discard_checkpoints, train
from ray_jobs.stop_points import passed


def execute(context: StageContext) -> None:
    """Write pretrain/: a plain model. Its passes are counted in every comparison, those of every view of an image.

    An encoder that stays frozen, no epochs, or no labels for an objective that reads them: the model with its initial
    weights, at no pass.
    """
    run, settings, recipe = context.contents, context.settings, context.recipe
    taught = run.train_images.label_space.n_classes > 0 or settings.pretrain.without_labels
    epochs = settings.pretrain.epochs if taught and not settings.encoder.frozen else 0
    facts: dict[str, Any] = {"passes": {"backward": 0, "forward": 0}, "history": []}
    if epochs == 0:
        if not settings.encoder.weights:
            warn("the encoder is used with initial weights: neither encoder.weights nor pretrain.epochs gives others")
        with Progress("pretrain", unit="epochs"):
            weights = initial_model(run, recipe).state_dict()
        passed("pretrain.0")
    else:
        state = train(context, PRETRAIN, epochs * len(image_rows(run, recipe, PRETRAIN)), epochs)
        weights, facts["history"] = stage_0_state(run, recipe, final_weights(state)), state["history"]
        encoded = sum(round(report.get("encoded", report["images"])) for report in state["history"])
        facts["passes"]["backward"] = encoded
    with context.run.writing("pretrain", context.inputs, facts) as folder:
        save_model(folder, model_card(run, recipe), weights)
    discard_checkpoints(context)
