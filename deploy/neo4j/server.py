"""A Neo4j Community server of one's own, without Docker: start, stop, status, import.

It needs a JDK (17 or later), for the first start Maven, and of Python the standard library alone:

    python deploy/neo4j/server.py start [--home DIR] [--heap 1g] [--page-cache 512m]
    python deploy/neo4j/server.py import BUNDLE [--overwrite]
    python deploy/neo4j/server.py stop

Everything that belongs to a server lies in its folder, DIR: conf/, data/, logs/, server.json (which process it is) and
connection.env (address and password, readable by its owner alone), whose path is the last line that `start` prints.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bundles import import_arguments, import_indexes
from home import (
    DATABASE,
    HERE,
    Server,
    ServerError,
    free_port,
    is_ours,
    last_server,
    megabytes,
    opened,
    password_of,
    render_conf,
    running_server,
    write_connection,
    write_private,
)
from jars import JVM_OPTIONS, class_path, end_of_log, java, run

DEFAULT_HOME = HERE.parents[1] / ".neo4j"
START_SECONDS = 300  # after a kill, a large database takes a while to recover
STOP_SECONDS = 30


def start(home: Path, heap: str, page_cache: str) -> Server:
    """Start the server, or find it running; returns when it answers with its password."""
    server = running_server(home)
    if server:
        password = password_of(home)
        if not password:
            raise ServerError(
                f"the server of {home} runs, but {home / 'connection.env'} is gone; stop it and start it again"
            )
        _wait_until_ready(server, password, home)
        return server
    commands = java()
    jars = class_path(commands[1])
    _recover_data(home)
    last = last_server(home)
    ports = free_port(last.bolt_port if last else 0), free_port(last.http_port if last else 0)
    for folder in ("conf", "data", "logs", "import", "plugins"):
        (home / folder).mkdir(exist_ok=True)
    (home / "conf" / "neo4j.conf").write_text(render_conf(*ports, heap, page_cache))
    password = _password(home, Server(0, *ports), [commands[0], "-cp", jars])

    memory = [f"-Xms{min(megabytes(heap), 512)}m", f"-Xmx{megabytes(heap)}m"]
    command = [commands[0], *memory, *JVM_OPTIONS, "-cp", jars, "Launcher", "serve", str(home)]
    with (home / "logs" / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        server = Server(process.pid, *ports)
        write_private(home / "server.json", json.dumps(asdict(server)) + "\n")
        write_connection(home, server, password)
        _wait_until_ready(server, password, home, process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


def _password(home: Path, server: Server, launch: list[str]) -> str:
    """The password, made and set before the first start.

    It is kept before it is set, so that no kill in between loses it. It goes to Java on standard input, where other
    users of this machine cannot see it.
    """
    password, initialised = password_of(home), (home / "data" / "databases" / "system").exists()
    if password and initialised:
        return password
    if initialised:
        raise ServerError(
            f"{home / 'connection.env'} with the password is gone; restore it, or delete data/dbms, "
            f"data/databases/system and data/transactions/system in {home} to have a new one made"
        )
    # Hexadecimal: neither the shell nor Neo4j's command line takes any character of it for something else.
    password = password or secrets.token_hex(20)
    write_connection(home, server, password)
    failed = "the password could not be set"
    run([*launch[:1], "-Xmx256m", *launch[1:], "Launcher", "set-password", str(home)], failed, input=password + "\n")
    return password


def _wait_until_ready(
    server: Server, password: str, home: Path, process: subprocess.Popen[bytes] | None = None
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (_speaks_bolt(server) and _answers(server, password, home)):
        gone = process.poll() is not None if process else not is_ours(server.pid, home)
        if gone or time.monotonic() > deadline:
            said = end_of_log((home / "logs" / "server.log").read_text(errors="replace"))
            what = "ended while starting" if gone else f"did not answer within {START_SECONDS} s"
            raise ServerError(f"the server {what}; logs are in {home / 'logs'}, the last lines:\n{said}")
        time.sleep(0.1)


def _speaks_bolt(server: Server) -> bool:
    """Bolt's handshake: the server picks one of the versions offered, here 5.8 to 5.0 or 4.4."""
    try:
        with socket.create_connection(("127.0.0.1", server.bolt_port), timeout=5) as connection:
            connection.sendall(bytes.fromhex("6060b017 00080805 00000404 00000000 00000000"))
            return any(connection.recv(4))
    except OSError:
        return False


def _answers(server: Server, password: str, home: Path) -> bool:
    try:
        return ask(server, password, "RETURN 1") == [[1]]
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise ServerError(f"the server does not take the password in {home / 'connection.env'}") from error
        return False
    except OSError:
        return False


