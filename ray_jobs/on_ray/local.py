"""The folder and the token of a Ray session of this machine's own; neither outlives it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO

PREFIX, ALIVE = "csrms-ray-", "alive"
LONGEST = 40
"""The path of a folder may be so long: Ray adds up to 65 characters to that of a socket, the system's limit is 107."""
FOLDER, MODE, TOKEN, TOKEN_PATH = "RAY_TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


class Folder:
    """Where a session keeps sockets, logs and what its memory does not hold, in the place of /tmp/ray, which is kept.

    While its process lives a lock says so; the folder of one that was killed goes when the next session begins. Where
    RAY_TMPDIR is set that folder is used, and left to the user. path: None there.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._alive: IO[str] | None = None
        if os.environ.get(FOLDER):
            return
        base = Path(tempfile.gettempdir())
        if len(str(base / PREFIX)) + 8 > LONGEST:
            base = Path("/tmp")  # noqa: S108 (a socket's path must be short)
        remove_abandoned(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        # The lock is that of the file, whatever its name: nobody sees one of that name which is not locked.
        unseen = self.path / f".{ALIVE}"
        self._alive = unseen.open("w")
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        unseen.rename(self.path / ALIVE)

    def remove(self) -> None:
        if self.path is not None and self._alive is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            self._alive.close()


def remove_abandoned(base: Path) -> None:
    """Remove the folders of sessions whose processes were killed."""
    for mark in base.glob(f"{PREFIX}*/{ALIVE}"):
        with contextlib.suppress(OSError), mark.open("r+") as file:  # another user's; locked; gone at this moment
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(mark.parent, ignore_errors=True)


def provide_token() -> None:
    """Put a token of this process's own into its environment where the user has none.

    Ray asks for one by default. It would write a new one into the home folder, where it stays and others may read it,
    and sessions that begin at the same time would overwrite each other's.
    """
    if os.environ.get(MODE, "token").lower() != "token" or os.environ.get(TOKEN) or os.environ.get(TOKEN_PATH):
        return
    if not (Path.home() / ".ray" / "auth_token").is_file():
        os.environ[TOKEN] = secrets.token_hex(32)
