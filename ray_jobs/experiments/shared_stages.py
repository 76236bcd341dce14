"""Artefacts that several runs of an experiment have in common: made once, and linked into each run's directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.methods.stages import CLUSTER, FEATURES, IMAGES, PRETRAIN
from ray_jobs.pipeline import Work

SHARED = (IMAGES.name, PRETRAIN.name, FEATURES.name, CLUSTER.name)
"""Stages whose artefacts do not know in which run they lie; the graph does, for it is published by run."""


class SharedStages:
    """A folder of whole artefacts by stage and fingerprint. An artefact never changes, so a second name will do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def adopt(self, work: Work) -> None:
        """Link into a run what is here and the run has not made yet."""
        for stage, inputs in _shared(work):
            source = self._place(stage, inputs)
            if source.exists() and not work.directory.is_done(stage, inputs):
                _link(source, work.directory.path / stage)

    def offer(self, work: Work) -> None:
        """Link from a run what it has made and is not here yet."""
        for stage, inputs in _shared(work):
            place = self._place(stage, inputs)
            if not place.exists() and _whole(work.directory, stage, inputs):
                _link(work.directory.path / stage, place)

    def has(self, stage: str, inputs: str) -> bool:
        return self._place(stage, inputs).exists()

    def _place(self, stage: str, inputs: str) -> Path:
        return self._folder / f"{stage}-{inputs[:24]}"


def _shared(work: Work) -> list[tuple[str, str]]:
    return [(stage.name, work.inputs[stage.name]) for stage in work.stages if stage.name in SHARED]


def _whole(directory: RunDirectory, stage: str, inputs: str) -> bool:
    return directory.is_done(stage, inputs) and not directory.is_discarded(stage)


def _link(source: Path, target: Path) -> None:
    """A folder whose files are those of another, moved to its place as the last act."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        whole = staging / "whole"
        shutil.copytree(source, whole, copy_function=_link_file)
        if target.exists():
            target.rename(staging / "old")
        try:
            whole.rename(target)
        except OSError:
            if not target.exists():  # somebody else was faster: the same artefact
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
