"""`csrms manifest`: list the images of a folder, of a store or of a list once, into a Parquet file."""

from __future__ import annotations

import os
from pathlib import Path

from csrms_dist.basics.progress import Progress, warn
from csrms_dist.basics.words import counted
from csrms_dist.datasets.addresses import is_uri
from csrms_dist.datasets.manifest import manifest_of_folder
from csrms_dist.datasets.manifest_of_list import manifest_of_list
from csrms_dist.errors import ConfigError
from ray_jobs.plan.estimates import MB
from ray_jobs.plan.text import size


def manifest(source: str, out: str, *, sizes: bool = True, workers: int | None = None) -> str:
    """Write the manifest, and say what is in it. Raises ConfigError, DataError and RunDirectoryError.

    workers: processes that list a folder of this machine; None: one for each CPU.
    """
    if workers is not None and workers < 1:
        raise ConfigError("--workers", got=str(workers), expected="a whole number from 1 on")
    with Progress("manifest", unit="images") as progress:
        if is_uri(source) or Path(source).is_dir():
            hands = workers or os.cpu_count() or 1
            found = manifest_of_folder(source, out, hands=hands, sizes=sizes, on_images=progress.update)
        else:
            found = manifest_of_list(source, out, sizes=sizes, on_images=progress.update)
    for note in found.notes:
        warn(note)
    classes = f" of {found.classes:,} class{'es' * (found.classes != 1)}" if found.classes else ""
    bytes_ = f", {size(found.size / MB)}" if found.size else ""
    return f"{out}: {counted(found.images, 'image')}{classes}{bytes_}"
