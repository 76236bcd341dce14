"""Stage pretrain (stage 0): classification training of the encoder that makes the features to cluster."""

from __future__ import annotations

from csrms_dist.basics.progress import Progress, warn
from csrms_dist.methods.saved_model import save_model
from csrms_dist.training.from_run import initial_model, model_card
from ray_jobs.on_ray.trainer import discard_checkpoints, recipe_of, train
from ray_jobs.stages.stage import StageContext
from ray_jobs.stop_points import passed


def execute(context: StageContext) -> None:
    """Write pretrain/: a plain model. Its passes are counted in every comparison.

    An encoder that stays frozen, or no epochs at all: the model with its initial weights, at no pass.
    """
    run, settings, recipe = context.run, context.settings, recipe_of(context.settings)
    epochs = 0 if settings.encoder.frozen else settings.pretrain.epochs
    n_images = epochs * run.facts("images")["train"]
    facts = {"passes": {"backward": n_images, "forward": 0}, "history": []}
    if epochs == 0:
        if not settings.encoder.weights:
            warn("the encoder is used with initial weights: neither encoder.weights nor pretrain.epochs gives others")
        with Progress("pretrain", unit="epochs"):
            weights = initial_model(run, recipe).state_dict()
        passed("pretrain.0")
    else:
        state = train(context, "pretrain", n_images, epochs)
        weights, facts["history"] = state["model"], state["history"]
    with run.writing("pretrain", context.inputs, facts) as folder:
        save_model(folder, model_card(run, recipe), weights)
    discard_checkpoints(context)
