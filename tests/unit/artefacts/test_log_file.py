"""A log: whole lines, from several threads and attempts, in a local run and where nothing can be appended to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.artefacts import log_file
from csrms_dist.artefacts.log_file import LogFile, read_log
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError

Make = Callable[[], RunDirectory]


@pytest.fixture(params=["local", "objects"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    (tmp_path / "runs/one").mkdir(parents=True)
    if request.param == "local":
        return lambda: RunDirectory(tmp_path / "runs/one")
    base = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    return lambda: RunDirectory("runs/one", filesystem=base)


def test_nothing_is_an_empty_log(make: Make) -> None:
    assert list(read_log(make(), "log.jsonl")) == []


def test_attempts_follow_each_other(make: Make) -> None:
    for attempt in range(3):
        log = LogFile(make(), "log.jsonl")
        for number in range(2):
            log.append({"attempt": attempt, "number": number, "text": "è\n\u2028"})
        log.flush()
    found = list(read_log(make(), "log.jsonl"))
    assert [(line["attempt"], line["number"]) for line in found] == [(a, n) for a in range(3) for n in range(2)]
    assert {line["text"] for line in found} == {"è\n\u2028"}


def test_threads_do_not_tear_each_others_lines(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "SEGMENT_BYTES", 2000)
    log = LogFile(make(), "log.jsonl")

    def write(thread: int) -> None:
        for number in range(40):
            log.append({"thread": thread, "number": number, "text": "x" * 100})
            if number % 10 == 0:
                log.flush()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.flush()
    found = list(read_log(make(), "log.jsonl"))
    assert len(found) == 160
    for thread in range(4):
        assert [line["number"] for line in found if line["thread"] == thread] == list(range(40))


def test_objects_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "SEGMENT_BYTES", 500)
    run = RunDirectory("one", filesystem=pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem()))
    log = LogFile(run, "log.jsonl")
    for number in range(50):
        log.append({"number": number})
        log.flush()
    sizes = [path.stat().st_size for path in sorted((tmp_path / "one/log.jsonl").iterdir())]
    assert len(sizes) > 1
    assert max(sizes) <= 500
    assert [line["number"] for line in read_log(run, "log.jsonl")] == list(range(50))


def test_half_a_line_costs_no_other(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    LogFile(run, "log.jsonl").append({"n": 1})
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"n": 2, "te')
    LogFile(run, "log.jsonl").append({"n": 3})
    assert [line["n"] for line in read_log(run, "log.jsonl")] == [1, 3]


@given(st.binary())
def test_whatever_stands_there_is_read_without_an_error(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log.jsonl").write_bytes(data + b'\n{"n": 1}\n')
        assert list(read_log(RunDirectory(folder), "log.jsonl"))[-1] == {"n": 1}


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(RunDirectoryError, match="expected a place that can be written"):
        LogFile(RunDirectory(tmp_path), "log.jsonl").append({"n": 1})
