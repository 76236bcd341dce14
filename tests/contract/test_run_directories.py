"""What holds of every run directory, wherever it lies: a folder, a URI, an object store."""

from __future__ import annotations

import pickle
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.artefacts.work_folder import bring, bring_all, drop, share
from csrms_dist.errors import RunDirectoryError
from tests.contract.s3_server import S3Server

PLACES = ["local", "local uri", "remote", "s3"]


@dataclass(frozen=True)
class Place:
    """A run directory that does not exist yet, and a way to its files past our own code."""

    uri: str
    system: pafs.FileSystem
    root: str
    given: pafs.FileSystem | None = None

    def open(self) -> RunDirectory:
        """Anew, as another command would."""
        return RunDirectory(self.uri, filesystem=self.given)

    def files(self, below: str = "") -> list[str]:
        """Every file, by its path in the run."""
        selector = pafs.FileSelector(f"{self.root}/{below}".rstrip("/"), recursive=True, allow_not_found=True)
        found = [info.path for info in self.system.get_file_info(selector) if info.is_file]
        return sorted(path.removeprefix(f"{self.root}/") for path in found)

    def file(self, artefact: str, name: str) -> str:
        """The path of a file of an artefact on the file system."""
        [found] = [path for path in self.files(artefact) if path.endswith(f"/{name}")]
        return f"{self.root}/{found}"

    def write(self, path: str, data: bytes) -> None:
        with self.system.open_output_stream(path) as file:
            file.write(data)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "runs" / "one"
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        root = f"{server.bucket('contract')}/{uuid.uuid4().hex}"
        return Place(f"s3://{root}", server.system(), root)
    local = pafs.LocalFileSystem()
    if request.param == "remote":
        return Place("runs/one", local, str(folder), pafs.SubTreeFileSystem(str(tmp_path), local))
    return Place(str(folder) if request.param == "local" else folder.as_uri(), local, str(folder))


def write(run: RunDirectory, content: str = "new", inputs: str = "f1", artefact: str = "graph") -> None:
    with run.writing(artefact, inputs, {"content": content}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "b.txt").write_text(content)
        (folder / "a.txt").write_text(content * 2)


def read(run: RunDirectory, artefact: str = "graph") -> tuple[str, str]:
    folder = run.open(artefact)
    return (folder / "deep" / "b.txt").read_text(), (folder / "a.txt").read_text()


def test_an_artefact_is_done_when_it_is_whole(place: Place) -> None:
    run = place.open()
    assert run.stamp("graph") is None
    assert not run.is_done("graph", "f1")
    with run.writing("graph", "f1", {"rows": 3}) as folder:
        (folder / "a.txt").write_text("abc")
        assert not place.open().is_done("graph", "f1")
    for again in (run, place.open()):
        assert again.is_done("graph", "f1")
        assert not again.is_done("graph", "f2")
        assert again.facts("graph") == {"rows": 3}
        assert (again.open("graph") / "a.txt").read_text() == "abc"
        assert again.stamp("graph") == {
            "artefact": "graph", "fingerprint": "f1", "files": {"a.txt": 3}, "facts": {"rows": 3},
        }  # fmt: skip
        with place.system.open_input_stream(again.uri_of("graph", "a.txt").replace(place.uri, place.root)) as file:
            assert file.read() == b"abc"


def test_facts_may_be_filled_while_writing(place: Place) -> None:
    facts: dict[str, Any] = {}
    with place.open().writing("train", "f", facts):
        facts["seconds"] = 1.5
    assert place.open().facts("train") == {"seconds": 1.5}


def test_folders_inside_an_artefact_and_empty_artefacts(place: Place) -> None:
    write(place.open())
    assert read(place.open()) == ("new", "newnew")
    with place.open().writing("empty", "f"):
        pass
    assert place.open().is_done("empty", "f")
    assert [path.name for path in place.open().open("empty").iterdir()] == ["stamp.json"]


def test_another_artefact_replaces_the_old_one_wholly(place: Place) -> None:
    run = place.open()
    with run.writing("graph", "f0") as folder:
        (folder / "only_old.txt").write_text("old")
    run.open("graph")
    write(run, inputs="f1")
    assert read(run) == read(place.open()) == ("new", "newnew")
    assert not run.is_done("graph", "f0")
    assert not (run.open("graph") / "only_old.txt").exists()
    assert [path.rpartition("/")[2] for path in place.files()] == ["a.txt", "b.txt", "stamp.json"]
    assert run.leftovers() == []


def test_an_exception_leaves_the_old_artefact_whole_and_no_leftovers(place: Place) -> None:
    run = place.open()
    write(run, "old", "f0")
    before = place.files()
    seen: list[Path] = []
    with pytest.raises(ValueError, match="inside"), run.writing("graph", "f1") as folder:
        seen.append(folder)
        (folder / "a.txt").write_text("half")
        raise ValueError("inside")
    assert run.is_done("graph", "f0")
    assert read(place.open()) == ("old", "oldold")
    assert place.files() == before
    assert not seen[0].exists()


