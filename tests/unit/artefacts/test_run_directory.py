"""Artefacts in a folder are whole or absent: after a kill, on a full disk. What holds everywhere is a contract."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import DataError, RunDirectoryError


def write(run: RunDirectory, content: str = "new", inputs: str = "f1", artefact: str = "graph") -> None:
    with run.writing(artefact, inputs, {"content": content}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "b.txt").write_text(content)
        (folder / "a.txt").write_text(content * 2)


def read(run: RunDirectory, artefact: str = "graph") -> tuple[str, str]:
    folder = run.open(artefact)
    return (folder / "deep" / "b.txt").read_text(), (folder / "a.txt").read_text()


def leftovers(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name.startswith(".") and path.name != ".lock")


def child(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A second process that has this module's imports."""
    preamble = "import os, resource, sys, time\nfrom pathlib import Path\nimport numpy as np\nimport pyarrow as pa\n"
    preamble += "from csrms_dist.artefacts.run_directory import RunDirectory\n"
    return subprocess.Popen(
        [sys.executable, "-c", preamble + textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def wait_for_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == line + "\n", process.communicate()[1]


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_file_in_the_place_of_a_folder_is_damage(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    write(run)
    (tmp_path / "graph" / "deep" / "b.txt").unlink()
    (tmp_path / "graph" / "deep").rmdir()
    (tmp_path / "graph" / "deep").write_text("")
    assert run.stamp("graph") is None
    write(run, "mended")
    assert read(run) == ("mended", "mendedmended")


# Not local


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CSRMS_CACHE", str(folder))
    return folder


def test_a_remote_artefact_is_copied_once_for_a_node_and_anew_when_it_changed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    run = RunDirectory("runs/one", filesystem=base)
    assert not run.is_local
    write(run, "old", "f0")
    first = run.open("graph")
    assert first.is_relative_to(cache)
    assert run.open("graph") == RunDirectory("runs/one", filesystem=base).open("graph") == first
    write(RunDirectory("runs/one", filesystem=base), "new", "f1")
    assert read(run) == ("new", "newnew")
    assert run.open("graph") != first
    monkeypatch.setenv("CSRMS_CACHE", str(cache / "of another node"))
    again = RunDirectory("runs/one", filesystem=base)
    assert read(again) == ("new", "newnew")
    assert again.open("graph") != run.open("graph")


def test_the_stamp_is_the_last_file_that_travels(tmp_path: Path) -> None:
    class Uploads(pafs.FileSystemHandler):  # type: ignore[misc]
        """The local folder, noting the files that are opened for writing and failing at the `fail_at`-th."""

        def __init__(self) -> None:
            self.local = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
            self.written: list[str] = []
            self.fail_at = 0

        def open_output_stream(self, path: str, metadata: Any) -> Any:
            self.written.append(path)
            if len(self.written) == self.fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.local.open_output_stream(path)

        def get_type_name(self) -> str:
            return "uploads"

        def normalize_path(self, path: str) -> str:
            return path

        def get_file_info(self, paths: list[str]) -> Any:
            return self.local.get_file_info(paths)

        def get_file_info_selector(self, selector: Any) -> Any:
            return self.local.get_file_info(selector)

        def create_dir(self, path: str, recursive: bool) -> None:
            self.local.create_dir(path, recursive=recursive)

        def delete_dir(self, path: str) -> None:
            self.local.delete_dir(path)

        def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
            self.local.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

        def open_input_stream(self, path: str) -> Any:
            return self.local.open_input_stream(path)

        def open_input_file(self, path: str) -> Any:
            return self.local.open_input_file(path)

        def delete_root_dir_contents(self) -> None: ...
        def delete_file(self, path: str) -> None:
            self.local.delete_file(path)

        def move(self, src: str, dest: str) -> None:
            self.local.move(src, dest)

        def copy_file(self, src: str, dest: str) -> None: ...
        def open_append_stream(self, path: str, metadata: Any) -> Any: ...

    uploads = Uploads()
    run = RunDirectory("run", filesystem=pafs.PyFileSystem(uploads))
    write(run)
    assert [path.rpartition("/")[2].rpartition(".")[0] for path in uploads.written] == ["a.txt", "b.txt", "stamp.json"]
    assert read(run) == ("new", "newnew")
    for fail_at in (1, 2, 3):
        uploads.written, uploads.fail_at = [], fail_at
        with pytest.raises(RunDirectoryError, match="No space left on device"):
            write(run, "other", "f2")
        assert run.is_done("graph", "f1")
        assert read(RunDirectory("run", filesystem=pafs.PyFileSystem(uploads))) == ("new", "newnew")
    uploads.fail_at = 0
    write(run, "other", "f2")
    assert read(run) == ("other", "otherother")


def test_a_uri_that_is_not_local_is_a_remote_run() -> None:
    run = RunDirectory("mock:///runs/one")
    assert not run.is_local
    write(run)
    assert run.is_done("graph", "f1")
    assert read(run) == ("new", "newnew")
    run.write_json("report.json", [1])
    assert run.read_json("report.json") == [1]
    with (
        run.lock(),
        pytest.raises(RunDirectoryError, match="mock:///runs/one: got a remote run directory, expected a local"),
    ):
        _ = run.path


@pytest.mark.parametrize("uri", ["nowhere://bucket/run", "file://not/absolute"])
def test_a_uri_that_no_file_system_knows(uri: str) -> None:
    with pytest.raises(RunDirectoryError, match=f"{uri}: got .* expected a local folder or a URI such as s3://"):
        RunDirectory(uri)


# Killed


MIDDLE = """
    run = RunDirectory(sys.argv[1])
    with run.writing("graph", "f1") as folder:
        (folder / "a.txt").write_text("half")
        print("writing", flush=True)
        time.sleep(60)
"""
BEFORE_THE_STAMP = """
    import csrms_dist.artefacts.local_run as module
    def stop(path, data):
        path.with_name(".stamp.json.1").write_bytes(data)
        print("writing", flush=True)
        time.sleep(60)
    module.write_whole = stop
    with RunDirectory(sys.argv[1]).writing("graph", "f1") as folder:
        (folder / "a.txt").write_text("all")
"""
BETWEEN_OLD_AND_NEW = """
    rename, renames = Path.rename, []
    def stop(self, target):
        renames.append(target)
        if len(renames) == 2:
            print("writing", flush=True)
            time.sleep(60)
        return rename(self, target)
    with RunDirectory(sys.argv[1]).writing("graph", "f1") as folder:
        (folder / "a.txt").write_text("all")
        Path.rename = stop
"""


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("code", [MIDDLE, BEFORE_THE_STAMP], ids=["middle", "before the stamp"])
def test_a_killed_writer_leaves_nothing_that_counts_and_is_swept(tmp_path: Path, code: str, old: bool) -> None:
    run = RunDirectory(tmp_path)
    if old:
        write(run, "old", "f0")
    process = child(code, str(tmp_path))
    wait_for_line(process, "writing")
    kill(process)
    assert len(leftovers(tmp_path)) == 1
    assert not run.is_done("graph", "f1")
    assert run.is_done("graph", "f0") == old
    if old:
        assert read(run) == ("old", "oldold")
    write(run, "new", "f1")
    assert read(run) == ("new", "newnew")
    assert leftovers(tmp_path) == []


def test_a_writer_killed_between_old_and_new_loses_no_consistency(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    write(run, "old", "f0")
    process = child(BETWEEN_OLD_AND_NEW, str(tmp_path))
    wait_for_line(process, "writing")
    kill(process)
    assert run.stamp("graph") is None
    write(run, "new", "f1")
    assert read(run) == ("new", "newnew")
    assert leftovers(tmp_path) == []


def test_the_sweep_spares_other_artefacts(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run.writing("train.seed-1", "f") as inner:
        write(run, artefact="train")
        assert inner.is_dir()
        (inner / "a.txt").write_text("kept")
    assert (run.open("train.seed-1") / "a.txt").read_text() == "kept"


def test_an_artefact_is_readable_by_others(tmp_path: Path) -> None:
    write(RunDirectory(tmp_path))
    assert (tmp_path / "graph").stat().st_mode & 0o777 == 0o755


# Two writers


def test_a_second_writer_gets_one_clear_error_and_the_next_one_the_lock(tmp_path: Path) -> None:
    process = child(
        """
        with RunDirectory(sys.argv[1]).lock():
            print("locked", flush=True)
            time.sleep(60)
        """,
        str(tmp_path),
    )
    wait_for_line(process, "locked")
    run = RunDirectory(tmp_path)
    with pytest.raises(RunDirectoryError) as caught, run.lock():
        pass
    assert str(caught.value) == (
        f"{tmp_path}: got a run that another command is writing; wait for it or choose another --out"
    )
    kill(process)
    with run.lock(), pytest.raises(RunDirectoryError, match="another command"), RunDirectory(tmp_path).lock():
        pass
    with run.lock():
        pass


def test_the_lock_passes_the_command_s_own_errors_on(tmp_path: Path) -> None:
    for error in (DataError("it"), PermissionError(errno.EACCES, "x", "data.csv"), FileExistsError(errno.EEXIST, "x")):
        with pytest.raises(type(error)) as caught, RunDirectory(tmp_path).lock():
            raise error
        assert caught.value is error


# Places that cannot be written


@pytest.mark.parametrize("below", ["", "run", "run/deep"])
def test_a_path_at_or_below_a_regular_file(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    place = tmp_path / "file" / below
    for uri in (str(place), place.as_uri()):
        with pytest.raises(RunDirectoryError) as caught, RunDirectory(uri).lock():
            pass
        assert (
            str(caught.value) == f"{uri}: got a path with a regular file in it, expected a folder; choose another --out"
        )
        assert caught.value.exit_code == 4
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_read_only_folder(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o555)
    with pytest.raises(RunDirectoryError, match="may not be written"):
        write(run)
    with pytest.raises(RunDirectoryError, match="may not be written"), run.lock():
        pass


def test_errors_of_the_stage_s_own_files_are_not_blamed_on_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(NotADirectoryError), run.writing("images", "f"):
        (tmp_path / "file" / "image.png").read_bytes()
    with pytest.raises(PermissionError), run.writing("images", "f"):
        raise PermissionError(errno.EACCES, "denied", "image.png")
    assert leftovers(tmp_path / "run") == []


# Full disks


FULL = """
    run = RunDirectory(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    big = np.zeros(1_000_000, np.float32)
    def arrow(path):
        table = pa.table({"a": big})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    def torch_save(path):
        import torch
        torch.save(torch.from_numpy(big), path)
    def safetensors(path):
        from safetensors.numpy import save_file
        save_file({"a": big}, path)
    how = {
        "plain": lambda path: path.write_bytes(big.tobytes()),
        "npy": lambda path: np.save(path, big),
        "memmap": lambda path: np.lib.format.open_memmap(path, "w+", np.float32, big.shape),
        "arrow": arrow,
        "torch": torch_save,
        "safetensors": safetensors,
    }[sys.argv[2]]
    with run.writing("graph", "f1") as folder:
        (folder / "small.txt").write_text("fits")
        how(folder / "big.bin")
"""


@pytest.mark.parametrize(
    ("how", "old"),
    [
        ("plain", True), ("plain", False), ("npy", True), ("npy", False), ("memmap", False), ("arrow", False),
        ("torch", False), ("safetensors", False),
    ],
)  # fmt: skip
def test_a_full_disk_leaves_no_half_artefact(tmp_path: Path, how: str, old: bool) -> None:
    run = RunDirectory(tmp_path / "run")
    if old:
        write(run, "old", "f0")
    process = child(FULL, run.uri, how)
    _, shown = process.communicate(timeout=100)
    assert process.returncode == 1
    last = shown.strip().splitlines()[-1]
    assert last.startswith(f"csrms_dist.errors.RunDirectoryError: cannot write below {run.uri}: got ")
    assert "nothing was left half-written; free some space" in last
    assert leftovers(tmp_path / "run") == []
    assert [path.name for path in (tmp_path / "run").iterdir()] == (["graph"] if old else [])
    assert run.is_done("graph", "f0") == old
    assert not run.is_done("graph", "f1")


def test_a_full_disk_leaves_the_old_json_file(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_json("report.json", {"old": 1})
    process = child(
        """
        run = RunDirectory(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        run.write_json("report.json", list(range(10_000)))
        """,
        str(tmp_path),
    )
    _, shown = process.communicate(timeout=100)
    assert "RunDirectoryError: cannot write below" in shown
    assert "got 'File too large'; nothing was left half-written" in shown
    assert run.read_json("report.json") == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
