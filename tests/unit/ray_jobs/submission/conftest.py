"""A hand-written stand-in for Ray's JobSubmissionClient: jobs with a script of what happens to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ray_jobs.submission.cluster import Cluster

ADDRESS = "http://head:8265"
Event = str | Exception | Callable[[], None]


class Client:
    """Answers as Ray 2.60's client does, its RuntimeErrors included.

    Each connection to a job's log plays the next list of `tails`: texts are sent, an exception breaks it off, a
    function is called. `failures`: raised by the next questions, one each.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, SimpleNamespace] = {}
        self.tails: list[list[Event]] = []
        self.failures: list[Exception] = []
        self.archives: list[bytes] = []

    def _answer(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def add(self, job_id: str | None, **facts: Any) -> SimpleNamespace:
        known = {"status": "RUNNING", "entrypoint": "csrms run my.yaml", "driver_exit_code": None, "message": None,
                 "start_time": 1_000 * (1 + len(self.jobs)), "end_time": None, "runtime_env": {}}  # fmt: skip
        self.jobs[str(job_id)] = info = SimpleNamespace(submission_id=job_id, job_id="01000000", **(known | facts))
        return info

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any]) -> str:
        self._answer()
        self.archives.append(Path(runtime_env["working_dir"]).read_bytes())
        self.add(submission_id, entrypoint=entrypoint, runtime_env=runtime_env)
        return submission_id

    def get_job_info(self, job_id: str) -> SimpleNamespace:
        self._answer()
        if job_id not in self.jobs:
            raise RuntimeError(f"Request failed with status code 404: Job {job_id} does not exist.")
        return self.jobs[job_id]

    def list_jobs(self) -> list[SimpleNamespace]:
        self._answer()
        return list(self.jobs.values())

    def stop_job(self, job_id: str) -> bool:
        self.get_job_info(job_id).status = "STOPPED"
        return True

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        for event in self.tails.pop(0) if self.tails else []:
            if isinstance(event, Exception):
                raise event
            if isinstance(event, str):
                yield event
            else:
                event()


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def cluster(client: Client) -> Cluster:
    return Cluster(client, ADDRESS)
