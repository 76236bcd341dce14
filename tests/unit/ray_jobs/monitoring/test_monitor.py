"""A run is followed: its log has whole lines of what happened, its loggers hear every figure once, whatever fails."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.fs as pafs
import pytest

from csrms_dist.artefacts.log_file import read_log
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.listening import Measured, Tallied, tell
from csrms_dist.basics.progress import Progress, muted, warn
from csrms_dist.errors import ClusterError
from ray_jobs.loggers import LOGGERS
from ray_jobs.loggers.logger import KIND, Place
from ray_jobs.monitoring import run_log, trackers
from ray_jobs.monitoring.monitor import monitored
from ray_jobs.settings import RunSettings, settings_from

ROOT = Path(__file__).resolve().parents[4]
INPUTS = {"images": "a" * 32, "train": "b" * 32, "evaluate": "c" * 32}


class Kept:
    """Keeps what it hears."""

    heard: ClassVar[list[tuple[str, float, int]]] = []
    made: ClassVar[list[Place]] = []
    closed: ClassVar[list[bool]] = []

    def __init__(self, place: Place) -> None:
        self.made.append(place)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.heard.extend((name, value, step) for name, value in metrics.items())

    def close(self) -> None:
        self.closed.append(True)


class Failing(Kept):
    """Fails from the second figure on."""

    calls: ClassVar[list[int]] = []

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.calls.append(step)
        if len(self.calls) > 1:
            raise ConnectionError("the server is\n gone")


class Writing(Kept):
    """Writes files."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder
        self._folder.mkdir()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        (self._folder / str(step)).write_text(str(dict(metrics)))


class Unmade(Kept):
    """Cannot be made."""

    def __init__(self, place: Place) -> None:
        raise OSError("no room")


@pytest.fixture(autouse=True)
def loggers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for kept in (Kept.heard, Kept.made, Kept.closed, Failing.calls):
        kept.clear()
    own = {
        f"{name}:{name}": kind
        for name, kind in (("kept", Kept), ("failing", Failing), ("unmade", Unmade), ("writing", Writing))
    }
    real = trackers._kind
    monkeypatch.setattr(trackers, "_kind", lambda name: own.get(name) or real(name))
    monkeypatch.setenv("CI", "true")
    yield


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return with_stages(RunDirectory(tmp_path / "run"))


def with_stages(run: RunDirectory) -> RunDirectory:
    """The run, three of whose stages are done."""
    for stage, facts in (("images", {}), ("train", {"history": history(3)}), ("evaluate", {})):
        with run.writing(stage, INPUTS[stage], facts) as folder:
            (folder / "file").write_bytes(bytes(10))
    return run


def history(epochs: int) -> list[dict[str, float]]:
    return [{"epoch": e + 1.0, "images": 50.0, "loss": 1 / (e + 1), "plain_accuracy": 0.1 * e} for e in range(epochs)]


def settings(*names: str, **values: Any) -> RunSettings:
    return settings_from({"name": "mine", "loggers": list(names), **values})


@contextmanager
def attempt(run: RunDirectory, chosen: RunSettings, waiting: set[str], number: int = 1) -> Iterator[Any]:
    with monitored(run, chosen, number, INPUTS, waiting) as monitor:
        yield monitor


@contextmanager
def under_way(run: RunDirectory, chosen: RunSettings) -> Iterator[Any]:
    """The stage train, in an attempt."""
    with attempt(run, chosen, {"train"}) as monitor, monitor.stage("train", INPUTS["train"]):
        yield monitor


def train(monitor: Any, epochs: int, first: int = 0, seconds: float = 2.0) -> None:
    with monitor.stage("train", INPUTS["train"]), Progress("train", total=epochs, unit="epochs") as progress:
        for done, report in enumerate(history(epochs)[first:], first + 1):
            tell(Measured(report, int(report["epoch"])))
            progress.set(done, "loss")
    monitor.done({"seconds": seconds, "passes": {"backward": 7, "forward": 0}})


