"""Stage pretrain (stage 0): classification training of the encoder that makes the features to cluster."""

from __future__ import annotations

from csrms_dist.basics.progress import Progress, warn
from csrms_dist.methods.saved_model import save_model
from csrms_dist.training.from_run import initial_model, model_card
from csrms_dist.training.recipe import PRETRAIN
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.workers import discard_checkpoints, train
from ray_jobs.stop_points import passed


def execute(context: StageContext) -> None:
    """Write pretrain/: a plain model. Its passes are counted in every comparison.

    An encoder that stays frozen, no epochs or no labels at all: the model with its initial weights, at no pass.
    """
    run, settings, recipe = context.contents, context.settings, context.recipe
    learns = run.train_images.label_space.n_classes > 0 and not settings.encoder.frozen
    epochs = settings.pretrain.epochs if learns else 0
    n_images = epochs * run.facts("images")["train"]
    facts = {"passes": {"backward": n_images, "forward": 0}, "history": []}
    if epochs == 0:
        if not settings.encoder.weights:
            warn("the encoder is used with initial weights: neither encoder.weights nor pretrain.epochs gives others")
        with Progress("pretrain", unit="epochs"):
            weights = initial_model(run, recipe).state_dict()
        passed("pretrain.0")
    else:
        state = train(context, PRETRAIN, n_images, epochs)
        weights, facts["history"] = state["model"], state["history"]
    with context.run.writing("pretrain", context.inputs, facts) as folder:
        save_model(folder, model_card(run, recipe), weights)
    discard_checkpoints(context)
