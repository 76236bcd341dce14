"""Following a job: every line once whatever happens to the connection, and the command's own exit code."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.errors import ClusterError, ConfigError
from ray_jobs.submission.cluster import Cluster, Job, UnreachableError
from ray_jobs.submission.follow import GIVE_UP_S, exit_code, follow
from tests.unit.ray_jobs.submission.conftest import ADDRESS, Client

LOST = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


class Time:
    """A clock that goes on by what is waited for."""

    def __init__(self) -> None:
        self.now, self.pauses = 0.0, list[float]()

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def followed(client: Client, time: Time | None = None) -> tuple[Job, str, list[str]]:
    texts, said, time = list[str](), list[str](), time or Time()
    job = follow(Cluster(client, ADDRESS), "a", texts.append, said.append, pause=time.pause, clock=lambda: time.now)
    return job, "".join(texts), said


def ends(client: Client, status: str = "SUCCEEDED", code: int = 0) -> Any:
    def end() -> None:
        client.jobs["a"].status, client.jobs["a"].driver_exit_code = status, code

    return end


def test_the_log_is_written_as_it_comes_and_the_job_told_at_its_end(client: Client) -> None:
    client.add("a")
    client.tails = [["train 10 %\n", "train 20 %\n", ends(client, "FAILED", 3)]]
    job, text, said = followed(client)
    assert (job.status, job.exit_code, text, said) == ("FAILED", 3, "train 10 %\ntrain 20 %\n", [])


def test_a_lost_connection_is_made_again_and_no_line_comes_twice(client: Client) -> None:
    client.add("a")
    client.tails = [
        ["one\n", "tw", LOST],
        ["one\ntwo\n", "thr", ConnectionResetError("reset by peer")],
        [],  # the agent is not up again: nothing, although the job runs
        ["one\n", "two\n", "three\nfour\n", ends(client)],
    ]
    job, text, said = followed(client)
    assert job.status == "SUCCEEDED"
    assert text == "one\ntwo\nthree\nfour\n"
    assert said == [
        f"the connection is lost ('{LOST}'); the job goes on, trying again",
        "connected again",
    ]


@given(st.text("ab\n", max_size=30), st.lists(st.lists(st.integers(0, 30), max_size=4), max_size=4))
def test_however_it_is_cut_it_is_the_same_text(whole: str, cuts: list[list[int]]) -> None:
    client = Client()
    client.add("a")

    def pieces(places: list[int]) -> list[str]:
        edges = [0, *sorted(min(place, len(whole)) for place in places)]
        return [whole[a:b] for a, b in pairwise(edges) if b > a]

    client.tails = [[*pieces(places), LOST] for places in cuts] + [[*filter(None, [whole]), ends(client)]]
    assert followed(client)[1] == whole


def test_pauses_grow_and_an_end_is_put_to_it(client: Client) -> None:
    client.add("a")
    client.tails = [[ConnectionRefusedError("refused")] for _ in range(1000)]
    time = Time()
    with pytest.raises(UnreachableError, match="refused"):
        followed(client, time)
    assert time.pauses[:6] == [1, 2, 4, 8, 15, 15]
    assert GIVE_UP_S <= time.now < GIVE_UP_S + 15


def test_a_silent_log_of_a_job_that_is_over_ends(client: Client, cluster: Cluster) -> None:
    client.add("a", status="SUCCEEDED", driver_exit_code=0)

    class Silent(Cluster):
        def log(self, job_id: str) -> Any:
            while True:
                yield ""

    assert follow(Silent(client, ADDRESS), "a", print, print).ended


def test_a_job_that_is_not_there_is_not_waited_for(client: Client) -> None:
    with pytest.raises(ConfigError, match="the job: got 'a'"):
        followed(client)


def test_a_cluster_that_came_back_without_the_job_says_so(client: Client) -> None:
    client.add("a")

    def restart() -> None:
        client.jobs.clear()
        raise ConnectionResetError("reset")

    client.tails = [["one\n", restart]]
    with pytest.raises(ConfigError, match="the job: got 'a'"):
        followed(client)


def test_a_log_that_went_with_its_node_does_not_hide_the_end(client: Client) -> None:
    client.add("a", status="FAILED")
    client.tails = [[ConnectionResetError("reset")]]
    job, text, said = followed(client)
    assert (job.status, text, said) == ("FAILED", "", ["the rest of its log is out of reach"])


@pytest.mark.parametrize(
    ("status", "of_the_driver", "code"),
    [("SUCCEEDED", 0, 0), ("FAILED", 3, 3), ("FAILED", 130, 130), ("FAILED", -9, 137), ("STOPPED", None, 130)],
)
def test_the_exit_code_is_the_commands(status: str, of_the_driver: int | None, code: int) -> None:
    assert exit_code(Job("a", status, "csrms run x", of_the_driver)) == code


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (
            Job("a", "FAILED", "x", None, "Unexpected error occurred:\n The actor died because its node has died."),
            "the job a: got 'Unexpected error occurred: The actor died because its node has died.', expected a command "
            "that ends by itself; the same command goes on from what is done",
        ),
        (
            Job("a", "FAILED", "x", 127),
            "the job a: got exit code 127, a command that is not there, expected csrms on the PATH of Ray; install "
            "csrms-dist[full] on every node, and start Ray in that environment",
        ),
    ],
)
def test_what_is_no_end_of_the_command_is_an_error_of_the_cluster(job: Job, said: str) -> None:
    with pytest.raises(ClusterError) as raised:
        exit_code(job)
    assert (str(raised.value), raised.value.exit_code) == (said, 6)