def ask(server: Server, password: str, statement: str, timeout: float = 60) -> list[list[Any]]:
    """The rows of a query, over HTTP, which the standard library speaks; timeout in seconds."""
    login = base64.b64encode(f"neo4j:{password}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.http_port}/db/{DATABASE}/query/v2",
        json.dumps({"statement": statement}).encode(),
        {"Authorization": f"Basic {login}", "Content-Type": "application/json", "Accept": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout) as answer:
        rows: list[list[Any]] = json.load(answer)["data"]["values"]
        return rows


def stop(home: Path) -> bool:
    """End the server; whether there was one. It gets half a minute to write what it holds."""
    server = running_server(home)
    if server:
        for wanted in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_SECONDS
            with suppress(ProcessLookupError):
                os.kill(server.pid, wanted)
            while is_ours(server.pid, home) and time.monotonic() < deadline:
                time.sleep(0.1)
            if not is_ours(server.pid, home):
                break
    return server is not None


# --------------------------------------------------------------------------------------------------------------- import


def import_bundle(home: Path, bundle: Path, heap: str, page_cache: str, off_heap: str, overwrite: bool) -> str:
    """Replace the database by a bundle, and start the server; whatever happens, there is the one or the other."""
    arguments, indexes = import_arguments(bundle), import_indexes(bundle)
    if (home / "data" / "databases" / DATABASE).exists() and not overwrite:
        server = start(home, heap, page_cache)
        ((nodes,),) = ask(server, password_of(home) or "", "MATCH (n) RETURN count(n)")
        if nodes:
            raise ServerError(
                f"the database of {home} already holds {nodes:,} nodes; --overwrite (make: OVERWRITE=1) replaces them",
                2,
            )
    stop(home)
    try:
        counts = _import(home, bundle, arguments, heap, page_cache, off_heap)
    finally:
        server = start(home, heap, page_cache)
    for statement in (*indexes, "CALL db.awaitIndexes(3600)") if indexes else ():
        ask(server, password_of(home) or "", statement, timeout=3600)
    return counts


def _import(home: Path, bundle: Path, arguments: list[str], heap: str, page_cache: str, off_heap: str) -> str:
    _recover_data(home)
    data, staged = home / "data", home / "importing"
    (staged / "conf").mkdir(parents=True)
    (home / "logs").mkdir(exist_ok=True)
    conf = render_conf(1, 1, heap, page_cache) + f"server.directories.data={staged / 'data'}\n"
    (staged / "conf" / "neo4j.conf").write_text(conf)
    commands = java()
    command = [commands[0], f"-Xmx{megabytes(heap)}m", *JVM_OPTIONS, "-cp", class_path(commands[1])]
    command += ["org.neo4j.cli.AdminTool", *arguments, "--verbose", f"--max-off-heap-memory={megabytes(off_heap)}m"]
    command += [f"--report-file={home / 'logs' / 'import.report'}"]
    environment = os.environ | {"NEO4J_HOME": str(home), "NEO4J_CONF": str(staged / "conf")}
    done = subprocess.run(command, cwd=bundle, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        causes = re.findall(r"^Caused by: [\w.$]+: (.*)", done.stderr, re.MULTILINE)
        raise ServerError(f"the import failed: {causes[-1] if causes else end_of_log(done.stdout + done.stderr)}")
    if data.exists():  # all but the old database: the password, and which server this is
        shutil.copytree(data, staged / "data", ignore=shutil.ignore_patterns(DATABASE), dirs_exist_ok=True)
        data.rename(home / "data.old")
    (staged / "data").rename(data)
    _recover_data(home)
    counts = re.search(r"IMPORT DONE.*?properties", done.stdout, re.DOTALL)
    return " ".join(counts[0].split()) if counts else end_of_log(done.stdout)


def _recover_data(home: Path) -> None:
    """End what an import left: old data are taken back unless new ones are in their place."""
    data, old, staged = home / "data", home / "data.old", home / "importing"
    if old.exists() and not data.exists():
        old.rename(data)
    for folder in (old, staged):
        if folder.exists():
            shutil.rmtree(folder)


# -------------------------------------------------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    home = options.home.expanduser().resolve()
    try:
        if options.command == "status":
            server = running_server(home)
            print(f"running at {server.uri}, process {server.pid}, {home}" if server else f"not running, {home}")
            return 0 if server else 1
        if options.command == "import" and options.print:
            print(shlex.join(["neo4j-admin", *import_arguments(options.bundle)]))
            return 0
        with opened(home):
            if options.command == "stop":
                print("stopped" if stop(home) else "no server was running")
                return 0
            if options.command == "import":
                sizes = options.heap, options.page_cache, options.off_heap
                print(import_bundle(home, options.bundle.resolve(), *sizes, options.overwrite))
            server = start(home, options.heap, options.page_cache)
        print(f"Neo4j answers at {server.uri}, its browser at http://127.0.0.1:{server.http_port}/browser/")
        print(f"data and logs are in {home}; for the commands that ask it:")
        print(f"  source {shlex.quote(str(home / 'connection.env'))}")
        print(home / "connection.env")
    except ServerError as error:
        print(f"neo4j: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"neo4j: {error}", file=sys.stderr)
        return 5
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="server.py", description="A Neo4j Community server of one's own.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (
        ("start", "start the server, or find it running"),
        ("stop", "end it"),
        ("status", "whether it runs: exit code 0 or 1"),
        ("import", "replace the database by a bundle of files, then start"),
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument(
            "--home", type=Path, default=DEFAULT_HOME, help="the server's folder (default: %(default)s)"
        )
        if name in ("start", "import"):
            command.add_argument("--heap", default="1g", help="of the Java process (default: %(default)s)")
            command.add_argument("--page-cache", default="512m", help="for data, beside it (default: %(default)s)")
        if name == "import":
            command.add_argument("bundle", type=Path)
            command.add_argument("--overwrite", action="store_true", help="replace a database that holds data")
            command.add_argument("--off-heap", default="2g", help="for the importer, beside it (default: %(default)s)")
            command.add_argument("--print", action="store_true", help="only print the command of neo4j-admin")
    return parser


if __name__ == "__main__":
    sys.exit(main())
