"""Stage control: the plain classifier from the same stage-0 weights, at the method's encoder passes."""

from __future__ import annotations

from csrms_dist.inference import save_model
from csrms_dist.training.budget import Passes, control_images
from ray_jobs.stage import StageContext
from ray_jobs.trainer import discard_checkpoints, model_card, train


def execute(context: StageContext) -> None:
    """Write control/: a plain model trained until its passes, stage 0 included, equal the method's."""
    run, settings = context.run, context.settings
    stage_0 = Passes(**run.facts("pretrain")["passes"])
    n_rows = run.facts("images")["train"]
    method = stage_0 + Passes(**run.facts("features")["passes"]) + Passes(backward=settings.train.epochs * n_rows)
    n_images = control_images(method, stage_0)
    state = train(context, "control", n_images, -(-n_images // n_rows))
    facts = {"passes": {"backward": n_images, "forward": 0}, "history": state["history"]}
    with run.writing("control", context.inputs, facts) as folder:
        save_model(folder, model_card(run, settings), state["model"])
    discard_checkpoints(context)
