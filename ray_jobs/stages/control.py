"""Stage control: what stands beside the method, from the same stage-0 weights, at the method's encoder passes."""

from __future__ import annotations

from csrms_dist.methods.saved_model import save_model
from csrms_dist.training.averaging import final_weights
from csrms_dist.training.budget import Passes, control_images
from csrms_dist.training.from_run import model_card, whole_state
from csrms_dist.training.recipe import CONTROL, TRAIN
from ray_jobs.stages.context import StageContext
from ray_jobs.stages.workers import discard_checkpoints, train


def execute(context: StageContext) -> None:
    """Write control/: a model trained until its passes, stage 0 included, equal the method's.

    With a frozen encoder both train their heads on the feature table, for as many epochs, and the passes that made the
    table are counted to both.
    """
    run, settings, recipe = context.contents, context.settings, context.recipe
    n_rows = run.facts("images")["train"]
    features = Passes(**run.facts("features")["passes"])
    if settings.encoder.frozen:
        n_images, passes = settings.train.epochs * n_rows, features
    else:
        stage_0 = Passes(**run.facts("pretrain")["passes"])
        trained = Passes(backward=settings.train.epochs * n_rows)
        if settings.method.encodings(settings.sampling) > 1:  # how many depends on what was drawn
            trained = Passes(**run.facts(TRAIN)["passes"])
        method = stage_0 + features + trained
        n_images = control_images(method, stage_0)
        passes = Passes(backward=n_images)
    state = train(context, CONTROL, n_images, -(-n_images // n_rows))
    facts = {
        "passes": {"backward": passes.backward, "forward": passes.forward},
        "history": state["history"],
    }
    with context.run.writing("control", context.inputs, facts) as folder:
        save_model(folder, model_card(run, recipe, CONTROL), whole_state(run, recipe, final_weights(state)))
    discard_checkpoints(context)
