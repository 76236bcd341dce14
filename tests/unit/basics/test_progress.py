"""Long work is shown in one way: a rewritten line on a terminal, few lines elsewhere, only the last one in CI."""

from __future__ import annotations

import io
import time
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics.progress import Progress, duration


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (12.3, "12 s"), (119.4, "119 s"),
        (119.6, "2 min 00 s"), (120, "2 min 00 s"), (185, "3 min 05 s"), (7199.4, "119 min 59 s"),
        (7199.6, "2 h 00 min"), (7800, "2 h 10 min"), (360000, "100 h 00 min"),
    ],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e7))
def test_duration_is_right_to_its_last_digit(seconds: float) -> None:
    words = duration(seconds).split()
    size = {"s": 1.0, "min": 60.0, "h": 3600.0}
    read = sum(float(number) * size[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    last = 0.1 if seconds < 9.95 else size[words[-1]]
    assert abs(read - seconds) <= max(last, 1.0) if last == 60.0 else abs(read - seconds) <= last * 0.51


def test_a_file_gets_a_line_every_ten_seconds_and_one_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("features", total=100, unit="images", stream=stream) as progress:
        for _ in range(100):
            clock.now += 1
            progress.update(1)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 100 // 10 + 1
    assert lines[0] == "features   10%   10/100 images  1.0 images/s  90 s left"  # counted from the first report
    assert lines[-1] == "features  done   100 images in 100 s"
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_rewrites_one_line(clock: Clock) -> None:
    stream = Terminal()
    with Progress("train", total=4, unit="epochs", stream=stream) as progress:
        for _ in range(4):
            clock.now += 0.5
            progress.update(1)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    shown = [part for part in text.split("\r\x1b[2K") if part]
    assert shown[0] == "train      25%   1/4 epochs"
    assert len(shown) == 5


def test_a_terminal_is_not_flooded(clock: Clock) -> None:
    stream = Terminal()
    with Progress("train", total=1000, stream=stream) as progress:
        for _ in range(1000):
            clock.now += 0.001
            progress.update(1)
    assert stream.getvalue().count("\r") <= 11


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize(("value", "quiet"), [("true", True), ("1", True), ("false", False), ("0", False), ("", False)])
def test_ci_shows_the_last_line_alone(
    stream: type[io.StringIO], value: str, quiet: bool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", value)
    out = stream()
    with Progress("cluster", total=5, unit="shards", stream=out) as progress:
        for _ in range(5):
            clock.now += 60
            progress.update(1)
    if quiet:
        assert out.getvalue() == "cluster   done   5 shards in 5 min 00 s\n"
    else:
        assert "4/5 shards" in out.getvalue()


def test_an_earlier_attempt_counts_as_done_but_not_in_the_rate(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("train", total=100, unit="epochs", stream=stream)
    progress.resume_at(80)
    clock.now += 9
    progress.update(5)
    clock.now += 10
    progress.update(5)
    assert stream.getvalue() == "train      90%   90/100 epochs  0.5 epochs/s  20 s left\n"


def test_nothing_is_said_of_the_rest_until_it_can_be_estimated(clock: Clock) -> None:
    stream = Terminal()
    progress = Progress("train", total=100, unit="epochs", stream=stream)
    clock.now += 60  # workers start
    progress.update(1)
    for _ in range(4):
        clock.now += 1
        progress.update(1)
    assert "left" not in stream.getvalue()
    assert "/s" not in stream.getvalue()
    clock.now += 1
    progress.update(1)
    assert stream.getvalue().endswith("6/100 epochs  1.0 epochs/s  94 s left")


def test_of_uneven_units_neither_rate_nor_rest_is_said(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("cluster", total=7, unit="phases", stream=stream, steady=False)
    for _ in range(3):
        clock.now += 20
        progress.update(1)
    assert "left" not in stream.getvalue()
    assert stream.getvalue().splitlines()[-1] == "cluster    43%   3/7 phases"


def test_without_a_total_there_is_no_share_and_no_remaining_time(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("export", unit="rows", stream=stream)
    progress.set(0)
    clock.now += 20
    progress.set(5000, note="parquet")
    assert stream.getvalue() == "export      250.0 rows/s  parquet\n"


def test_more_than_the_total_is_never_more_than_all(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("export", total=10, unit="rows", stream=stream)
    clock.now += 20
    progress.set(15)
    assert "100%" in stream.getvalue()
    assert "left" not in stream.getvalue()


def test_the_note_stays_until_another_comes(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("train", total=3, unit="epochs", stream=stream) as progress:
        progress.update(1, note="loss 0.5")
        progress.update(1)
        progress.update(1, note="loss 0.4")
    assert stream.getvalue() == "train     done   3 epochs in 0.0 s  loss 0.4\n"


@pytest.mark.parametrize(("stream", "left"), [(io.StringIO, ""), (Terminal, "\n")])
def test_a_failure_claims_nothing_and_frees_the_line(stream: type[io.StringIO], left: str) -> None:
    out = stream()
    with pytest.raises(ValueError, match="inside"), Progress("train", total=3, stream=out):
        raise ValueError("inside")
    assert out.getvalue() == left


def test_standard_output_stays_the_command_s_result(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("features") as progress:
        progress.update(3)
    shown = cast("tuple[str, str]", capsys.readouterr())
    assert shown[0] == ""
    assert shown[1] == "features  done   0.0 s\n"


@pytest.mark.parametrize(("done", "said"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_one_is_one(clock: Clock, done: int, said: str) -> None:
    stream = io.StringIO()
    with Progress("images", unit="images", stream=stream) as progress:
        progress.update(done)
    assert stream.getvalue() == f"images    done   {said} in 0.0 s\n"