def lines(run: RunDirectory, event: str = "") -> list[dict[str, Any]]:
    return [line for line in read_log(run, "log.jsonl") if not event or line["event"] == event]


def test_every_line_says_when_which_run_stage_and_event(run: RunDirectory) -> None:
    with attempt(run, settings(), {"train"}) as monitor:
        warn("beware")
        train(monitor, 3)
    text = (run.path / "log.jsonl").read_text()
    assert all(json.loads(line)["run"] == "mine" for line in text.splitlines())
    told = [(line["stage"], line["event"]) for line in lines(run)]
    assert told == [
        (None, "started"), ("images", "skipped"), ("evaluate", "skipped"), (None, "warning"), ("train", "started"),
        ("train", "measured"), ("train", "measured"), ("train", "measured"), ("train", "done"), (None, "done"),
    ]  # fmt: skip
    assert all(
        time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S") and line["time"].endswith("Z") for line in lines(run)
    )
    [done] = [line for line in lines(run, "done") if line["stage"]]
    assert done["figures"] == {
        "seconds": 2.0, "passes_backward": 7.0, "passes_forward": 0.0, "bytes": 10.0, "retries": 0.0, "rows": 150.0,
        "rows_per_s": 75.0,
    }  # fmt: skip
    assert (done["done"], done["total"], done["unit"], done["message"]) == (3, 3, "epochs", "loss")


def test_rows_are_counted_where_they_pass_and_retries_where_they_happen(run: RunDirectory) -> None:
    with attempt(run, settings(), {"images"}) as monitor:
        with monitor.stage("images", INPUTS["images"]), Progress("images", total=5, unit="images") as progress:
            progress.resume_at(2)
            progress.update(1)
            progress.update(2)
            with Progress("candidates", unit="anchors") as part:
                part.update(9)
            tell(Tallied("retries", 1))
        monitor.done({"seconds": 0.5})
    [done] = [line for line in lines(run, "done") if line["stage"]]
    assert (done["figures"]["rows"], done["figures"]["rows_per_s"], done["figures"]["retries"]) == (3, 6, 1)


def test_loggers_hear_of_epochs_and_of_whole_stages(run: RunDirectory) -> None:
    run.write_json("metrics.json", {"test": {"plain": 0.9, "own": {"m:f": 0.5}}, "val": None, "classes": {"x": 1}})
    with attempt(run, settings("kept:kept"), set(INPUTS)) as monitor:
        with monitor.stage("images", INPUTS["images"]):
            pass
        monitor.done({"seconds": 1.0})
        train(monitor, 2)
        with monitor.stage("evaluate", INPUTS["evaluate"]):
            pass
        monitor.done({"seconds": 1.0})
    assert [it for it in Kept.heard if it[0] == "train/loss"] == [("train/loss", 1.0, 1), ("train/loss", 0.5, 2)]
    assert ("train/plain_accuracy", 0.1, 2) in Kept.heard
    assert {("images/bytes", 10.0, 1), ("train/rows", 100.0, 1), ("evaluate/test/plain", 0.9, 1)} <= set(Kept.heard)
    assert ("evaluate/test/own/m.f", 0.5, 1) in Kept.heard
    assert not [name for name, *_ in Kept.heard if "classes" in name or name.endswith(("epoch", "images"))]
    assert len(Kept.heard) == len({(name, step) for name, _, step in Kept.heard})
    assert Kept.closed == [True]
    assert (Kept.made[0].name, Kept.made[0].folder) == ("mine", run.path / "kept.kept")


