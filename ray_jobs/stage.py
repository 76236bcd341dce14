"""What a stage's job gets, and the hook with which tests stop a run at a named point."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass

from csrms_dist.run_directory import RunDirectory
from ray_jobs.settings import RunSettings

STOP_HOOK = "CSRMS_TEST_STOP_AFTER"


@dataclass(frozen=True)
class StageContext:
    """run: where artefacts lie. inputs: the fingerprint that the stage's artefact will be stamped with. requires: the
    stages whose artefacts it may read."""

    run: RunDirectory
    settings: RunSettings
    inputs: str
    requires: tuple[str, ...] = ()

    @property
    def ray_slots(self) -> int:
        """Logical CPUs that this run's stages need at the most."""
        settings = self.settings
        return (
            max(settings.cluster.actors, settings.evaluate.actors, settings.train.workers, settings.pretrain.workers)
            + 1
        )


def warn(sentence: str) -> None:
    """A warning, on standard error: the work goes on."""
    print(f"warning: {sentence}", file=sys.stderr)


def passed(point: str) -> None:
    """Say that a named point ("cluster.learn", "train.3") is behind us; a fault test may have us killed here."""
    if os.environ.get(STOP_HOOK) == point:
        os.kill(os.getpid(), signal.SIGKILL)
