"""What a stage's job gets, and the hook with which tests stop a run at a named point."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.artefacts.run_directory import RunDirectory
from ray_jobs.settings import RunSettings


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
