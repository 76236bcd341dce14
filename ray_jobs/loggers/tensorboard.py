"""Event files for TensorBoard, a folder a stage, so that the same figure of several trainings is one chart."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from ray_jobs.loggers.logger import Place

KEY = ".key"


class TensorBoard:
    """`tensorboard --logdir RUN/tensorboard`, or a folder of runs."""

    package = "tensorboard"

    def __init__(self, place: Place) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._kind = place.folder, SummaryWriter
        self._writers: dict[str, Any] = {}
        noted = place.folder / KEY
        if not noted.exists() or noted.read_text() != place.key:  # other settings: what is there is of another run
            shutil.rmtree(place.folder, ignore_errors=True)
            place.folder.mkdir(parents=True)
            noted.write_text(place.key)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            stage, _, tag = name.partition("/")
            if stage not in self._writers:
                self._writers[stage] = self._kind(str(self._folder / stage))
            self._writers[stage].add_scalar(tag, value, step)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
