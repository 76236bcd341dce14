"""The port to Ray's jobs: each way of failing is one sentence, and what may pass is told from what will not."""

from __future__ import annotations

import asyncio
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from ray.exceptions import AuthenticationError

from csrms_dist.errors import ClusterError, ConfigError
from ray_jobs.submission import cluster as module
from ray_jobs.submission.cluster import ADDRESS, Cluster, Job, UnreachableError, connect
from tests.unit.ray_jobs.submission.conftest import Client


def test_a_job_is_told_as_it_is(client: Client, cluster: Cluster) -> None:
    client.add("a", status="FAILED", driver_exit_code=3, message="said", end_time=9_000)
    client.add(None)  # a program that joined by itself
    client.add("b")
    failed = Job("a", "FAILED", "csrms run my.yaml", 3, "said", 1_000, 9_000)
    running = Job("b", "RUNNING", "csrms run my.yaml", None, "", 3_000, 0)
    assert cluster.jobs() == [running, failed]
    assert (cluster.job("a"), failed.ended, running.ended) == (failed, True, False)


def test_a_job_starts_in_its_archive_with_the_variables_alone(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"zip")
    cluster.submit("csrms run x", "a", tmp_path / "a.zip", {"A": "1"})
    cluster.submit("csrms run x", "b", tmp_path / "a.zip", {})
    assert client.archives == [b"zip"] * 2
    assert [set(client.jobs[name].runtime_env) for name in "ab"] == [{"working_dir", "env_vars"}, {"working_dir"}]
    assert client.jobs["a"].runtime_env["env_vars"] == {"A": "1"}


def test_a_job_that_is_not_there_is_a_slip_of_the_user(cluster: Cluster) -> None:
    for ask in (cluster.job, cluster.stop):
        with pytest.raises(ConfigError) as raised:
            ask("digits-12")
        assert str(raised.value) == (
            "the job: got 'digits-12', expected a job of http://head:8265; csrms jobs lists them"
        )


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ConnectionError("refused"), UnreachableError, "'refused', expected an answer of Ray's dashboard"),
        (RuntimeError("Request failed with status code 503: busy"), UnreachableError, "503: busy"),
        (
            RuntimeError("Request failed with status code 500: Traceback\n  File x\nValueError: no such thing."),
            ClusterError, "got 'ValueError: no such thing'",
        ),
        (
            AuthenticationError("Authentication failed: Forbidden: Invalid authentication token\n\nlong advice"),
            ClusterError, "got 'Forbidden: Invalid authentication token', expected its token; set RAY_AUTH_MODE=token",
        ),
    ],
)  # fmt: skip
def test_failures_are_one_sentence(
    client: Client, cluster: Cluster, error: Exception, kind: type[ClusterError], said: str
) -> None:
    client.failures = [error]
    with pytest.raises(ClusterError) as raised:
        cluster.jobs()
    assert type(raised.value) is kind
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 6


def test_no_answer_is_not_waited_for_without_end(
    cluster: Cluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = Event()
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    monkeypatch.setattr(client, "get_job_info", lambda _: never.wait(5))
    with pytest.raises(UnreachableError, match=r"no answer within 0\.05 s"):
        cluster.job("a")


def test_a_silent_log_gives_empty_texts(cluster: Cluster, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tail(_: str):  # type: ignore[no-untyped-def]
        yield "one\n"
        await asyncio.sleep(0.3)
        yield "two\n"
        await asyncio.sleep(60)

    monkeypatch.setattr(module, "IDLE_S", 0.05)
    monkeypatch.setattr(client, "tail_job_logs", tail)
    log = cluster.log("a")
    texts = [next(log)]
    while texts[-1] != "two\n":
        texts.append(next(log))
    assert texts[0] == "one\n"
    assert set(texts[1:-1]) == {""}
    assert next(log) == ""
    log.close()  # ends what it waits for: a task that is left behind would be a warning, which is an error here


@pytest.mark.parametrize(
    "given",
    ["ftp://head:8265", "http://head", "http://:8265", "http://me:secret@head:8265", "http://head:port", "auto"],
)
def test_an_address_of_another_kind_is_refused_without_what_is_secret_in_it(given: str) -> None:
    with pytest.raises(ConfigError, match=r"--address: got .*expected the dashboard's address, such as") as raised:
        connect(given)
    assert "secret" not in str(raised.value)


def test_nobody_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:{port}")
    for given in (None, f"127.0.0.1:{port}", f"http://127.0.0.1:{port}/"):
        with pytest.raises(UnreachableError) as raised:
            connect(given)
        assert str(raised.value) == (
            f"the cluster at http://127.0.0.1:{port}: got 'Connection refused', expected an answer of Ray's dashboard; "
            "start it (ray start --head), or check --address and the tunnel to it; its port is 8265, not 6379"
        )


def test_another_server_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.delenv(ADDRESS, raising=False)
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UnreachableError, match="expected an answer of Ray's dashboard"):
            connect(f"127.0.0.1:{server.server_port}")
        server.shutdown()
