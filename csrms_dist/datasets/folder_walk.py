"""Every file below a folder, as people have folders: links, links to themselves, names that are no UTF-8."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeAlias

from csrms_dist.errors import DataError

Place: TypeAlias = tuple[int, int]
"""Device and inode of a folder: what it is, whatever path leads there."""


def visible(folder: Path | str) -> list[os.DirEntry[str]]:
    """What lies in a folder and is not hidden, by name. Raises DataError when it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        got, expected = f"'{error.strerror}'", "a folder that can be read"
        raise DataError(shown(os.fspath(folder)), got=got, expected=expected, remedy="check its permissions") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or leads to one; a link to itself leads nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def walk(folder: Path | str, leave_out: Collection[str] = ()) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path below `folder`, entry) of every visible file, in the order of the names; links to folders are followed.

    A folder is not entered again from within itself. leave_out: names of folders directly below.
    """
    status = os.stat(folder)  # noqa: PTH116
    yield from _walk(folder, "", ((status.st_dev, status.st_ino),), leave_out)


def _walk(
    folder: Path | str, below: str, above: tuple[Place, ...], leave_out: Collection[str]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    for entry in visible(folder):
        if not is_folder(entry):
            yield below + entry.name, entry
        elif entry.name not in leave_out:
            status = entry.stat()
            if (place := (status.st_dev, status.st_ino)) not in above:
                yield from _walk(entry.path, f"{below}{entry.name}/", (*above, place), ())


def shown(name: str) -> str:
    r"""A path as text that can be written anywhere: bytes of it that are no UTF-8 as \xe9."""
    return name if name.isascii() else os.fsencode(name).decode(errors="backslashreplace")
