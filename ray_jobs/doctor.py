"""Command doctor: what is installed, what can be reached, and what is missing for which command."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

CORE = (
    "torch",
    "torchvision",
    "timm",
    "numba",
    "numpy",
    "scipy",
    "scikit-learn",
    "pyarrow",
    "pillow",
    "pyyaml",
    "safetensors",
)
FULL = ("ray", "dgl", "ladybug", "packaging", "pandas")
TIMEOUT_S = 2.0


def report() -> tuple[list[str], bool]:
    """Lines for a person, and whether everything that `csrms run` needs is there."""
    lines = [f"Python        {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"]
    lines += [f"Disk here     {shutil.disk_usage('.').free / 1e9:.0f} GB free"]
    missing = []
    for title, packages in (("core", CORE), ("full", FULL)):
        for package in packages:
            try:
                found = version(package)
            except PackageNotFoundError:
                found = "MISSING"
                missing.append(package)
            lines.append(f"{title}: {package:<14}{found}")
    lines += list(_devices(missing))
    lines.append(_ray())
    lines.append(_neo4j())
    if missing:
        lines.append(f"missing: {', '.join(missing)}; install them with pip install 'csrms-dist[full]'")
    else:
        lines.append("everything that csrms run needs is installed")
    return lines, not missing


def _devices(missing: list[str]) -> Iterator[str]:
    if "torch" not in missing:
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        yield f"GPU           {gpus or 'none'}; this version trains on the CPU"


def _ray() -> str:
    address = os.environ.get("RAY_ADDRESS")
    return (
        f"Ray           the cluster at {address}"
        if address
        else "Ray           a local session (RAY_ADDRESS is not set)"
    )


def _neo4j() -> str:
    """Whether a server answers; never the user name or the password."""
    uri = os.environ.get("NEO4J_URI")
    if not uri:
        return "Graph store   embedded (ladybug), below the run directory"
    parts = urlsplit(uri)
    place = f"{parts.hostname}:{parts.port or 7687}"
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 7687), timeout=TIMEOUT_S):
            answer = "answers"
    except OSError as error:
        answer = f"does not answer ({error.strerror or error})"
    note = f"NEO4J_URI is set and {place} {answer}, but this version does not publish to Neo4j"
    return f"Graph store   embedded (ladybug); {note}"
