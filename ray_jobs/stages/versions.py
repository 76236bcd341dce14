"""The versions that decide the bits of a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("csrms-dist", "torch", "timm", "numpy", "pyarrow", "numba", "scikit-learn", "ray", "dgl", "ladybug")


def versions() -> dict[str, str]:
    """The versions that decide the bits of a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
