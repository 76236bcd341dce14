"""MLflow: a database in the run directory, or the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ray_jobs.loggers.logger import Place, flat

EXPERIMENT = "csrms"
TAG = "csrms.key"
FINISHED = "FINISHED"
ENVIRONMENT = {
    # A server that does not answer holds the run up for this long, once, and not for the minutes of MLflow's defaults.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # No report of the use, no lines about a new database among ours.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class MLflow:
    """One MLflow run a `Place.key`, in the experiment MLFLOW_EXPERIMENT_NAME or `csrms`; settings are its parameters.

    The run is found again by a tag, so that an attempt that goes on writes to the same.
    """

    package = "mlflow"

    def __init__(self, place: Place) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            place.folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{place.folder.resolve()}/mlflow.db"
        self._client, self._metric = MlflowClient(uri), Metric
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        found = self._client.search_runs([number], f"tags.`{TAG}` = '{place.key}'", max_results=1)
        if found:
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        tags = {TAG: place.key, "csrms.run": place.uri}
        self._run = self._client.create_run(number, run_name=place.name, tags=tags).info.run_id
        params = [Param(key, str(value)) for key, value in flat(place.settings).items()]
        self._client.log_batch(self._run, params=params, tags=[RunTag("mlflow.source.name", "csrms")])

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        found: list[Any] = [self._metric(name, value, now, step) for name, value in metrics.items()]
        self._client.log_batch(self._run, metrics=found)

    def close(self) -> None:
        self._client.set_terminated(self._run, FINISHED)
