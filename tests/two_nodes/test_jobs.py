"""Two nodes of Ray on one machine: runs that are sent there, what may happen to them, and what is said."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import CLI, CONFIG, ROOT, SMALL, Finished, Process, csrms, digests, prepare
from tests.faults.test_kill import PLANTED, plant
from tests.two_nodes.cluster import Cluster, cluster, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TERM = """
import torch
from csrms_dist.losses.term import Term

class Shrink(Term):
    "A small weight on the length of the features."

    def of(self, view):
        return 0.001 * view.unit.square().sum() / view.reducer.size(len(view.unit))
"""
# Two workers, so that one of them is on the second node; room in the middle of a training for what happens there.
SPREAD = (
    *SMALL, "--set", "train.workers=2", "--set", "cluster.actors=2", "--set", "train.epochs=12",
    "--set", "method.terms={my_term:Shrink: 0.1}", "--no-control",
)  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("two")) as made:
        made.add_node()
        prepare(made.elsewhere)
        (made.elsewhere / "my_term.py").write_text(TERM)
        yield made


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the same run on this machine alone."""
    folder = tmp_path_factory.mktemp("local")
    prepare(folder)
    (folder / "my_term.py").write_text(TERM)
    said = csrms("run", CONFIG, *SPREAD, folder=folder)
    assert said.code == 0, said.err
    return folder / "runs" / "digits"


@pytest.fixture(scope="module")
def sent(two: Cluster) -> Finished:
    """What was said of the same run, sent to the cluster."""
    said = two.submit(CONFIG, *SPREAD)
    assert said.code == 0, said.out + said.err
    return said


def job_of(said: Finished) -> str:
    found = re.search(r"csrms submit: ([\w-]+), a job of", said.err)
    assert found, said.err
    return found[1]


def begun(two: Cluster, sent: Finished, name: str) -> Path:
    """A run of the same, of which all is done but the training and what follows it."""
    assert sent.code == 0
    run = two.runs / name
    shutil.copytree(two.runs / "digits", run)
    for stage in ("train", "evaluate"):
        shutil.rmtree(run / stage)
    return run


def history(run: Path) -> list[float]:
    facts = json.loads((run / "train" / "stamp.json").read_text())["facts"]
    return [epoch["loss"] for epoch in facts["history"]]


def assert_as_local(run: Path, local: Path) -> None:
    """The run gave the bytes of the same run here."""
    assert (run / "metrics.json").read_bytes() == (local / "metrics.json").read_bytes()
    for stage in ("features", "cluster", "train", "evaluate"):
        assert digests(run / stage) == digests(local / stage), stage


def test_a_run_that_is_sent_ends_as_the_same_run_here(two: Cluster, sent: Finished, local: Path) -> None:
    said = sent
    assert "train     done   12 epochs" in said.out
    assert "Accuracy on 359 test images" in said.out
    assert_as_local(two.runs / "digits", local)
    assert sorted(path.name for path in two.elsewhere.iterdir()) == ["examples", "my_term.py"]
    [job] = [job for job in two.jobs() if job["job"] == job_of(said)]
    assert (job["status"], job["exit_code"]) == ("SUCCEEDED", 0)
    again = two.csrms("jobs", "--address", two.address, "--follow", job["job"])
    assert (again.code, again.out) == (0, said.out)
    asked = two.csrms("query", "dominance", "--run", "runs/digits", CSRMS_RUNS=str(two.runs))
    assert asked.code == 0, asked.err


def test_rays_own_command_works_as_the_page_shows_it(two: Cluster, tmp_path: Path) -> None:
    prepare(tmp_path)
    shutil.copy(tmp_path / CONFIG, tmp_path / "my.yaml")
    text = (ROOT / "README.md").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("ray job submit")]
    words = line.replace("/shared/runs", str(two.runs)).split()
    said = two.ray(*words[1:], "--until=features", folder=tmp_path)
    assert said.code == 0, said.out + said.err
    assert (two.runs / "mine" / "features" / "stamp.json").is_file()


def test_the_exit_code_is_that_of_the_run(two: Cluster) -> None:
    said = two.submit(CONFIG, "--out", "wrong", "--set", "data.dataset=folders", "--set", "data.path=/not/there")
    assert said.code == 3
    assert "csrms run: " in said.out
    assert said.err.splitlines()[-1] == f"csrms submit: the job {job_of(said)} ended with exit code 3"


