"""The one way to export: a form by its name, written beside its place and moved there when it is whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from csrms_dist.artefacts.files import disk_errors, readable
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.lookup import chosen, takes
from csrms_dist.errors import RunDirectoryError
from csrms_dist.export import EXPORTS


def export(run: RunDirectory, form: str, out: str | Path) -> str:
    """Write a run as a name of EXPORTS, or as a user's own 'module:name', has it; returns what to tell of it.

    A file that is there already is replaced, a folder is not. Raises ConfigError for a form that is not there or that
    cannot hold this run, RunDirectoryError for a place that cannot be written or a run that lacks what is exported,
    MissingDependencyError for an optional package, CsrmsError for a file that would answer otherwise than the run.
    """
    write = chosen(
        EXPORTS, form, "--as", fits=lambda found: takes(found, 2), expected="a function (run, out) of {}"
    )  # fmt: skip
    place = Path(out)
    if place.is_dir():
        raise RunDirectoryError("--out", got=f"'{out}', a folder that is there", expected="a place for something new")
    if not place.absolute().parent.is_dir():
        raise RunDirectoryError("--out", got=f"'{out}'", expected="a file in a folder that exists")
    with disk_errors(str(place)):
        # In a folder of its own, under its own name: a form may look at the ending.
        staging = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.absolute().parent))
    try:
        said: str = write(run, staging / place.name)
        with disk_errors(str(place)):
            readable(staging / place.name)
            (staging / place.name).replace(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return f"{out}: {said}"
