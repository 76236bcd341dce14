"""The context that the job of a stage gets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import Recipe
from ray_jobs.settings import DEFAULT_ACTORS, RunSettings, most


@dataclass(frozen=True)
class StageContext:
    """run: where artefacts lie. inputs: the fingerprint that the stage's artefact will be stamped with. requires: the
    stages whose artefacts it may read."""

    run: RunDirectory
    settings: RunSettings
    inputs: str
    requires: tuple[str, ...] = ()

    @cached_property
    def contents(self) -> RunContents:
        """The artefacts of earlier stages."""
        return RunContents(self.run)

    @property
    def recipe(self) -> Recipe:
        """The settings that decide a training."""
        return self.settings.recipe

    @property
    def ray_slots(self) -> int:
        """Logical CPUs that this run's stages need at the most."""
        s = self.settings
        actors = (s.data.actors, s.features.actors, s.cluster.actors, s.evaluate.actors)
        asked = (*actors, most(s.train.workers), most(s.pretrain.workers), DEFAULT_ACTORS)
        return max(number for number in asked if isinstance(number, int)) + 1

    @property
    def work(self) -> Path:
        """A local folder where unfinished work is kept until the artefact is whole."""
        return self.run.work(self.inputs)
