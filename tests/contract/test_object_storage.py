"""Runs in a real S3 server: who may write, who was faster, and what is said when it refuses or does not answer."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.fs as pafs
import pytest

from csrms_dist.artefacts import conditional, lease
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError
from ray_jobs.commands.cli import main
from ray_jobs.places import find_run, run_directory
from tests.contract.s3_server import S3Server
from tests.contract.tcp_proxy import TcpProxy

As = Callable[..., None]
MB = 1 << 20


@pytest.fixture
def user(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """`user("reader")` makes this process that user of the server, perhaps through another port."""
    monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CSRMS_STORAGE_WAIT_S", "20")

    def become(name: str = "writer", port: int | None = None, **others: str) -> None:
        for key, value in (s3.variables(name, port) | others).items():
            monkeypatch.setenv(key, value)

    become()
    return become


@pytest.fixture
def uri(s3: S3Server, user: As) -> str:
    return f"s3://{s3.bucket('storage')}/{uuid.uuid4().hex}"


def write(run: RunDirectory, content: bytes = b"x", inputs: str = "f1") -> None:
    with run.writing("graph", inputs) as folder:
        (folder / "a.bin").write_bytes(content)


def said(run: Callable[[], object]) -> str:
    with pytest.raises(RunDirectoryError) as caught:
        run()
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_each_refusal_is_one_sentence_without_a_secret(s3: S3Server, user: As, uri: str) -> None:
    write(RunDirectory(uri))
    wrong = "not-the-secret-of-it"
    user(AWS_SECRET_ACCESS_KEY=wrong)
    refused = "got credentials that the store refuses, expected those of a user that it knows; check AWS_ACCESS_KEY_ID"
    for act in (
        lambda: RunDirectory(uri).stamp("graph"), lambda: write(RunDirectory(uri)), lambda: find_run(uri),
        lambda: RunDirectory(uri).lock().__enter__(), lambda: RunDirectory(uri).write_json("x.json", 1),
    ):  # fmt: skip
        text = said(act)
        assert text.startswith(f"{uri}: {refused}") and wrong not in text
    user(AWS_ACCESS_KEY_ID="nobody")
    assert refused in said(lambda: RunDirectory(uri).stamp("graph"))
    user("reader")
    assert RunDirectory(uri).is_done("graph", "f1")
    assert said(lambda: write(RunDirectory(uri))) == (
        f"{uri}: got credentials that may not write there; allow it, or choose another --out"
    )
    with pytest.raises(RunDirectoryError, match="may not write"), RunDirectory(uri).lock():
        pass
    user()
    missing = "s3://no-such-bucket-here/run"
    sentence = (
        f"{missing}: got a bucket that is not there, expected one that was made before; make it, or choose another"
    )
    assert said(lambda: write(RunDirectory(missing))) == sentence
    assert said(lambda: find_run(missing)) == sentence
    with pytest.raises(RunDirectoryError, match="a bucket that is not there"), RunDirectory(missing).lock():
        pass


@pytest.mark.parametrize(
    "uri", ["s3://user:password@bucket/run", "s3://user:password@bucket/run?region=x", "gs://password@bucket/run"]
)
def test_a_secret_in_a_uri_is_refused_and_not_shown(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(lambda: RunDirectory(uri))
    assert "password" not in text and "user" not in text
    assert text == (
        f"{uri[:2]}://bucket/run: got a secret in the URI, expected it in the environment; set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or what your store reads"
    )
    assert main(["query", "patterns", "--run", uri]) == 4
    assert "password" not in "".join(capsys.readouterr())


def test_a_uri_with_options(s3: S3Server, user: As, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    uri = f"s3://{s3.bucket('storage')}/deep/{uuid.uuid4().hex}?scheme=http&endpoint_override=127.0.0.1%3A{s3.port}"
    write(RunDirectory(uri))
    assert RunDirectory(uri).is_done("graph", "f1")
    assert RunDirectory(uri).uri_of("graph", "a.bin").startswith(uri.partition("?")[0] + "/graph/")
    assert "the option secret" in said(lambda: RunDirectory("s3://bucket/run?secret=x"))
    assert (
        said(lambda: RunDirectory("s3:///run")) == "s3:///run: got no bucket, expected a URI such as s3://bucket/runs"
    )


@pytest.mark.parametrize("exact", [True, False], ids=["conditional puts", "without obstore"])
def test_of_two_writers_the_slower_one_is_told(uri: str, monkeypatch: pytest.MonkeyPatch, exact: bool) -> None:
    if not exact:
        monkeypatch.setattr(conditional, "find_spec", lambda _: None)
    run = RunDirectory(uri)
    with (
        pytest.raises(RunDirectoryError, match="got one that another command wrote meanwhile"),
        run.writing("graph", "f1") as folder,
    ):
        (folder / "a.bin").write_bytes(b"slow")
        write(RunDirectory(uri), b"fast", "f2")
    assert run.is_done("graph", "f2")
    assert (run.open("graph") / "a.bin").read_bytes() == b"fast"
    assert len(run.leftovers()) == 1
    write(run, b"third", "f3")
    assert (RunDirectory(uri).open("graph") / "a.bin").read_bytes() == b"third"
    assert run.leftovers() == []


def foreign(uri: str, s3: S3Server, beat: int = 1) -> None:
    """The lease of a command on another machine."""
    with s3.system().open_output_stream(f"{uri.removeprefix('s3://')}/.lock") as file:
        file.write(json.dumps({"holder": "another", "beat": beat, "host": "elsewhere", "boot": "x", "pid": 1}).encode())


@pytest.mark.parametrize("exact", [True, False], ids=["conditional puts", "without obstore"])
def test_a_lease_ends_when_its_holder_is_dead(
    uri: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.5)
    monkeypatch.setattr(lease, "SETTLE_S", 0.1)
    if not exact:
        monkeypatch.setattr(conditional, "find_spec", lambda _: None)
    foreign(uri, s3)
    begun = time.monotonic()
    with RunDirectory(uri).lock():
        assert time.monotonic() - begun >= 0.5
    found = s3.system().get_file_info(f"{uri.removeprefix('s3://')}/.lock")
    assert found.type == pafs.FileType.NotFound


def test_a_lease_whose_holder_lives_is_not_taken(uri: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 30.0)
    beats = iter(range(2, 100))
    monkeypatch.setattr("csrms_dist.artefacts.lease.time.sleep", lambda _: foreign(uri, s3, next(beats)))
    foreign(uri, s3)
    with pytest.raises(RunDirectoryError, match="a run that another command is writing"), RunDirectory(uri).lock():
        pass


def test_who_seemed_dead_finishes_nothing(uri: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    run = RunDirectory(uri)
    with run.lock():
        write(run)
        foreign(uri, s3)
        deadline = time.monotonic() + 10
        while not run._place._lease._lost:  # type: ignore[attr-defined]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(RunDirectoryError, match="took over while the store could not be reached"):
            write(run, b"other", "f2")
    assert run.is_done("graph", "f1")
    assert s3.system().get_file_info(f"{uri.removeprefix('s3://')}/.lock").is_file  # it is the other's


def test_a_connection_that_is_cut_in_the_middle_of_an_upload(s3: S3Server, user: As, uri: str) -> None:
    content = os.urandom(24 * MB)
    with TcpProxy(s3.port, cut_after=12 * MB) as proxy:
        user(port=proxy.port)
        pauses: list[float] = []

        def mend(pause: float) -> None:
            pauses.append(pause)
            proxy.mend()

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("csrms_dist.artefacts.objects._SLEEP", mend)
            write(RunDirectory(uri), content)
        assert proxy.cuts == 1 and pauses
    user()
    run = RunDirectory(uri)
    assert (run.open("graph") / "a.bin").read_bytes() == content
    assert s3.system().get_file_info(run.uri_of("graph", "a.bin").removeprefix("s3://")).size == len(content)


def test_a_store_that_never_answers_again(s3: S3Server, user: As, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(RunDirectory(uri), b"old", "f0")
    monkeypatch.setenv("CSRMS_STORAGE_WAIT_S", "0.5")
    with TcpProxy(s3.port, cut_after=2 * MB) as proxy:
        user(port=proxy.port)
        text = said(lambda: write(RunDirectory(uri), bytes(8 * MB)))
    assert text == (
        f"{uri}: got no whole answer for 0.5 s, expected a store that answers; check its address (for S3 "
        "AWS_ENDPOINT_URL and AWS_REGION) and run the same command again, or raise CSRMS_STORAGE_WAIT_S"
    )
    user()
    assert RunDirectory(uri).is_done("graph", "f0")
    write(RunDirectory(uri), b"new", "f1")
    assert (RunDirectory(uri).open("graph") / "a.bin").read_bytes() == b"new"


def test_a_slow_connection_is_waited_for(s3: S3Server, user: As, uri: str) -> None:
    content = os.urandom(MB)
    with TcpProxy(s3.port, bytes_per_s=0.5 * MB) as proxy:
        user(port=proxy.port)
        begun = time.monotonic()
        write(RunDirectory(uri), content)
        assert time.monotonic() - begun >= 1.5
    user()
    assert RunDirectory(uri).is_done("graph", "f1")


def test_runs_below_a_uri(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSRMS_RUNS", uri)
    with pytest.raises(RunDirectoryError, match="got no run in it"):
        find_run(None)
    run_directory("runs/a").write_json("run.json", {})
    time.sleep(1.1)  # a store's clock has seconds
    run_directory("b").write_json("run.json", {})
    assert find_run(None).uri == f"{uri}/b"
    assert find_run("a").uri == f"{uri}/a"


def test_an_artefact_that_is_replaced_while_it_is_read_by_range(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(uri)
    write(run, bytes(9 * MB), "f1")
    monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / "other"))
    reader = RunDirectory(uri)
    reader.open("graph", by_range=("a.bin",))
    copy = reader.ranged("graph", "a.bin")
    assert copy is not None
    write(run, bytes(9 * MB), "f2")
    with (
        pytest.raises(RunDirectoryError, match="another command replaced it: run the same command again"),
        copy.reading(np.array([0]), np.array([1])),
    ):
        pass
