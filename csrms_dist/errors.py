"""One exception tree. Every error is one sentence: what was got, what was expected, what to do.

Errors survive pickling, because Ray ships them between processes, and carry the exit code of the command line.
"""

from __future__ import annotations

from typing import Any


class CsrmsError(Exception):
    """Base of every error that this project raises on purpose.

    Parameters
    ----------
    what: the subject, as the user knows it ("cluster.vigilance", "row 17 of vectors.parquet").
    got, expected, remedy: joined into one sentence; each may be empty.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: str = "", expected: str = "", remedy: str = "") -> None:
        self.what, self.got, self.expected, self.remedy = what, got, expected, remedy
        text = what
        if got:
            text += f": got {got}"
        if expected:
            text += f", expected {expected}" if got else f": expected {expected}"
        if remedy:
            text += f"; {remedy}"
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.what, self.got, self.expected, self.remedy)


def _rebuild(kind: type[CsrmsError], what: str, got: str, expected: str, remedy: str) -> CsrmsError:
    return kind(what, got=got, expected=expected, remedy=remedy)


class ConfigError(CsrmsError, ValueError):
    """A key or a value of the configuration, or an argument of a command, is not legal; a ValueError too."""

    exit_code = 2


class DataError(CsrmsError, ValueError):
    """The user's data (images, labels, vectors) cannot be used; a ValueError too, as libraries expect."""

    exit_code = 3


class RunDirectoryError(CsrmsError):
    """The run directory cannot be written or read, or an artefact that a command needs is missing."""

    exit_code = 4


class StoreError(CsrmsError):
    """The graph store cannot be opened, written or queried."""

    exit_code = 5


class ClusterError(CsrmsError):
    """A worker or an actor of the cluster failed more often than it may."""

    exit_code = 6


class StalledError(ClusterError):
    """A worker did not answer, or waited for nobody knows what: trying again may help."""


class MissingDependencyError(CsrmsError):
    """An optional package that this command needs is not installed."""

    exit_code = 7


def require(module: str, extra: str = "full") -> Any:
    """Import `module`, or say in one sentence which extra brings it."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise _missing(module, extra, str(error)) from error


def check_installed(module: str, extra: str = "full") -> None:
    """Raise what `require` raises where a package is not installed, without importing it."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise _missing(module, extra, f"No module named '{module}'")


def _missing(module: str, extra: str, got: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"this needs the package {module.partition('.')[0]}", got=got,
        remedy=f"install it with pip install 'csrms-dist[{extra}]'",
    )  # fmt: skip
