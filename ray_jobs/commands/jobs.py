"""Commands submit and jobs: a run as a job of a Ray cluster; which jobs there are, following and stopping one."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from csrms_dist.basics.progress import warn
from csrms_dist.basics.words import counted
from csrms_dist.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from ray_jobs.submission.cluster import Cluster, Job

INTERRUPTED = 130
STOPPED = "STOPPED"
STOP_S, LOOK_S = 60.0, 0.5
LEEWAY = {"RAY_JOB_STOP_WAIT_TIME_S": "30"}
"""Ray kills a job three seconds after it asked it to stop; a stage that writes needs longer."""
ADDRESS_HELP = "of the cluster's dashboard (default: RAY_API_SERVER_ADDRESS, or http://127.0.0.1:8265)"


def add_submit(parser: argparse.ArgumentParser) -> None:
    """The options of `csrms submit` beside those of `csrms run`."""
    parser.add_argument("--address", metavar="URL", help=ADDRESS_HELP)
    parser.add_argument("--detach", action="store_true", help="do not follow the job; print its id")
    parser.add_argument(
        "--forward-env", action="append", default=[], metavar="NAME",
        help="give the job this variable of yours; all who may look at the cluster's jobs can read it",
    )  # fmt: skip


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """The options of `csrms jobs`."""
    parser.add_argument("--address", metavar="URL", help=ADDRESS_HELP)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--follow", metavar="JOB", help="print its log from the beginning, and end as it ends")
    what.add_argument(
        "--stop", metavar="JOB", help="ask it to stop, as Ctrl-C does; the same command goes on from there"
    )


def submit(arguments: argparse.Namespace) -> int:
    """Send a run to a cluster and follow it; its exit code."""
    from ray_jobs.settings import load_settings
    from ray_jobs.submission.cluster import connect
    from ray_jobs.submission.upload import upload_of

    settings = load_settings(arguments.config, tuple(arguments.overrides))
    variables = {name: _variable(name) for name in arguments.forward_env}
    upload = upload_of(arguments.config, settings)
    command = _command(arguments, upload.config, settings.name)
    cluster = connect(arguments.address)
    job_id = f"{re.sub('[^A-Za-z0-9_-]', '-', settings.name)}-{secrets.token_hex(4)}"
    for name in variables:
        warn(f"{name} can be read by all who may look at the jobs of {cluster.address}")
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "upload.zip"
        upload.write(archive)
        size = archive.stat().st_size
        cluster.submit(command, job_id, archive, LEEWAY | variables)
    sent = f"{counted(len(upload.sizes), 'file')}, {size / 1e3:,.0f} kB"
    _say("submit", f"{job_id}, a job of {cluster.address}; {sent} of {upload.root} went along")
    if arguments.detach:
        print(job_id)
        _say("submit", _how(job_id, arguments.address))
        return 0
    return _follow("submit", arguments.address, cluster, job_id)


def jobs(arguments: argparse.Namespace) -> int:
    """List a cluster's jobs, follow one or stop one."""
    from ray_jobs.commands.output import check_out, write
    from ray_jobs.submission.cluster import connect

    check_out(arguments)
    cluster = connect(arguments.address)
    if arguments.follow:
        return _follow("jobs", arguments.address, cluster, arguments.follow)
    if arguments.stop:
        return _stop(cluster, arguments.stop)
    write([_table(cluster.jobs())], arguments)
    return 0


def _variable(name: str) -> str:
    if name not in os.environ:
        raise ConfigError("--forward-env", got=f"{name}, which is not set", expected="a variable that has a value")
    return os.environ[name]


def _command(arguments: argparse.Namespace, config: str, name: str) -> str:
    """The command of the job: `csrms run` with the same options.

    A place of runs that this machine's CSRMS_RUNS names is named in full, for the variable stays here.
    """
    from ray_jobs.places import ROOT, RUNS, run_directory

    out = arguments.out
    if os.environ.get(ROOT):
        out = run_directory(out if out is not None else Path(RUNS) / name).uri
    words = ["csrms", "run", config]
    words += [f"--out={out}"] * (out is not None)
    words += [word for override in arguments.overrides for word in ("--set", override)]
    words += [f"--until={arguments.until}"] * (arguments.until is not None)
    words += ["--no-control"] * arguments.no_control + ["--debug"] * arguments.debug
    return shlex.join(words)


def _how(job_id: str, address: str | None) -> str:
    at = f" --address {address}" if address else ""
    return f"csrms jobs{at} --follow {job_id} shows it, csrms jobs{at} --stop {job_id} stops it"


def _follow(command: str, address: str | None, cluster: Cluster, job_id: str) -> int:
    from ray_jobs.submission.follow import exit_code, follow

    try:
        job = follow(cluster, job_id, _print, lambda sentence: _say(command, sentence))
    except KeyboardInterrupt:
        _say(command, f"detached; the job {job_id} goes on: {_how(job_id, address)}")
        return INTERRUPTED
    code = exit_code(job)
    if job.status == STOPPED:
        _say(command, f"the job {job_id} was stopped; the same command goes on from there")
    elif code:
        _say(command, f"the job {job_id} ended with exit code {code}")
    return code


def _stop(cluster: Cluster, job_id: str) -> int:
    job = cluster.job(job_id)
    if job.ended:
        _say("jobs", f"the job {job_id} had ended before: {job.status}")
        return 0
    cluster.stop(job_id)
    deadline = time.monotonic() + STOP_S
    while not (job := cluster.job(job_id)).ended:
        if time.monotonic() > deadline:
            raise ClusterError(f"the job {job_id}", got=f"{job.status} after {STOP_S:g} s", expected="a job that stops")
        time.sleep(LOOK_S)
    _say("jobs", f"the job {job_id} has ended: {job.status}; the same command goes on from there")
    return 0


def _table(jobs: list[Job]) -> pa.Table:
    """One row a job: id, status, exit code, begun and ended (UTC), command."""
    import pyarrow as pa

    def moments(times: list[int]) -> pa.Array:
        return pa.array([moment or None for moment in times], pa.timestamp("ms", "UTC")).cast(pa.string())

    return pa.table(
        {
            "job": pa.array([job.id for job in jobs], pa.string()),
            "status": pa.array([job.status for job in jobs], pa.string()),
            "exit_code": pa.array([job.exit_code for job in jobs], pa.int64()),
            "begun": moments([job.started_ms for job in jobs]),
            "ended": moments([job.ended_ms for job in jobs]),
            "command": pa.array([job.command for job in jobs], pa.string()),
        }
    )


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _say(command: str, sentence: str) -> None:
    print(f"csrms {command}: {sentence}", file=sys.stderr)
