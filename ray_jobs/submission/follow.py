"""Following a job: its log as it grows, over lost connections too, to its end and its exit code."""

from __future__ import annotations

import time
from collections.abc import Callable

from csrms_dist.errors import ClusterError
from ray_jobs.submission.cluster import Cluster, Job, UnreachableError

GIVE_UP_S = 600.0
"""So long a cluster may be out of reach; the job itself may be well."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
NO_SUCH_COMMAND = 127
SIGNALLED = 128
STOPPED = 130


def follow(
    cluster: Cluster,
    job_id: str,
    write: Callable[[str], None],
    say: Callable[[str], None],
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Job:
    """Write a job's log until it has ended; what it ended as.

    Where the connection is lost it is made again, and the log goes on where it was. Raises UnreachableError after
    `GIVE_UP_S` without an answer, and what `Cluster` raises.

    write: takes the log. say: takes sentences about the connection.
    """
    shown, lost_at, pause_s = 0, None, FIRST_PAUSE_S
    job: Job | None = None
    while True:
        try:
            job = cluster.job(job_id)
            seen = 0
            for text in cluster.log(job_id):
                if not text and cluster.job(job_id).ended:
                    break
                seen += len(text)
                if seen > shown:
                    write(text[shown - seen :])
                    shown = seen
            job = cluster.job(job_id)
            if lost_at is not None:
                say("connected again")
            lost_at, pause_s = None, FIRST_PAUSE_S
            if job.ended:
                return job
        except UnreachableError as error:
            if job is not None and job.ended:
                say("the rest of its log is out of reach")  # it went with its node
                return job
            now = clock()
            if lost_at is None:
                lost_at = now
                say(f"the connection is lost ('{error.got.strip(chr(39))}'); the job goes on, trying again")
            if now - lost_at >= GIVE_UP_S:
                raise
        pause(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def exit_code(job: Job) -> int:
    """The exit code of the command of a job that has ended; of a signal's death 128 and its number, as in a shell.

    Raises ClusterError for one that Ray did not bring to an end: a lost node, a folder that could not be set up, a
    command that is not there.
    """
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return STOPPED
    if job.exit_code == NO_SUCH_COMMAND:
        raise ClusterError(
            f"the job {job.id}", got="exit code 127, a command that is not there", expected="csrms on the PATH of Ray",
            remedy="install csrms-dist[full] on every node, and start Ray in that environment",
        )  # fmt: skip
    if job.exit_code is None:
        said = " ".join(job.message.split())[:300] or "no reason"
        raise ClusterError(
            f"the job {job.id}", got=f"'{said}'", expected="a command that ends by itself",
            remedy="the same command goes on from what is done",
        )  # fmt: skip
    return job.exit_code if job.exit_code > 0 else SIGNALLED - job.exit_code
