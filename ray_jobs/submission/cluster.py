"""The jobs of a Ray cluster, over the address of its dashboard: submit, look at, read the log, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from csrms_dist.errors import ClusterError, ConfigError, require

ADDRESS = "RAY_API_SERVER_ADDRESS"
"""Ray's variable of a dashboard's address; to Ray's client it outweighs the argument, to us it is the default."""
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
CONNECT_S, ANSWER_S, UPLOAD_S = 10.0, 30.0, 600.0
IDLE_S = 15.0
"""A log that says nothing for so long gives an empty text: time to ask whether the cluster is still there."""
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
T = TypeVar("T")


class UnreachableError(ClusterError):
    """A cluster that gave no answer, which may come back."""


@dataclass(frozen=True)
class Job:
    """A job. status: Ray's word. exit_code: of its command, None while it runs and where it never began or was lost.
    message: why it failed, in Ray's words. started_ms, ended_ms: since 1970, 0 where it has not."""

    id: str
    status: str
    command: str
    exit_code: int | None = None
    message: str = ""
    started_ms: int = 0
    ended_ms: int = 0

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Cluster:
    """One cluster, through a JobSubmissionClient; every call raises UnreachableError, ClusterError or ConfigError."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self.address = client, address

    def submit(self, command: str, job_id: str, archive: Path, variables: Mapping[str, str]) -> None:
        """Upload an archive and have a command started in it, with these variables."""
        environment: dict[str, Any] = {"working_dir": str(archive)}
        if variables:
            environment["env_vars"] = dict(variables)
        self._ask(
            lambda: self._client.submit_job(entrypoint=command, submission_id=job_id, runtime_env=environment),
            UPLOAD_S,
        )

    def job(self, job_id: str) -> Job:
        """What is known of a job. Raises ConfigError for one that is not there."""
        return _job(self._ask(lambda: self._client.get_job_info(job_id), about=job_id))

    def jobs(self) -> list[Job]:
        """All that were submitted, the last first; programs that joined by themselves are none."""
        found = [_job(info) for info in self._ask(self._client.list_jobs) if info.submission_id]
        return sorted(found, key=lambda job: -job.started_ms)

    def stop(self, job_id: str) -> None:
        """Ask a job to end; one that has ended stays as it is."""
        self._ask(lambda: self._client.stop_job(job_id), about=job_id)

    def log(self, job_id: str) -> Iterator[str]:
        """The log of a job from its beginning, as it grows, until the job has ended; '' where nothing came for a while.

        Raises UnreachableError when the connection is lost.
        """
        loop = asyncio.new_event_loop()
        tail = self._client.tail_job_logs(job_id)

        async def step() -> str | None:
            return await anext(tail, None)

        waiting: asyncio.Task[str | None] | None = None
        try:
            while True:
                waiting = waiting or loop.create_task(step())
                loop.run_until_complete(asyncio.wait({waiting}, timeout=IDLE_S))
                if not waiting.done():
                    yield ""
                    continue
                done, waiting = waiting, None
                try:
                    text = done.result()
                except Exception as error:  # aiohttp's errors, Ray's RuntimeError: in each case there is no log now
                    raise self._unreachable(error) from error
                if text is None:
                    return
                yield text
        finally:
            if waiting is not None:
                waiting.cancel()
                loop.run_until_complete(asyncio.wait({waiting}))
            loop.run_until_complete(tail.aclose())
            loop.close()

    def _ask(self, call: Callable[[], T], timeout_s: float | None = None, about: str = "") -> T:
        """What a call of the client gives. about: the job that it is about. Raises errors of ours alone."""
        try:
            return _within(timeout_s or ANSWER_S, call)
        except require("ray.exceptions").AuthenticationError as error:
            raise refused(self.address, error) from error
        except RuntimeError as error:  # the client's for every answer that is none of success
            found = re.match(r"Request failed with status code (\d+): (.*)", str(error), re.DOTALL)
            status, said = (int(found[1]), found[2]) if found else (500, str(error))
            if status == 404 and about:
                raise ConfigError(
                    "the job", got=f"'{about}'", expected=f"a job of {self.address}", remedy="csrms jobs lists them"
                ) from error
            if status in (502, 503, 504) or not found:
                raise self._unreachable(error) from error
            raise ClusterError(f"the cluster at {self.address}", got=f"'{_last_line(said)}'") from error
        except OSError as error:  # requests' errors too, and time that ran out
            raise self._unreachable(error) from error

    def _unreachable(self, error: BaseException) -> UnreachableError:
        return unreachable(self.address, _last_line(str(error)) or type(error).__name__)


def connect(given: str | None) -> Cluster:
    """The cluster whose dashboard has this address, else that of RAY_API_SERVER_ADDRESS, else the one of this machine.

    Raises ConfigError for an address of another kind, UnreachableError where nobody answers, ClusterError where a token
    is wrong or missing, MissingDependencyError without Ray.
    """
    address = _address(given)
    parts = urlsplit(address)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((str(parts.hostname), port), CONNECT_S).close()
    except OSError as error:
        raise unreachable(address, error.strerror or str(error)) from error
    module = require("ray.job_submission")
    # Its word of every package that it uploads, and of a token that is not there, which the error says too.
    for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk",
                 "ray._private.authentication.http_token_authentication"):  # fmt: skip
        logging.getLogger(name).setLevel(logging.ERROR)
    kept, os.environ[ADDRESS] = os.environ.get(ADDRESS), address  # RAY_ADDRESS would outweigh the argument
    try:
        return Cluster(_within(ANSWER_S, lambda: module.JobSubmissionClient(address)), address)
    except require("ray.exceptions").AuthenticationError as error:
        raise refused(address, error) from error
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: an answer that is no JSON
        raise unreachable(address, _last_line(str(error))) from error
    finally:
        del os.environ[ADDRESS]
        if kept is not None:
            os.environ[ADDRESS] = kept


def _address(given: str | None) -> str:
    """http://host:port of a dashboard. Raises ConfigError."""
    what = "--address" if given else f"the variable {ADDRESS}"
    text = (given or os.environ.get(ADDRESS) or DEFAULT_ADDRESS).rstrip("/")
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        legal = parts.scheme in ("http", "https") and parts.hostname and (parts.port or parts.scheme == "https")
    except ValueError:
        legal = False
    if not legal or parts.username or parts.password:
        got = "a user or a password in it" if parts.username or parts.password else repr(text)
        raise ConfigError(what, got=got, expected="the dashboard's address, such as http://HEAD:8265")
    return parts.geturl()


