"""Command doctor: what is installed, what can be reached, and what is missing for which command."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from csrms_dist.errors import CsrmsError

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
GPUS = Path("/proc/driver/nvidia/gpus")
FULL = ("ray", "dgl", "ladybug", "neo4j", "packaging", "pandas")


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
    lines.append(_device())
    lines.append(_ray())
    store, answers = _graph_store()
    lines.append(store)
    if missing:
        lines.append(f"missing: {', '.join(missing)}; install them with pip install 'csrms-dist[full]'")
    elif answers:
        lines.append("everything that csrms run needs is installed")
    return lines, not missing and answers


def _device() -> str:
    # Asked of the driver: loading torch takes seconds, and doctor must answer where it is broken.
    gpus = len(list(GPUS.glob("*")))
    return (
        f"GPU           {gpus}, on which train.device auto trains"
        if gpus
        else "GPU           none: training on the CPU"
    )


def _ray() -> str:
    address = os.environ.get("RAY_ADDRESS")
    return (
        f"Ray           the cluster at {address}"
        if address
        else "Ray           a local session (RAY_ADDRESS is not set)"
    )


def _graph_store() -> tuple[str, bool]:
    """Which store a run publishes to, and whether it answers; never the user name or the password."""
    if not os.environ.get("NEO4J_URI"):
        return "Graph store   embedded (ladybug), below the run directory", True
    try:
        from graphstore.neo4j.store import Neo4jStore

        with Neo4jStore.from_environment() as store:
            return f"Graph store   Neo4j, {store.location}: {len(store.runs())} runs", True
    except CsrmsError as error:
        return f"Graph store   {error}", False
