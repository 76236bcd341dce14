"""Weights & Biases: offline, in the run directory, unless WANDB_MODE says otherwise; `wandb sync` uploads it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ray_jobs.loggers.logger import Place

PROJECT = "csrms"
QUIET = {"WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_DISABLE_GIT": "true", "WANDB_DISABLE_CODE": "true"}
"""It prints nothing among ours, and takes neither the output of the command nor the user's code."""


class WeightsAndBiases:
    """One run a `Place.key` in the project WANDB_PROJECT or `csrms`. Each stage's figures have a step of their own."""

    package = "wandb"

    def __init__(self, place: Place) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import wandb

        place.folder.mkdir(parents=True, exist_ok=True)  # it takes the name of its folder, wandb, for granted
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=place.name,
            id=place.key,
            resume="allow",
            dir=str(place.folder.parent),
            config=dict(place.settings),
            mode=os.environ.get("WANDB_MODE") or "offline",
        )
        self._known: set[str] = set()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        steps = {}
        for stage in dict.fromkeys(name.partition("/")[0] for name in metrics):
            steps[f"{stage}/step"] = step
            if stage not in self._known:
                self._known.add(stage)
                self._run.define_metric(f"{stage}/step", hidden=True)
                self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        self._run.log({**metrics, **steps})

    def close(self) -> None:
        self._run.finish()
