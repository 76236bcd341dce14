"""Commands submit and jobs: what is sent, what is printed where, and with which exit code they end."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from ray_jobs.commands import jobs
from ray_jobs.submission import cluster as port
from tests.unit.ray_jobs.conftest import Cli
from tests.unit.ray_jobs.submission.conftest import ADDRESS, Client

CONFIG = "examples/digits.yaml"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The cluster that every address leads to."""
    client = Client()
    monkeypatch.delenv("CSRMS_RUNS", raising=False)
    monkeypatch.setattr(port, "connect", lambda given: port.Cluster(client, given or ADDRESS))
    monkeypatch.setattr(jobs.secrets, "token_hex", lambda _: "12ab")
    return client


def test_the_job_is_the_same_command(cli: Cli, client: Client, tmp_path: Path) -> None:
    said = cli(
        "submit", CONFIG, "--set", "method.terms={my_term:Nearer: 0.1}", "--set", "seed=1", "--no-control",
        "--until", "train", "--out", "/shared/my run", "--detach", "--debug",
    )  # fmt: skip
    job = client.jobs["digits-12ab"]
    assert job.entrypoint == (
        "csrms run examples/digits.yaml '--out=/shared/my run' --set 'method.terms={my_term:Nearer: 0.1}' --set seed=1 "
        "--until=train --no-control --debug"
    )
    with zipfile.ZipFile(io.BytesIO(client.archives[0])) as archive:
        assert archive.namelist() == [CONFIG]
    assert (said.code, said.out) == (0, "digits-12ab\n")
    assert said.err.splitlines() == [
        f"csrms submit: digits-12ab, a job of {ADDRESS}; 1 file, {len(client.archives[0]) / 1e3:,.0f} kB of {tmp_path} "
        "went along",
        "csrms submit: csrms jobs --follow digits-12ab shows it, csrms jobs --stop digits-12ab stops it",
    ]


def test_no_variable_goes_along_but_those_that_are_named(
    cli: Cli, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("NEO4J_PASSWORD", "hush hush")
    assert cli("submit", CONFIG, "--detach").err.count("warning") == 0
    assert client.jobs["digits-12ab"].runtime_env["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "30"}
    said = cli("submit", CONFIG, "--detach", "--forward-env", "NEO4J_PASSWORD")
    variables = client.jobs["digits-12ab"].runtime_env["env_vars"]
    assert variables == {"RAY_JOB_STOP_WAIT_TIME_S": "30", "NEO4J_PASSWORD": "hush hush"}
    assert f"warning: NEO4J_PASSWORD can be read by all who may look at the jobs of {ADDRESS}\n" in said.err
    assert "hush" not in said.err + said.out
    assert cli("submit", CONFIG, "--forward-env", "NOT_SET").err == (
        "csrms submit: --forward-env: got NOT_SET, which is not set, expected a variable that has a value\n"
    )


def test_this_machines_folder_of_runs_is_named_in_full(
    cli: Cli, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSRMS_RUNS", "/shared/runs")
    cli("submit", CONFIG, "--detach")
    assert client.jobs["digits-12ab"].entrypoint == f"csrms run {CONFIG} --out=/shared/runs/digits"
    cli("submit", CONFIG, "--detach", "--out", "runs/mine")
    assert client.jobs["digits-12ab"].entrypoint == f"csrms run {CONFIG} --out=/shared/runs/mine"


@pytest.mark.parametrize("code", [0, 3])
def test_a_followed_job_ends_the_command_as_it_ends(cli: Cli, client: Client, code: int) -> None:
    def end() -> None:
        job = client.jobs["digits-12ab"]
        job.status, job.driver_exit_code = ("FAILED" if code else "SUCCEEDED"), code

    client.tails = [["images    done\n", "Accuracy\n", end]]
    said = cli("submit", CONFIG, "--address", ADDRESS)
    assert (said.code, said.out) == (code, "images    done\nAccuracy\n")
    assert said.err.splitlines()[1:] == ["csrms submit: the job digits-12ab ended with exit code 3"][: int(code > 0)]


def test_ctrl_c_leaves_the_job_alone(cli: Cli, client: Client) -> None:
    def ctrl_c() -> None:
        raise KeyboardInterrupt

    client.tails = [["images    done\n", ctrl_c]]
    said = cli("submit", CONFIG, "--address", ADDRESS)
    assert (said.code, said.out) == (130, "images    done\n")
    assert said.err.splitlines()[1:] == [
        f"csrms submit: detached; the job digits-12ab goes on: csrms jobs --address {ADDRESS} --follow digits-12ab "
        f"shows it, csrms jobs --address {ADDRESS} --stop digits-12ab stops it"
    ]
    assert client.jobs["digits-12ab"].status == "RUNNING"


def test_what_is_wrong_with_the_configuration_is_said_before_anything_is_sent(cli: Cli, client: Client) -> None:
    said = cli("submit", CONFIG, "--set", "cluster.vigilence=0.5")
    assert (said.code, said.err) == (
        2, "csrms submit: unknown key cluster.vigilence; the nearest valid key is cluster.vigilance\n"
    )  # fmt: skip
    assert client.jobs == {}


def test_jobs_are_listed_followed_and_stopped(cli: Cli, client: Client) -> None:
    client.add("a", status="FAILED", driver_exit_code=3, end_time=61_000)
    client.add("b")
    assert json.loads(cli("jobs", "--format", "json").out) == [
        {"job": "b", "status": "RUNNING", "exit_code": None, "begun": "1970-01-01 00:00:02.000Z", "ended": None,
         "command": "csrms run my.yaml"},
        {"job": "a", "status": "FAILED", "exit_code": 3, "begun": "1970-01-01 00:00:01.000Z",
         "ended": "1970-01-01 00:01:01.000Z", "command": "csrms run my.yaml"},
    ]  # fmt: skip
    client.tails = [["its log\n"]]
    said = cli("jobs", "--follow", "a")
    assert (said.code, said.out) == (3, "its log\n")
    assert cli("jobs", "--stop", "b").err == (
        "csrms jobs: the job b has ended: STOPPED; the same command goes on from there\n"
    )
    assert cli("jobs", "--stop", "a").err == "csrms jobs: the job a had ended before: FAILED\n"
    assert cli("jobs", "--follow", "b").code == 130
    assert cli("jobs", "--stop", "c").code == 2
