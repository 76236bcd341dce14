"""Trackio: a database in the run directory, or where TRACKIO_DIR says; `trackio show` opens it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ray_jobs.loggers.logger import Place

PROJECT = "csrms"


class Trackio:
    """One run a `Place.key` in the project `csrms`."""

    package = "trackio"

    def __init__(self, place: Place) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(place.folder))  # it is read at the import
        import trackio

        self._run = trackio.init(
            project=PROJECT, name=f"{place.name}-{place.key[:8]}", config=dict(place.settings), resume="allow"
        )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()
