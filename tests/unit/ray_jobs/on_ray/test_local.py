"""What a local session keeps on disk and in the environment, and that it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ray_jobs.on_ray import local
from ray_jobs.on_ray.local import FOLDER, LONGEST, Folder, provide_token, remove_abandoned

KILLED = """
import os, signal, tempfile
from ray_jobs.on_ray.local import Folder
(Folder().path / "session").mkdir()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, whatever its length."""
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(local.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(local, "LONGEST", 1000)
    return tmp_path


def test_a_folder_goes_with_its_session_and_no_other(base: Path) -> None:
    first, second = Folder(), Folder()  # the second looks for abandoned ones
    assert first.path is not None
    assert second.path is not None
    assert sorted(base.iterdir()) == sorted([first.path, second.path])
    (first.path / "session_1" / "logs").mkdir(parents=True)
    first.remove()
    assert list(base.iterdir()) == [second.path]
    second.remove()


def test_what_a_killed_session_left_goes_when_the_next_begins(base: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(base)}, timeout=60)
    assert done.returncode == -9
    place = Path("/tmp") if len(str(base)) > LONGEST - 18 else base
    left = [mark.parent for mark in place.glob("csrms-ray-*/alive") if (mark.parent / "session").is_dir()]
    assert left
    (base / "csrms-ray-not-yet-locked").mkdir()
    remove_abandoned(place)
    assert not any(path.exists() for path in left)
    assert (base / "csrms-ray-not-yet-locked").is_dir()


def test_a_long_temporary_folder_is_not_used_for_sockets(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LONGEST", LONGEST)
    monkeypatch.setattr(local.tempfile, "gettempdir", lambda: "/a" * 30)
    folder = Folder()
    assert folder.path is not None
    assert folder.path.parent == Path("/tmp")
    assert len(str(folder.path)) <= LONGEST
    folder.remove()
    assert not folder.path.exists()


def test_the_users_own_folder_is_left_to_ray(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(base / "mine"))
    folder = Folder()
    folder.remove()
    assert (folder.path, list(base.iterdir())) == (None, [])


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, True),
        ({"RAY_AUTH_MODE": "token"}, True),
        ({"RAY_AUTH_MODE": "disabled"}, False),
        ({"RAY_AUTH_TOKEN": "mine"}, False),
        ({"RAY_AUTH_TOKEN_PATH": "/mine"}, False),
        ({"in the home folder": "mine"}, False),
    ],
)
def test_a_token_is_made_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], made: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (local.MODE, local.TOKEN, local.TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    if "in the home folder" in given:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("mine")
    else:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(local.os, "environ", dict(local.os.environ))  # what is set goes with the test
    before = local.os.environ.get(local.TOKEN)
    provide_token()
    token = local.os.environ.get(local.TOKEN)
    assert (token != before) is made
    assert not made or len(str(token)) == 64
