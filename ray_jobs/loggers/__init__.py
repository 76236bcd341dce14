"""Trackers of experiments that hear a run's figures; `LOGGERS` names them, the words of the setting `loggers`.

Each is a class made with a `Place` before the first stage, in the process of the command, which is the only one that
reports, however many workers train. Its module loads nothing of the package that it speaks to.
"""

from __future__ import annotations

from collections.abc import Mapping

LOGGERS: Mapping[str, str] = {
    "tensorboard": "ray_jobs.loggers.tensorboard:TensorBoard",
    "mlflow": "ray_jobs.loggers.mlflow:MLflow",
    "wandb": "ray_jobs.loggers.wandb:WeightsAndBiases",
    "trackio": "ray_jobs.loggers.trackio:Trackio",
}
"""Each a `logger.Logger`; its name is also that of the extra that brings its package."""