def test_ctrl_c_detaches_and_stop_stops(two: Cluster, sent: Finished) -> None:
    run = begun(two, sent, "stopped")
    command = (
        *CLI,
        "submit",
        CONFIG,
        *SPREAD,
        "--set",
        "train.epochs=200",
        "--out",
        "stopped",
        "--address",
        two.address,
    )
    with Process(command, two.elsewhere, two.access) as process:
        process.wait_until(lambda: bool(list(run.glob(".checkpoints/*/state.pt"))), "a checkpoint")
        process.signal(signal.SIGINT, group=True)
        said = process.finish(30)
    assert said.code == 130
    job = job_of(said)
    assert f"detached; the job {job} goes on: csrms jobs --address {two.address} --follow {job} shows it" in said.err
    [before] = [known for known in two.jobs() if known["job"] == job]
    assert before["status"] == "RUNNING"
    stopped = two.csrms("jobs", "--address", two.address, "--stop", job)
    assert (stopped.code, "has ended: STOPPED" in stopped.err) == (0, True), stopped.err
    shown = two.csrms("jobs", "--address", two.address, "--follow", job)
    assert shown.code == 130
    assert "csrms run: stopped; the same command goes on from here" in shown.out


def test_a_killed_command_goes_on_where_it_was(two: Cluster, sent: Finished, local: Path) -> None:
    run = begun(two, sent, "killed")
    command = (*CLI, "submit", CONFIG, *SPREAD, "--out", "killed", "--address", two.address)
    with Process(command, two.elsewhere, two.access) as process:
        process.wait_until(lambda: bool(list(run.glob(".checkpoints/*/state.pt"))), "a checkpoint")
        two.kill(two.nodes[0], "csrms run")
        said = process.finish()
    assert said.code == 137, said.out + said.err
    wait_for(lambda: not two.titled("RayTrainWorker"), "end of its workers")
    assert [plant(path) < 12 for path in run.glob(".checkpoints/*/state.pt")] == [True]
    again = two.submit(CONFIG, *SPREAD, "--out", "killed")
    assert again.code == 0, again.out + again.err
    first, *others = history(run)
    assert (first, others) == (PLANTED, history(local)[1:])
    assert (run / "metrics.json").read_bytes() == (local / "metrics.json").read_bytes()


def test_a_node_that_is_lost_in_an_epoch_costs_nothing_but_time(two: Cluster, sent: Finished, local: Path) -> None:
    run = begun(two, sent, "lost")
    command = (*CLI, "submit", CONFIG, *SPREAD, "--out", "lost", "--address", two.address)
    with Process(command, two.elsewhere, two.access) as process:
        process.wait_until(lambda: bool(list(run.glob(".checkpoints/*/state.pt"))), "a checkpoint")
        lost = two.nodes[1]
        two.kill(lost, "raylet/raylet")
        wait_for(lambda: not lost.processes(), "end of the node")
        two.add_node()
        said = process.finish()
    assert said.code == 0, said.out + said.err
    assert_as_local(run, local)


def test_a_token_is_asked_for(two: Cluster, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("0" * 64)
    at = f"the cluster at {two.address}"
    remedy = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that the cluster was started with"
    wrong = two.csrms("jobs", "--address", two.address, RAY_AUTH_TOKEN_PATH=str(tmp_path / "wrong"))
    assert (wrong.code, wrong.err) == (
        6, f"csrms jobs: {at}: got 'Forbidden: Invalid authentication token', expected its token; {remedy}\n"
    )  # fmt: skip
    none = csrms("jobs", "--address", two.address, folder=tmp_path, RAY_AUTH_MODE="disabled", HOME=str(tmp_path))
    assert (none.code, none.err) == (
        6, f"csrms jobs: {at}: got 'Unauthorized: Missing authentication token', expected its token; {remedy}\n"
    )  # fmt: skip


JOINED = ("run", CONFIG, *SMALL, "--until", "cluster", "--set", "cluster.actors=2", "--out")


def test_a_command_that_joins_needs_the_token_too(two: Cluster, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("0" * 64)
    prepare(tmp_path)
    wrong = two.access | {"RAY_ADDRESS": two.gcs, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "wrong")}
    said = csrms(*JOINED, tmp_path / "run", folder=tmp_path, **wrong)
    assert said.code == 6
    assert said.sentences[-1] == (
        f"csrms run: Ray on {two.gcs}: got no token or a wrong one, expected its token; set RAY_AUTH_MODE=token, and "
        "RAY_AUTH_TOKEN_PATH to the file that the cluster was started with"
    )


def test_another_version_of_ray_is_named(two: Cluster, tmp_path: Path) -> None:
    prepare(tmp_path)
    script = "import sys, ray; ray.__version__ = '2.59.9'; from ray_jobs.commands.cli import main; sys.exit(main())"
    with Process(
        (sys.executable, "-c", script, *JOINED, tmp_path / "run"), tmp_path, two.access | {"RAY_ADDRESS": two.gcs}
    ) as process:
        said = process.finish()
    python = ".".join(map(str, sys.version_info[:3]))
    assert said.code == 6
    assert said.sentences[-1] == (
        f"csrms run: Ray on {two.gcs}: got Ray 2.59.9 on Python {python} here, expected Ray {ray_version()} on Python "
        f"{python}, as it was started with; install the same here, or send the run there with csrms submit"
    )


def ray_version() -> str:
    from importlib.metadata import version

    return version("ray")
