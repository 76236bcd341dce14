"""Ctrl-C and SIGTERM end a command with one sentence and 130, whatever a library makes of the exception."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

import pytest

from csrms_dist.errors import ClusterError
from ray_jobs.commands import cli
from ray_jobs.stop_points import passed
from ray_jobs.stopping import stopping

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = "\ncsrms doctor: stopped; the same command goes on from here\n"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    stopping.asked = False
    for number, handler in before.items():
        signal.signal(number, handler)


def swallowed(number: signal.Signals) -> None:
    """What an import inside a library's try block does with Ctrl-C."""
    with contextlib.suppress(BaseException):
        signal.raise_signal(number)


def half_a_module() -> None:
    raise AttributeError("module 'torch._dynamo' has no attribute 'utils'")


def dead_actors() -> None:
    raise ClusterError("task 2", got="4 dead actors")


def next_point() -> None:
    passed("train.3")
    pytest.fail("went on")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("then", [half_a_module, dead_actors, next_point])
def test_a_swallowed_signal_stops_the_command(
    number: signal.Signals,
    then: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(_: object) -> int:
        swallowed(number)
        then()
        return 0

    monkeypatch.setattr(cli, "_dispatch", work)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == STOPPED


@pytest.mark.parametrize(("then", "code"), [(half_a_module, 2), (dead_actors, 6)])
def test_an_error_of_its_own_stays_one(
    then: Callable[[], None], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in a process of which an earlier command was stopped. (What this file raises is a user's own code: 2.)"""
    stopping.asked = True
    monkeypatch.setattr(cli, "_dispatch", lambda _: then())
    assert cli.main(["doctor"]) == code
    assert "stopped" not in capsys.readouterr().err


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(cli, "_dispatch", lambda _: signal.raise_signal(signal.SIGINT) or 0)
    assert cli.main(["doctor"]) == 0
