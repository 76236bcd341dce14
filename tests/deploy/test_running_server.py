"""A real server: started twice, killed, stopped, filled; who can reach it, and who can read its password."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

neo4j = pytest.importorskip("neo4j")

pytestmark = [pytest.mark.neo4j, pytest.mark.timeout(600)]

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SIZES = ["--heap", "512m", "--page-cache", "64m"]


def values(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^export NEO4J_(\w+)=(.+)$", file.read_text(), re.MULTILINE))


def rows(home: Path, statement: str) -> list[list[object]]:
    connection = values(home / "connection.env")
    login = (connection["USERNAME"], connection["PASSWORD"])
    with neo4j.GraphDatabase.driver(connection["URI"], auth=login) as driver:
        return [list(row) for row in driver.execute_query(statement, database_=connection["DATABASE"]).records]


def start(command: Command, home: Path) -> int:
    """The process of the server, started if it is not running."""
    # The first start on a machine fetches Neo4j.
    done = command("start", "--home", home, *SIZES, timeout=500)
    assert done.returncode == 0, done.stderr
    file = home / "connection.env"
    assert done.stdout.splitlines()[-2:] == [f"  source {file}", str(file)]
    return int(json.loads((home / "server.json").read_text())["pid"])


def servers(home: Path) -> list[int]:
    """Every process of this machine that was started for this folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        if str(home) in words and "Launcher" in words:
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def home(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("neo4j") / "home"
    yield folder
    assert command("stop", "--home", folder).returncode == 0
    assert servers(folder) == []


def test_two_starts_at_once_are_one_server(server: ModuleType, command: Command, home: Path) -> None:
    words = [sys.executable, server.__file__, "start", "--home", str(home), *SIZES]
    starts = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=500)[0] for process in starts]
    assert [process.returncode for process in starts] == [0, 0]
    assert [text.splitlines()[-1] for text in said] == [str(home / "connection.env")] * 2
    assert servers(home) == [start(command, home)]
    assert command("status", "--home", home).returncode == 0


def test_the_password_is_known_to_its_owner_alone(command: Command, home: Path) -> None:
    pid = start(command, home)
    password = values(home / "connection.env")["PASSWORD"].encode()
    assert len(password) == 40
    assert stat.S_IMODE((home / "connection.env").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert password not in Path(f"/proc/{pid}/environ").read_bytes()
    with_it = [path for path in home.rglob("*") if path.is_file() and password in path.read_bytes()]
    assert with_it == [home / "connection.env"]


def test_no_password_no_answer(command: Command, home: Path) -> None:
    start(command, home)
    with (
        neo4j.GraphDatabase.driver(values(home / "connection.env")["URI"], auth=("neo4j", "neo4j")) as driver,
        pytest.raises(neo4j.exceptions.AuthError),
    ):
        driver.verify_connectivity()


def test_a_browser_finds_a_page_to_ask_on(command: Command, home: Path) -> None:
    start(command, home)
    port = json.loads((home / "server.json").read_text())["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/browser/", timeout=20) as page:
        assert b"<title>Neo4j Browser</title>" in page.read()


def test_it_listens_to_this_machine_alone(command: Command, home: Path) -> None:
    pid = start(command, home)
    sockets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                address, port = local.split(":")
                listening.add((address, int(port, 16)))
    ports = json.loads((home / "server.json").read_text())
    assert {port for _, port in listening} == {ports["bolt_port"], ports["http_port"]}
    assert {address for address, _ in listening} <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_after_a_kill_it_starts_with_everything_that_was_acknowledged(command: Command, home: Path) -> None:
    pid = start(command, home)
    before = values(home / "connection.env")
    rows(home, "UNWIND range(1, 1000) AS n CREATE (:Kept {n: n})")
    os.kill(pid, signal.SIGKILL)
    assert start(command, home) != pid
    assert values(home / "connection.env") == before
    assert rows(home, "MATCH (k:Kept) RETURN count(k), sum(k.n)") == [[1000, 500500]]
    rows(home, "MATCH (k:Kept) DELETE k")


def test_a_start_that_fails_says_why_and_leaves_nothing(command: Command, home: Path) -> None:
    assert command("stop", "--home", home).returncode == 0
    (home / "conf").rename(home / "conf.kept")
    (home / "data" / "databases" / "store_lock").unlink(missing_ok=True)
    (home / "data" / "databases" / "store_lock").mkdir()
    try:
        done = command("start", "--home", home, *SIZES)
        assert done.returncode == 5
        assert "ended while starting" in done.stderr
        assert "store_lock" in done.stderr
        assert servers(home) == []
    finally:
        (home / "data" / "databases" / "store_lock").rmdir()
    start(command, home)


def bundle(folder: Path, keys: list[str]) -> Path:
    folder.mkdir()
    (folder / "Word.header.csv").write_text("key:ID(Word)\n")
    (folder / "Word.0.csv").write_text("".join(f"{key}\n" for key in keys))
    (folder / "NEXT.header.csv").write_text(":START_ID(Word),:END_ID(Word)\n")
    (folder / "NEXT.0.csv").write_text("".join(f"{a},{b}\n" for a, b in zip(keys, [*keys[1:], "gone"], strict=True)))
    nodes = [{"label": "Word", "header": "Word.header.csv", "files": ["Word.0.csv"]}]
    edges = [{"type": "NEXT", "header": "NEXT.header.csv", "files": ["NEXT.0.csv"]}]
    unique = "CREATE CONSTRAINT Word_key IF NOT EXISTS FOR (n:Word) REQUIRE n.key IS UNIQUE"
    content = {"format": 1, "nodes": nodes, "relationships": edges, "options": [], "indexes": [unique]}
    (folder / "bundle.json").write_text(json.dumps(content))
    return folder


def test_an_import_replaces_the_database_as_a_whole_or_not_at_all(command: Command, home: Path, tmp_path: Path) -> None:
    start(command, home)
    rows(home, "MATCH (n) DETACH DELETE n")
    whole, broken = bundle(tmp_path / "whole", ["a", "b", "gone"]), bundle(tmp_path / "broken", ["c", "d"])
    (whole / "NEXT.0.csv").write_text("a,b\nb,gone\n")

    done = command("import", whole, "--home", home, *SIZES)
    assert done.returncode == 0, done.stderr
    assert "3 nodes 2 relationships" in done.stdout
    words = "MATCH (w:Word) OPTIONAL MATCH (w)-[:NEXT]->(x) RETURN w.key, x.key ORDER BY w.key"
    imported = rows(home, words)
    assert imported == [["a", "b"], ["b", "gone"], ["gone", None]]
    assert rows(home, "SHOW CONSTRAINTS YIELD name, type") == [["Word_key", "UNIQUENESS"]]

    refused = command("import", broken, "--home", home, *SIZES)
    assert refused.returncode == 2
    assert "already holds 3 nodes" in refused.stderr

    failed = command("import", broken, "--overwrite", "--home", home, *SIZES)
    assert failed.returncode == 5
    assert "the import failed" in failed.stderr
    assert "gone" in failed.stderr
    assert rows(home, words) == imported
    assert not (home / "importing").exists()