def unreachable(address: str, said: str) -> UnreachableError:
    return UnreachableError(
        f"the cluster at {address}", got=f"'{said}'", expected="an answer of Ray's dashboard",
        remedy="start it (ray start --head), or check --address and the tunnel to it; its port is 8265, not 6379",
    )  # fmt: skip


def refused(address: str, error: BaseException) -> ClusterError:
    first = re.split(r"\n|\. ", str(error))[0]  # advice follows
    said = re.sub(r"^Authentication (required|failed): ", "", first)
    return ClusterError(
        f"the cluster at {address}", got=f"'{said}'", expected="its token",
        remedy="set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that the cluster was started with",
    )  # fmt: skip


def _job(info: Any) -> Job:
    return Job(
        info.submission_id or info.job_id, str(getattr(info.status, "value", info.status)), info.entrypoint,
        info.driver_exit_code, info.message or "", info.start_time or 0, info.end_time or 0,
    )  # fmt: skip


def _last_line(text: str) -> str:
    """The last line of an error, of which a traceback ends in what went wrong, without its length."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300].rstrip(".") if lines else ""


def _within(timeout_s: float, call: Callable[[], T]) -> T:
    """What a call gives, or TimeoutError: the client itself would wait for an answer without end."""
    outcome: list[tuple[T | None, BaseException | None]] = []

    def work() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # raised again in the thread that waits
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not outcome:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
