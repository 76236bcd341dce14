"""Where a run lies: the current folder, CSRMS_RUNS, and the current folder of a Ray job, which is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrms_dist.errors import ConfigError, RunDirectoryError
from ray_jobs.places import RAY_JOB, ROOT, find_run, run_directory
from tests.unit.ray_jobs.conftest import Cli


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(ROOT, raising=False)
    monkeypatch.delenv(RAY_JOB, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_alone_begins_in_the_current_folder_and_makes_nothing(here: Path) -> None:
    directory = run_directory("runs/digits")
    assert (directory.uri, directory.path) == ("runs/digits", here / "runs" / "digits")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("job", [False, True])
@pytest.mark.parametrize(
    ("named", "below"), [("runs/digits", "digits"), ("digits", "digits"), ("a/runs/b", "a/runs/b"), ("runs", ".")]
)
def test_the_variable_takes_the_place_of_runs(
    here: Path, monkeypatch: pytest.MonkeyPatch, named: str, below: str, job: bool
) -> None:
    monkeypatch.setenv(ROOT, str(here / "shared"))
    if job:
        monkeypatch.setenv(RAY_JOB, "{}")
    assert run_directory(named).path == here / "shared" / below
    assert run_directory(here / "mine").path == here / "mine"


def test_a_variable_that_is_no_absolute_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT, "shared")
    with pytest.raises(ConfigError, match="the variable CSRMS_RUNS: got 'shared', expected an absolute path"):
        run_directory("runs/digits")


def test_a_ray_job_writes_to_no_folder_that_ray_throws_away(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RAY_JOB, "{}")
    for arguments in ((), ("--out", "mine")):
        said = cli("run", "examples/digits.yaml", *arguments)
        assert said.code == 2
        named = "mine" if arguments else "runs/digits"
        assert said.err == (
            f"csrms run: the run directory: got {named} in a Ray job, whose current folder Ray throws away, expected "
            "an absolute path; set CSRMS_RUNS to a folder that all nodes share, or name it in full\n"
        )
    assert sorted(path.name for path in here.iterdir()) == ["examples"]
    assert run_directory(here / "mine").path == here / "mine"


def test_the_run_that_was_written_last_is_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunDirectoryError, match="runs/: got no run in it"):
        find_run(None)
    run_directory("runs/a").write_json("run.json", {})
    run_directory(here / "shared" / "b").write_json("run.json", {})
    assert find_run(None).uri == "runs/a"
    assert find_run("runs/a").path == here / "runs" / "a"
    monkeypatch.setenv(ROOT, str(here / "shared"))
    assert find_run(None).path == find_run("runs/b").path == here / "shared" / "b"
    with pytest.raises(RunDirectoryError, match=r"shared/a: got no run.json in it"):
        find_run("runs/a")
