"""What the server script decides before any server runs."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def conf(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines)
    assert len(settings) == len(lines), "a setting twice"
    return settings


def test_the_server_listens_to_this_machine_with_a_password(server: ModuleType) -> None:
    settings = conf(server.render_conf(4001, 4002, "1g", "512m"))
    listening = {name: value for name, value in settings.items() if "listen_address" in name}
    assert listening.pop("server.default_listen_address") == "127.0.0.1"
    assert listening == {
        "server.bolt.listen_address": "127.0.0.1:4001",
        "server.http.listen_address": "127.0.0.1:4002",
    }
    assert settings["dbms.security.auth_enabled"] == "true"
    assert settings["server.https.enabled"] == "false"


@pytest.mark.parametrize(("heap", "one", "all_of_them"), [("1g", "512m", "716m"), ("300m", "150m", "210m")])
def test_transactions_are_bounded_below_the_heap(server: ModuleType, heap: str, one: str, all_of_them: str) -> None:
    settings = conf(server.render_conf(1, 2, heap, "1g"))
    assert settings["db.memory.transaction.max"] == one
    assert settings["dbms.memory.transaction.total.max"] == all_of_them
    assert settings["server.memory.pagecache.size"] == "1024m"
    assert settings["db.transaction.timeout"] == "10m"
    assert settings["db.lock.acquisition.timeout"] == "30s"


@pytest.mark.parametrize("size", ["", "512", "0m", "1G", "1.5g", "1g -Dx=y"])
def test_sizes_that_are_none(server: ModuleType, size: str) -> None:
    with pytest.raises(server.ServerError, match="expected one like 512m or 2g") as caught:
        server.megabytes(size)
    assert caught.value.exit_code == 2


def test_a_port_is_kept_while_it_is_free(server: ModuleType) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert server.free_port(port) != port
    assert server.free_port(port) == port
    assert server.free_port() > 1023


def test_the_connection_file_is_private_from_its_first_byte(server: ModuleType, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        (tmp_path / "connection.env").write_text("open to all")
        server.write_connection(tmp_path, server.Server(1, 4001, 4002), "s3cret")
    finally:
        os.umask(before)
    file = tmp_path / "connection.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["connection.env"]
    assert server.password_of(tmp_path) == "s3cret"
    shown = subprocess.run(
        ["bash", "-c", f"source '{file}' && echo $NEO4J_URI $NEO4J_USERNAME $NEO4J_PASSWORD $NEO4J_DATABASE"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert shown.stdout.split() == ["bolt://127.0.0.1:4001", "neo4j", "s3cret", "neo4j"]


def test_a_process_is_ours_only_by_its_command(server: ModuleType, tmp_path: Path) -> None:
    """After a kill, the number in server.json may belong to any other process."""
    sleep = "import sys, time; print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", sleep, "serve", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "up\n"
            stamp = {"pid": process.pid, "bolt_port": 1, "http_port": 2}
            (tmp_path / "server.json").write_text(json.dumps(stamp))
            assert server.running_server(tmp_path) == server.Server(**stamp)
            assert not server.is_ours(process.pid, tmp_path / "other")
            assert not server.is_ours(os.getpid(), tmp_path)
        finally:
            process.kill()
    assert server.running_server(tmp_path) is None
    assert server.last_server(tmp_path) == server.Server(**stamp), "its ports are remembered"


def test_status_and_stop_without_a_server(command: Command, tmp_path: Path) -> None:
    status = command("status", "--home", tmp_path / "home")
    assert (status.returncode, status.stdout) == (1, f"not running, {tmp_path / 'home'}\n")
    stop = command("stop", "--home", tmp_path / "home")
    assert (stop.returncode, stop.stdout) == (0, "no server was running\n")


def test_a_folder_with_other_things_is_left_alone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    done = command("start", "--home", tmp_path)
    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_no_java(command: Command, tmp_path: Path) -> None:
    environment = os.environ | {"JAVA_HOME": str(tmp_path)}
    done = command("start", "--home", tmp_path / "home", env=environment)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("neo4j: Neo4j needs Java 17 or later: got no java in ")
    assert done.stderr.count("\n") == 1
    assert "install a JDK" in done.stderr


def jdk(folder: Path, version: str) -> dict[str, str]:
    """The environment of a machine with this version of Java, and without Maven."""
    (folder / "bin").mkdir()
    for name in ("java", "javac"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\necho 'javac {version}'\n")
        (folder / "bin" / name).chmod(0o755)
    return {"JAVA_HOME": str(folder), "PATH": str(folder / "bin")}


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.22"])
def test_an_old_java(command: Command, tmp_path: Path, version: str) -> None:
    done = command("start", "--home", tmp_path / "home", env=jdk(tmp_path, version))
    assert done.returncode == 7
    assert "needs Java 17 or later: got javac 1" in done.stderr


def test_no_maven(server: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in jdk(tmp_path, "21.0.2").items():
        monkeypatch.setenv(name, value)
    _, javac = server.java()
    with pytest.raises(server.ServerError, match="got no mvn on the PATH; install Maven") as caught:
        server.class_path(javac, tmp_path / "target")
    assert caught.value.exit_code == 7


def test_the_end_of_a_log_has_no_stack_frames(server: ModuleType) -> None:
    log = "one\ntwo\nthree\nCaused by: four\n\tat org.neo4j.Four(Four.java:4)\n\t... 12 more\n\n"
    assert server.end_of_log(log) == "two\nthree\nCaused by: four"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"data": "new", "data.old": "old", "importing": "rest"}, {"data": "new"}),
        ({"data.old": "old", "importing": "new"}, {"data": "old"}),
        ({"data": "old", "importing": "half"}, {"data": "old"}),
    ],
)
def test_an_import_killed_anywhere_leaves_one_database(
    server: ModuleType, tmp_path: Path, before: dict[str, str], after: dict[str, str]
) -> None:
    for name, content in before.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(content)
    server._recover_data(tmp_path)
    assert {path.name: (path / "content").read_text() for path in tmp_path.iterdir()} == after


def bundle(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    for name in ("Instance.header.csv", "Instance.0.csv", "Instance.1.csv", "HAS_LABEL.0.csv"):
        (folder / name).touch()
    content = {
        "format": 1,
        "nodes": [
            {"label": "Instance", "header": "Instance.header.csv", "files": ["Instance.0.csv", "Instance.1.csv"]}
        ],
        "relationships": [{"type": "HAS_LABEL", "files": ["HAS_LABEL.0.csv"]}],
        "options": ["--multiline-fields=true"],
    }
    (folder / "bundle.json").write_text(json.dumps(content | changes))
    return folder


def test_a_bundle_becomes_arguments(server: ModuleType, command: Command, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle")
    assert server.import_arguments(folder) == [
        "database",
        "import",
        "full",
        "neo4j",
        "--nodes=Instance=Instance.header.csv,Instance.0.csv,Instance.1.csv",
        "--relationships=HAS_LABEL=HAS_LABEL.0.csv",
        "--multiline-fields=true",
        "--strict=true",
        "--bad-tolerance=0",
    ]
    shown = command("import", folder, "--print")
    assert shown.stdout.startswith("neo4j-admin database import full neo4j --nodes=Instance=")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "got format 2, expected 1"),
        ({"nodes": [{"files": []}]}, "KeyError\\('label'\\)"),
        ({"nodes": [{"label": "Instance", "files": ["../secret"]}]}, "got the file name '../secret'"),
        ({"nodes": [{"label": "Instance", "files": ["a,b"]}]}, "got the file name 'a,b'"),
        ({"nodes": [{"label": "Instance", "files": ["Instance.2.csv"]}]}, "got no Instance.2.csv"),
        ({"options": ["--overwrite-destination"]}, "which a bundle may not set"),
        ({"options": ["--additional-config=x"]}, "which a bundle may not set"),
        ({"options": ["@file"]}, "which a bundle may not set"),
    ],
)
def test_bundles_that_are_none(server: ModuleType, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(server.ServerError, match=says) as caught:
        server.import_arguments(bundle(tmp_path / "bundle", **changes))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n) DETACH DELETE n",
        "CREATE USER me SET PASSWORD 'x'",
        "CREATE INDEX a IF NOT EXISTS FOR (n:A) ON (n.b) OPTIONS {x: 1}",
        "CREATE INDEX a IF NOT EXISTS FOR (n:A) ON (n.b); MATCH (n) DETACH DELETE n",
    ],
)
def test_a_bundle_asks_for_indexes_alone(server: ModuleType, tmp_path: Path, text: str) -> None:
    with pytest.raises(server.ServerError, match="expected CREATE CONSTRAINT or CREATE INDEX") as caught:
        server.import_indexes(bundle(tmp_path / "bundle", indexes=[text]))
    assert caught.value.exit_code == 3
    assert server.import_indexes(bundle(tmp_path / "without")) == []


def test_a_folder_that_is_no_bundle(command: Command, tmp_path: Path) -> None:
    done = command("import", tmp_path, "--home", tmp_path / "home")
    assert done.returncode == 3
    assert "is not a bundle: got no " in done.stderr