def test_an_exception_in_the_first_attempt_leaves_nothing(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt), place.open().writing("graph", "f1") as folder:
        (folder / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert place.open().stamp("graph") is None
    assert place.files() == []


@pytest.mark.parametrize("damage", ["longer", "shorter", "missing", "no stamp", "torn stamp"])
def test_a_damaged_artefact_is_not_done(place: Place, damage: str) -> None:
    write(place.open())
    file = place.file("graph", "a.txt" if damage in ("longer", "shorter") else "b.txt")
    if damage == "missing":
        place.system.delete_file(file)
    elif damage == "no stamp":
        place.system.delete_file(f"{place.root}/graph/stamp.json")
    elif damage == "torn stamp":
        place.write(f"{place.root}/graph/stamp.json", b'{"artefact": "gr')
    else:
        place.write(file, b"newnewnew" if damage == "longer" else b"new")
    run = place.open()
    assert run.stamp("graph") is None
    assert not run.is_done("graph", "f1")
    with pytest.raises(RunDirectoryError, match="graph: got an artefact that is not whole; run `csrms graph CONFIG`"):
        run.open("graph")
    write(run, "mended")
    assert read(place.open()) == ("mended", "mendedmended")


def test_a_missing_artefact_names_the_command_that_makes_it(place: Place) -> None:
    for ask in (place.open().open, place.open().facts):
        with pytest.raises(
            RunDirectoryError, match="has no artefact 'cluster'; run `csrms cluster CONFIG` or `csrms run"
        ):
            ask("cluster")


def test_a_discarded_artefact_keeps_its_facts(place: Place) -> None:
    run = place.open()
    write(run)
    run.discard("graph")
    for again in (run, place.open()):
        assert again.is_discarded("graph") and again.is_done("graph", "f1")
        assert again.facts("graph") == {"content": "new"}
        with pytest.raises(RunDirectoryError, match="an artefact that was cleaned away"):
            again.open("graph")
    assert place.files() == ["graph/stamp.json"]
    write(run, "again")
    assert read(place.open()) == ("again", "againagain")


def test_a_small_json_file_comes_back(place: Place) -> None:
    run = place.open()
    assert run.read_json("report.json") is None
    run.write_json("report.json", {"b": [1, 2.5], "a": "é"})
    run.write_json("report.json", {"b": 1, "a": None})
    assert place.open().read_json("report.json") == {"b": 1, "a": None}
    assert place.files() == ["report.json"]


def test_a_run_directory_travels_to_another_process(place: Place) -> None:
    run = place.open()
    write(run)
    run.open("graph")
    again = pickle.loads(pickle.dumps(run))  # noqa: S301
    assert again.is_done("graph", "f1")
    assert read(again) == ("new", "newnew")
    assert again.uri == run.uri


def test_a_second_writer_gets_one_clear_error_and_the_next_one_the_lock(place: Place) -> None:
    run = place.open()
    with (
        run.lock(),
        pytest.raises(RunDirectoryError, match="got a run that another command is writing; wait for it or choose"),
        place.open().lock(),
    ):
        pass
    with run.lock():
        write(run)
    with place.open().lock():
        pass


def test_what_lies_beside_the_artefacts(place: Place) -> None:
    run = place.open()
    assert run.names() == [] and not run.exists("graph") and run.changed("graph/stamp.json") == 0
    write(run)
    run.write_json("run.json", {})
    assert run.names() == ["graph", "run.json"]
    assert run.exists("graph") and run.changed("run.json") > 0
    assert run.bytes_of("graph") >= len("newnewnew")
    folder = run.side_folder("curves/train")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events").write_text("1")
    run.put_folder("curves/train")
    assert "curves/train/events" in place.files()
    run.remove("graph")
    run.remove("nothing")
    assert not run.exists("graph") and run.names("graph") == []
    assert place.files() == ["curves/train/events", "run.json"]


def test_unfinished_work_is_found_by_another_node(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def node(name: str) -> Path:
        monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / name))
        return place.open().work("f1")

    first = node("a")
    (first / "refresh.2").mkdir(parents=True)
    assert not bring(first / "state.pt")
    for content in ("one", "two"):
        (first / "bank.1.npy").write_text(content)
        (first / "refresh.2" / "facts.json").write_text(content)
        (first / "state.pt").write_text(content)
        for name in ("bank.1.npy", "refresh.2", "state.pt"):
            share(first / name)
        second = node("b")
        assert bring(second / "state.pt")
        assert (second / "state.pt").read_text() == content
    bring_all(second)
    assert (second / "bank.1.npy").read_text() == (second / "refresh.2" / "facts.json").read_text() == "two"
    drop(first / "bank.1.npy")
    third = node("c")
    assert not bring(third / "bank.1.npy") and bring(third / "refresh.2")
    place.open().remove(".checkpoints/f1")
    assert not bring(node("d") / "state.pt")
    assert place.files() == []
