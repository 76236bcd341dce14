"""Files from outside a run that a stage reads, as digests: when they change, the stage is done anew."""

from __future__ import annotations

from pathlib import Path

from csrms_dist.artefacts.fingerprints import file_fingerprint
from ray_jobs.settings import RunSettings


def images(settings: RunSettings) -> str:
    """The files of the data set."""
    from csrms_dist.datasets.layouts.choose import data_fingerprint

    return data_fingerprint(settings.data)


def weights(settings: RunSettings) -> str:
    """The encoder's weights, where a file of them is given."""
    path = Path(settings.encoder.weights).expanduser()
    return file_fingerprint(path) if path.is_file() else ""


def vectors(settings: RunSettings) -> str:
    """The user's own vectors, and the table of their rows where it lies apart."""
    paths = filter(None, (settings.features.path, settings.features.rows_path))
    return " ".join(map(file_fingerprint, paths))