def test_an_attempt_that_goes_on_repeats_no_epoch(run: RunDirectory) -> None:
    chosen = settings("kept:kept")
    with pytest.raises(ClusterError), under_way(run, chosen):
        for report in history(2):
            tell(Measured(report, int(report["epoch"])))
        raise ClusterError("a worker", got="it died")
    with attempt(run, chosen, {"train", "evaluate"}, 2) as monitor:
        train(monitor, 4)  # all is told again
    told = [line for line in lines(run, "measured") if line["stage"] == "train"]
    assert [line["step"] for line in told] == [1, 2, 3, 4]
    assert [step for name, _, step in Kept.heard if name == "train/loss"] == [1, 2, 3, 4]
    [done] = [line for line in lines(run, "done") if line["stage"]]
    assert done["figures"]["rows"] == 100  # of this attempt alone, as its seconds are
    assert Kept.made[0].key == Kept.made[1].key
    [failed] = lines(run, "failed")
    assert (failed["stage"], failed["kind"], failed["exit_code"], failed["message"]) == (
        "train", "ClusterError", 6, "a worker: got it died"
    )  # fmt: skip


def test_a_stage_that_is_made_again_is_counted_again(run: RunDirectory) -> None:
    for number in (1, 2):
        with attempt(run, settings("kept:kept"), {"train"}, number) as monitor:
            train(monitor, 3)
    assert [(line["attempt"], line["step"]) for line in lines(run, "measured")] == [
        (a, s) for a in (1, 2) for s in (1, 2, 3)
    ]
    assert [line["figures"]["rows"] for line in lines(run, "done") if line["stage"]] == [150, 150]
    assert [step for name, _, step in Kept.heard if name == "train/loss"] == [1, 2, 3]


def test_a_logger_that_comes_later_hears_what_was_before_it(run: RunDirectory) -> None:
    with attempt(run, settings(), {"train"}) as monitor:
        train(monitor, 3)
    with attempt(run, settings("kept:kept"), set(), 2):
        pass
    assert [step for name, _, step in Kept.heard if name == "train/loss"] == [1, 2, 3]
    assert ("train/rows", 150.0, 1) in Kept.heard
    heard = len(Kept.heard)
    with attempt(run, settings("kept:kept"), set(), 3):
        pass
    assert len(Kept.heard) == heard


def test_other_settings_are_another_record_with_all_of_it(run: RunDirectory) -> None:
    with attempt(run, settings("kept:kept"), set()):
        pass
    first = len(Kept.heard)
    with attempt(run, settings("kept:kept", seed=5), set(), 2):
        pass
    assert Kept.made[0].key != Kept.made[1].key
    assert len(Kept.heard) == 2 * first > 0


@pytest.mark.parametrize("broken", ["failing:failing", "unmade:unmade"])
def test_a_logger_that_fails_is_said_once_and_ends_nothing(
    broken: str, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with attempt(run, settings(broken, "kept:kept"), {"train"}) as monitor:
        train(monitor, 4)
    assert [step for name, _, step in Kept.heard if name == "train/loss"] == [1, 2, 3, 4]
    said = capsys.readouterr().err.splitlines()
    reason = {"f": "'ConnectionError: the server is gone'", "u": "'OSError: no room'"}[broken[0]]
    assert said[0] == f"warning: loggers: {broken} hears no more of this run: {reason}"
    assert len([line for line in said if line.startswith("warning")]) == 1
    assert len(Failing.calls) == (2 if broken[0] == "f" else 0)


def test_figures_that_are_not_finite_are_left_out(run: RunDirectory) -> None:
    with under_way(run, settings("kept:kept")):
        tell(Measured({"epoch": 1.0, "loss": 0.5, "effective_rank": float("nan")}, 1))
    assert lines(run, "measured")[0]["figures"] == {"loss": 0.5}
    assert Kept.heard == [("train/loss", 0.5, 1)]


def test_a_run_in_an_object_store_has_its_log_and_its_loggers_files_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / "cache"))
    system = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    elsewhere, folder = with_stages(RunDirectory("run", filesystem=system)), tmp_path / "run"
    with under_way(elsewhere, settings("writing:writing")):
        tell(Measured({"epoch": 1.0, "loss": 0.5}, 1))
    assert (folder / "writing.writing/1").read_text() == "{'train/loss': 0.5}"
    assert [path.name for path in (folder / "log.jsonl").iterdir()] == ["000001"]
    assert [line["event"] for line in lines(elsewhere)][-3:] == ["started", "measured", "done"]


