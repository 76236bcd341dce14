"""The start of Ray: who needs it, and what is said when it does not come up."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from csrms_dist.errors import ClusterError
from ray_jobs.on_ray import session
from ray_jobs.on_ray.session import own_error, ray_session, uses_ray

LATE = Exception("The current node timed out during startup.\nThis could happen because ...")


class FailingRay(SimpleNamespace):
    """Ray whose start fails as often as asked, and leaves a process behind each time."""

    def __init__(self, failures: list[Exception]) -> None:
        super().__init__(failures=failures, left=[], started=False)

    def is_initialized(self) -> bool:
        return bool(self.started)

    def init(self, **options: Any) -> None:
        if self.failures:
            self.left.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
            raise self.failures.pop(0)
        self.started = True

    def shutdown(self) -> None:
        self.started = False


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    real = session.require

    def make(*failures: Exception) -> FailingRay:
        ray = FailingRay(list(failures))
        monkeypatch.setattr(session, "require", lambda name: ray if name == "ray" else real(name))
        return ray

    __import__("ray")  # brings psutil
    return make


def test_a_start_that_takes_too_long_is_tried_once_more(failing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ray = failing(LATE)
    with ray_session(2):
        assert ray.is_initialized()
    assert capsys.readouterr().err == "warning: Ray did not start; trying once more\n"
    [left] = ray.left
    assert left.wait(10) == -9  # nothing of the first attempt stays


def test_two_late_starts_are_one_sentence(failing: Any) -> None:
    ray = failing(LATE, LATE)
    with pytest.raises(ClusterError) as raised, ray_session(2):
        pass
    assert raised.value.exit_code == 6
    assert str(raised.value) == (
        "Ray on this machine: got 'The current node timed out during startup.', expected a running Ray; the machine "
        "may be busy: run the same command again, which goes on, or set every actors and workers to 1, which needs "
        "no Ray"
    )
    assert [process.wait(10) for process in ray.left] == [-9, -9]


def test_a_cluster_that_is_not_there_is_said_at_once(failing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(session, "_knock", lambda address: None)
    ray = failing(ConnectionError("no answer"), ConnectionError("no answer"))
    said = r"Ray on 10.0.0.1:6379: got 'no answer', .* unset RAY_ADDRESS"
    with pytest.raises(ClusterError, match=said), ray_session(2):
        pass
    assert len(ray.failures) == 1
    ray.left[0].wait(10)


@pytest.mark.parametrize(("hands", "address", "answer"), [(1, "", False), (2, "", True), (1, "local", True)])
def test_one_pair_of_hands_needs_ray_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, hands: int, address: str, answer: bool
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert uses_ray(hands) is answer


def test_an_error_of_ours_is_found_within_rays() -> None:
    ours = ClusterError("x")
    outer = RuntimeError("wrapped")
    outer.__cause__ = ours
    assert own_error(outer) is ours
    assert own_error(ValueError("none")) is None
