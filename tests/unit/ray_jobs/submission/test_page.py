"""docs/clusters.md: each sentence that it shows is said."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import AuthenticationError, ObjectStoreFullError

from csrms_dist.errors import CsrmsError
from ray_jobs.on_ray import session
from ray_jobs.submission.cluster import Cluster, Job, connect, refused
from ray_jobs.submission.follow import exit_code
from tests.unit.ray_jobs.submission.conftest import Client

PAGE = Path(__file__).resolve().parents[4] / "docs" / "clusters.md"
HEAD = "http://HEAD:8265"
MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.60.0
    Python: 3.11.9
This process on node 10.0.0.2 was started with:
    Ray: 2.59.0
    Python: 3.11.9
"""


def raised(error: CsrmsError | None) -> None:
    assert error is not None
    raise error


def join(address: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        with session.ray_session(2):
            pass


MADE: list[Callable[[], object]] = [
    lambda: connect("http://127.0.0.1:1"),
    lambda: raised(
        refused(HEAD, AuthenticationError("Authentication failed: Forbidden: Invalid authentication token\n\nMore"))
    ),
    lambda: Cluster(Client(), HEAD).job("mine-12"),
    lambda: exit_code(Job("mine-12", "FAILED", "x", None, "The actor died because its node has died.")),
    lambda: exit_code(Job("mine-12", "FAILED", "x", 127)),
    lambda: raised(session._mismatch(RuntimeError(MISMATCH), "HEAD:6379")),
    lambda: raised(session._refused(AuthenticationError("RAY_AUTH_TOKEN_PATH is set but ..."), "HEAD:6379")),
    lambda: join("127.0.0.1:1"),
    lambda: raised(session.own_error(ObjectStoreFullError("The object store is full."))),
]


def test_the_sentences_are_those_that_are_said() -> None:
    [table] = PAGE.read_text().split("<!-- sentences -->\n")[1:]
    shown = re.findall(r"^\| [^`]*(?:`csrms`)?[^`]*\| `(.*)` \|$", table.split("\n\n")[0], re.MULTILINE)
    said = []
    kept = dict(os.environ)
    try:
        for make in MADE:
            with pytest.raises(CsrmsError) as caught:
                make()
            said.append(str(caught.value))
    finally:  # what the session set for Ray
        os.environ.clear()
        os.environ.update(kept)
    assert said == shown