@pytest.mark.parametrize(
    ("error", "event", "said"),
    [
        (KeyboardInterrupt(), "stopped", "the same command goes on from here"),
        (ValueError("odd"), "failed", "ValueError: odd"),
    ],
)
def test_how_it_ended_is_its_last_line(error: BaseException, event: str, said: str, run: RunDirectory) -> None:
    with pytest.raises(type(error)), under_way(run, settings()):
        raise error
    assert (lines(run)[-1]["event"], lines(run)[-1]["stage"]) == (event, "train")
    assert said in lines(run)[-1]["message"]


def test_no_line_holds_a_secret(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "tr0ub4dor")
    with (
        pytest.raises(ValueError, match="tr0ub4dor"),
        under_way(run, settings("kept:kept")) as monitor,
        Progress("train", total=3, unit="epochs") as progress,
    ):
        warn("s3://a:b@bucket is slow, tr0ub4dor")
        progress.update(1, "tr0ub4dor")
        monitor.log.write("progress", **monitor.log.last_shown())
        raise ValueError("tr0ub4dor is wrong")
    text = (run.path / "log.jsonl").read_text()
    assert "tr0ub4dor" not in text
    assert "a:b@" not in text
    assert text.count("***") == 4


def test_a_silent_stage_still_shows_that_it_lives(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "HEARTBEAT_S", 0.05)
    with under_way(run, settings()), Progress("train", total=10, unit="epochs") as progress:
        progress.set(4, "loss 0.5")
        deadline = time.monotonic() + 20
        while len(lines(run, "progress")) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    beats = lines(run, "progress")
    assert len(beats) >= 3
    assert [(beat["done"], beat["total"], beat["stage"], beat["message"]) for beat in beats[-2:]] == [
        (4, 10, "train", "loss 0.5")
    ] * 2
    assert not [thread for thread in threading.enumerate() if thread.name == "run log"]


def test_progress_is_written_at_most_every_few_seconds_also_when_nothing_is_shown(run: RunDirectory) -> None:
    with under_way(run, settings()), muted([]), Progress("train", total=1000, unit="epochs") as progress:
        for _ in range(1000):
            progress.update(1)
        warn("muted")
    assert len(lines(run, "progress")) <= 2
    assert [line["message"] for line in lines(run, "warning")] == ["muted"]


def test_epochs_that_are_short_do_not_keep_progress_from_the_log(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_jobs.monitoring.run_log.HEARTBEAT_S", 0.2)
    with under_way(run, settings()), Progress("train", total=20, unit="epochs") as progress:
        for epoch in range(1, 21):
            tell(Measured({"epoch": float(epoch), "loss": 0.5}, epoch))
            progress.set(epoch)
            time.sleep(0.03)
    assert max(line.get("done", 0) for line in lines(run, "progress")) >= 10


def test_a_log_that_cannot_be_written_ends_nothing(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    with attempt(run, settings(), {"train"}) as monitor:
        (run.path / "log.jsonl").unlink()
        (run.path / "log.jsonl").mkdir()
        train(monitor, 2)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(said) == 1
    assert said[0].startswith("warning: log.jsonl is not written any more: ")


@pytest.mark.parametrize(
    ("value", "fits"), [(Kept, True), (Kept.log, False), (dict, False), (lambda place: place, False)]
)
def test_a_logger_of_ones_own_is_a_class_with_both_methods(value: Callable[..., Any], fits: bool) -> None:
    assert KIND.fits(value) is fits


def test_the_package_of_a_logger_has_the_name_of_its_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(LOGGERS) <= set(extras)
    assert all(trackers._kind(name).package == name for name in LOGGERS)
