"""An object store under a run: killed writers, a restarted server, a node that dies; each ends in a whole run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from tests.contract.s3_server import S3Server
from tests.contract.tcp_proxy import TcpProxy
from tests.end_to_end.harness import CONFIG, ROOM, ROOT, SMALL, STAGES, Run, csrms, prepare

MB = 1 << 20
HOOK = "CSRMS_TEST_STOP_AFTER"
UPLOAD = """
import sys
from csrms_dist.artefacts.run_directory import RunDirectory
run = RunDirectory(sys.argv[1])
with run.lock(), run.writing("graph", "f1") as folder:
    (folder / "a.bin").write_bytes(bytes(32 << 20))
    (folder / "b.bin").write_bytes(bytes(32 << 20))
"""


@pytest.fixture
def uri(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / "cache"))
    for key, value in s3.variables().items():
        monkeypatch.setenv(key, value)
    return f"s3://{s3.bucket('faults')}/{uuid.uuid4().hex}"


def test_killed_in_the_middle_of_an_upload(s3: S3Server, uri: str, tmp_path: Path) -> None:
    run = RunDirectory(uri)
    with run.writing("graph", "f0") as folder:
        (folder / "a.bin").write_bytes(b"old")
    with TcpProxy(s3.port, bytes_per_s=16 * MB) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-c", UPLOAD, uri], env=os.environ | s3.variables(port=proxy.port), cwd=ROOT
        )
        while proxy.passed < 8 * MB:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run.is_done("graph", "f0")
    assert (RunDirectory(uri).open("graph") / "a.bin").read_bytes() == b"old"
    with run.lock(), run.writing("graph", "f1") as folder:  # the lease of a dead process of this machine is nobody's
        (folder / "a.bin").write_bytes(b"new")
        assert len(list((tmp_path / "cache" / "staging").glob("graph-*.lock"))) == 1  # what it had staged is swept
    assert run.is_done("graph", "f1")
    assert run.leftovers() == []


@pytest.mark.slow
def test_the_server_is_restarted_during_an_upload(s3: S3Server, uri: str) -> None:
    content = os.urandom(48 * MB)
    run = RunDirectory(uri)
    with TcpProxy(s3.port, bytes_per_s=12 * MB) as proxy, pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        again = RunDirectory(uri)

        def restart() -> None:
            while proxy.passed < 8 * MB:
                time.sleep(0.01)
            s3.restart()

        thread = threading.Thread(target=restart)
        thread.start()
        with again.lock(), again.writing("graph", "f1") as folder:
            (folder / "a.bin").write_bytes(content)
        thread.join()
    assert run.is_done("graph", "f1")
    assert (run.open("graph") / "a.bin").read_bytes() == content


@pytest.mark.slow
@ROOM
def test_a_run_in_a_store_goes_on_on_another_node_and_is_asked_from_a_third(
    s3: S3Server, uri: str, tmp_path: Path, finished: Run
) -> None:
    """Killed in training; finished with another cache, the server restarted meanwhile; then nothing local is left."""

    def node(name: str, *arguments: str, code: int = 0, **environment: str) -> str:
        folder = tmp_path / name
        if not folder.exists():
            prepare(folder)
        variables = s3.variables() | {"CSRMS_CACHE": str(folder / "cache"), "CSRMS_STORAGE_WAIT_S": "300"}
        said = csrms(*arguments, folder=folder, **variables, **environment)
        assert said.code == code, said.err
        assert s3.users["writer"][1] not in said.out + said.err
        return said.out + said.err

    killed = node("first", "run", CONFIG, *SMALL, "--out", uri, code=-signal.SIGKILL, **{HOOK: "train.2"})
    assert "train     done" not in killed
    restart = threading.Timer(15.0, s3.restart)
    restart.start()
    node("second", "run", CONFIG, *SMALL, "--out", uri)
    restart.join()
    run = RunDirectory(uri)
    assert run.read_json("metrics.json") == finished.json("metrics.json")
    assert all(run.stamp(stage) for stage in (*STAGES, "candidates", "store"))
    assert run.names(".checkpoints") == []
    for arguments in (
        ("query", "confused_classes", "--run", uri), ("runs", "--run", uri), ("evaluate", CONFIG, *SMALL, "--out", uri),
        ("export", uri, "--as", "torch", "--out", "model.pt2"), ("clean", uri), ("clean", uri, "--yes"),
        ("query", "patterns", "--run", uri), ("plan", CONFIG, *SMALL, "--out", uri),
    ):  # fmt: skip
        node("third", *arguments)
    assert sorted(path.name for path in (tmp_path / "third").iterdir()) == ["cache", "examples", "model.pt2"]
