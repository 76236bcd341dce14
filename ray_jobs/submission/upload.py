"""The files that go along with a job: the configuration, the user's own modules beside it, and little else."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from csrms_dist.basics.words import counted
from csrms_dist.errors import ConfigError, require
from ray_jobs.settings import PRETRAINED, RunSettings

IGNORE = ".csrmsignore"
LISTS = (".gitignore", IGNORE)
"""Read in this order, each in the syntax of git; a later line outweighs an earlier one, `!name` takes a name back."""
LEFT_OUT = (
    ".*", "__pycache__/", "*.egg-info/", "build/", "dist/", "venv/", "env/", "node_modules/",
    "data/", "datasets/", "runs/", "mlruns/", "wandb/", "outputs/", "checkpoints/",
    "*.parquet", "*.npy", "*.npz", "*.arrow", "*.h5", "*.hdf5", "*.tar", "*.tar.*", "*.tgz", "*.zip", "*.whl",
    "*.pt", "*.pth", "*.ckpt", "*.safetensors", "*.onnx", "*.jpg", "*.jpeg", "*.png", "*.log", "*.so",
)  # fmt: skip
LIMIT_BYTES, LIMIT_FILES = 50_000_000, 5_000
NAMED = 3
"""So many of the largest files are named where there are too many bytes."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Upload:
    """What a job gets. root: the folder it is of. config: the configuration's path in it. sizes: path -> bytes."""

    root: Path
    config: str
    sizes: Mapping[str, int]

    @property
    def n_bytes(self) -> int:
        return sum(self.sizes.values())

    def write(self, path: Path) -> None:
        """Write the files as a ZIP file. The same files give the same bytes, which a cluster that has them knows."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(self.sizes):
                place = self.root / name
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o755 if place.stat().st_mode & stat.S_IXUSR else 0o644) << 16
                archive.writestr(entry, place.read_bytes())


def upload_of(config: str | Path, settings: RunSettings) -> Upload:
    """The files that go along with a run of this configuration.

    They are those of the current folder or, where the configuration lies outside it, of the configuration's folder,
    but for `LEFT_OUT`, the data that the configuration names, and what .gitignore and .csrmsignore there leave out.
    Raises ConfigError for more than is sensible, and for data that is named by a relative path and does not go along.
    """
    place = Path(config).resolve()
    root = Path.cwd().resolve()
    if not place.is_relative_to(root):
        root = place.parent
    named = _named(settings)
    sizes = {place.relative_to(root).as_posix(): place.stat().st_size}
    for path in _kept(root, named):
        sizes[path] = (root / path).stat().st_size
        if len(sizes) > LIMIT_FILES:
            raise _too_much(root, f"more than {counted(LIMIT_FILES, 'file')}, most of them below {_fullest(sizes)}")
    upload = Upload(root, place.relative_to(root).as_posix(), sizes)
    if upload.n_bytes > LIMIT_BYTES:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:NAMED]
        listed = ", ".join(f"{path} {_megabytes(sizes[path])}" for path in largest)
        raise _too_much(root, f"{_megabytes(upload.n_bytes)} in {counted(len(sizes), 'file')}, the largest {listed}")
    _refuse_local(root, named, sizes)
    return upload


def _too_much(root: Path, got: str) -> ConfigError:
    return ConfigError(
        f"what goes along from {root}", got=got, expected=f"at most {_megabytes(LIMIT_BYTES)}",
        remedy=f"leave out in {IGNORE} what the run does not need, and put data on storage that all nodes reach",
    )  # fmt: skip


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _fullest(paths: Mapping[str, int]) -> str:
    """The folder directly below the root that holds most of the files, or the root."""
    count: dict[str, int] = {}
    for path in paths:
        parts = PurePosixPath(path).parts
        top = f"{parts[0]}/" if len(parts) > 1 else "./"
        count[top] = count.get(top, 0) + 1
    return max(count, key=lambda top: count[top])


def _named(settings: RunSettings) -> dict[str, str]:
    """Setting -> the data that it names by a path."""
    data, features, weights = settings.data, settings.features, settings.encoder.weights
    named = {
        "data.path": data.path,
        "data.test_path": data.test_path,
        "features.path": features.path,
        "features.rows_path": features.rows_path,
        "encoder.weights": "" if weights == PRETRAINED else weights,
    }
    return {key: value for key, value in named.items() if value and "://" not in value}


def _kept(root: Path, named: Mapping[str, str]) -> Iterator[str]:
    """The paths of all files below a folder that go along. Links to folders are not followed."""
    lines = [*LEFT_OUT]
    for value in named.values():
        place = (root / value).resolve()
        if place.is_relative_to(root) and place != root:
            lines.append("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", place.relative_to(root).as_posix()))
    for name in LISTS:
        if (root / name).is_file():
            lines += (root / name).read_text(encoding="utf-8", errors="replace").splitlines()
    left_out = require("pathspec").GitIgnoreSpec.from_lines(lines).match_file
    for folder, folders, files in os.walk(root):
        inner = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if not left_out(f"{(inner / name).as_posix()}/"))
        for name in sorted(files):
            path = (inner / name).as_posix()
            if not left_out(path) and (root / path).is_file():
                yield path


def _refuse_local(root: Path, named: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    """Raise ConfigError for data that a node of the cluster would look for in vain."""
    for key, value in named.items():
        if Path(value).is_absolute():
            continue
        place = PurePosixPath(os.path.normpath(value))
        if not any(PurePosixPath(path).is_relative_to(place) for path in sizes):
            raise ConfigError(
                key, got=f"{value}, which stays behind in {root}", expected="an absolute path that all nodes have",
                remedy=f"name it in full, or take it along with the line !/{place} in {IGNORE}",
            )  # fmt: skip
