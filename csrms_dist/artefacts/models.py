"""Whether a run has a trained model, or ever will."""

from __future__ import annotations

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError


def trains_nothing(run: RunDirectory) -> str:
    """Why a run never has a model: 'a run on given vectors', 'a run without labels'; '' for one that has or may."""
    if run.stamp("train") is not None or run.stamp("features") is None:
        return ""
    if run.stamp("images") is None:
        return "a run on given vectors"
    return "" if run.facts("features")["labelled"] else "a run without labels"


def refuse_untrained(run: RunDirectory) -> None:
    """Raise RunDirectoryError for a run that never has a model: on given vectors, or without labels."""
    if why := trains_nothing(run):
        raise RunDirectoryError(
            run.uri, got=f"{why}, which trains nothing", expected="one on labelled images",
            remedy="name another run",
        )  # fmt: skip
