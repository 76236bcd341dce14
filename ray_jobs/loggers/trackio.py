"""Trackio: the database that `trackio show` opens, where TRACKIO_DIR says or trackio has it by default."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout

from ray_jobs.loggers.logger import Place

PROJECT = "csrms"


class Trackio:
    """One run a `Place.key` in the project `csrms`, beside all other runs: trackio has one place for a process."""

    package = "trackio"

    def __init__(self, place: Place) -> None:
        import trackio

        with redirect_stdout(io.StringIO()):  # it prints among the results of the command
            self._trackio, self._run = (
                trackio,
                trackio.init(
                    project=PROJECT,
                    name=f"{place.name}-{place.key[:8]}",
                    config=dict(place.settings),
                    resume="allow",
                    auto_log_cpu=False,
                    auto_log_gpu=False,
                ),
            )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        with redirect_stdout(io.StringIO()):
            self._trackio.finish()  # of the run alone, it would say so once more when the process ends
