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
import fcntl
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEFAULT_HOME = HERE.parents[1] / ".neo4j"
DATABASE = "neo4j"
START_SECONDS = 300  # after a kill, a large database takes a while to recover
STOP_SECONDS = 30
# Neo4j reaches into these parts of the JDK; a JVM out of memory must end rather than go on half alive.
JVM_OPTIONS = [
    "-XX:+UseG1GC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dlog4j2.disable.jmx=true",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
]
# What a bundle may ask of the importer: how its own files are written, nothing else.
# fmt: off
BUNDLE_OPTIONS = frozenset([
    "array-delimiter", "delimiter", "id-type", "ignore-empty-strings", "input-encoding", "input-type",
    "legacy-style-quoting", "multiline-fields", "quote", "read-buffer-size", "trim-strings",
])
# fmt: on

# What it may have made in the database afterwards: constraints and indexes, nothing else.
BUNDLE_INDEX = re.compile(r"CREATE (CONSTRAINT|INDEX) \w+ IF NOT EXISTS FOR [\w ()\[\]:-]+ (REQUIRE|ON) [\w .()]+")


class ServerError(Exception):
    """Ends the command with one sentence and an exit code."""

    def __init__(self, sentence: str, exit_code: int = 5) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


# --------------------------------------------------------------------------------------------------- Java and the jars


def java() -> tuple[str, str]:
    """The commands `java` and `javac`, of version 17 or later."""
    home = os.environ.get("JAVA_HOME")
    place = str(Path(home) / "bin") if home else None
    remedy = "install a JDK, for example openjdk-17-jdk-headless, or let JAVA_HOME name one"
    found = [shutil.which(name, path=place) for name in ("java", "javac")]
    for name, command in zip(("java", "javac"), found, strict=True):
        if not command:
            where = f"in {place}" if place else "on the PATH"
            raise ServerError(f"Neo4j needs Java 17 or later: got no {name} {where}; {remedy}", 7)
    said = subprocess.run([str(found[1]), "-version"], capture_output=True, text=True, check=False)
    version = re.search(r"javac (?:1\.)?(\d+)", said.stdout + said.stderr)
    if not version or int(version[1]) < 17:
        got = version[0] if version else (said.stdout + said.stderr).strip()
        raise ServerError(f"Neo4j needs Java 17 or later: got {got}; {remedy}", 7)
    return str(found[0]), str(found[1])


def class_path(javac: str, target: Path = HERE / "target") -> str:
    """Neo4j's jars, resolved with Maven, and the compiled launcher; made once for a pom.xml and kept below target/."""
    sources = [HERE / "pom.xml", HERE / "Launcher.java"]
    place = target / hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    target.mkdir(exist_ok=True)
    with locked(target / "lock"):
        if place.exists():
            return _joined(place)
        maven = shutil.which("mvn")
        if not maven:
            raise ServerError("the first start fetches Neo4j with Maven: got no mvn on the PATH; install Maven", 7)
        print("fetching Neo4j (about 140 MB, once)", flush=True)
        staged = target / "staged"
        shutil.rmtree(staged, ignore_errors=True)
        wanted = ["dependency:copy-dependencies", f"-DoutputDirectory={staged / 'jars'}", "-DincludeScope=runtime"]
        _run([maven, "-q", "-B", "-f", str(sources[0]), *wanted], "Maven could not fetch Neo4j")
        compiled = ["-cp", str(staged / "jars" / "*"), "-d", str(staged / "classes"), str(sources[1])]
        _run([javac, *compiled], "the launcher does not compile")
        staged.rename(place)
    return _joined(place)


def _joined(place: Path) -> str:
    # The importer reads Parquet with the small stand-ins for Hadoop that parquet-floor brings; Hadoop's own classes, in
    # another of the jars, would look for libraries that Neo4j leaves out.
    (first,) = (place / "jars").glob("parquet-floor-*.jar")
    return os.pathsep.join(map(str, (place / "classes", first, place / "jars" / "*")))


def _run(command: Sequence[str], failed: str, **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        raise ServerError(f"{failed}: {end_of_log(done.stdout + done.stderr) or f'exit code {done.returncode}'}")
    return done.stdout


def end_of_log(text: str) -> str:
    """The last lines that say something: no frames of stack traces."""
    lines = [line.strip() for line in text.splitlines()]
    return "\n".join([line for line in lines if line and not line.startswith(("at ", "... "))][-3:])


# ------------------------------------------------------------------------------------------------------ a server's home


@dataclass(frozen=True)
class Server:
    """server.json: the process, and the ports that the next start takes again if they are free."""

    pid: int
    bolt_port: int
    http_port: int

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.bolt_port}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One at a time; the lock ends with the process that holds it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def opened(home: Path) -> Iterator[None]:
    """The folder of a server, made if it is missing, locked against a second command."""
    if home.exists() and not (home / ".lock").exists() and (not home.is_dir() or any(home.iterdir())):
        raise ServerError(
            f"{home} holds something else, expected a folder of the server's own; name one with --home", 2
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(home / ".lock"):
        yield


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that was never readable by others."""
    staged = path.with_name(path.name + ".new")
    staged.unlink(missing_ok=True)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def last_server(home: Path) -> Server | None:
    """What server.json says; the process may be gone."""
    try:
        return Server(**json.loads((home / "server.json").read_text()))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise ServerError(
            f"{home / 'server.json'} is not one of ours ({error}); stop the server and delete it"
        ) from error


def is_ours(pid: int, home: Path) -> bool:
    """Whether that process is the server of this folder: after a kill, the number may belong to any other."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return False
        said = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
        words = said.stdout.strip().split(" ", 1)
        return len(words) == 2 and words[1].endswith(f" serve {home}")
    return words[-2:] == ["serve", str(home)]


def running_server(home: Path) -> Server | None:
    server = last_server(home)
    return server if server and is_ours(server.pid, home) else None


def free_port(wanted: int = 0) -> int:
    """`wanted` if this machine's loopback has it free, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("127.0.0.1 has no free port")


def megabytes(size: str) -> int:
    """`512m` or `2g` as a number of MiB."""
    found = re.fullmatch(r"([1-9]\d*)([mg])", size)
    if not found:
        raise ServerError(f"got the size {size!r}, expected one like 512m or 2g", 2)
    return int(found[1]) * (1024 if found[2] == "g" else 1)


def render_conf(bolt_port: int, http_port: int, heap: str, page_cache: str) -> str:
    """neo4j.conf: one transaction may fill half of the heap, all of them 70 % of it."""
    bounds = {"one_transaction": f"{megabytes(heap) // 2}m", "all_transactions": f"{megabytes(heap) * 7 // 10}m"}
    template = string.Template((HERE / "neo4j.conf").read_text())
    return template.substitute(bounds, bolt_port=bolt_port, http_port=http_port, page_cache=f"{megabytes(page_cache)}m")


def password_of(home: Path) -> str | None:
    """The password in connection.env."""
    path = home / "connection.env"
    found = re.search(r"^export NEO4J_PASSWORD=(\S+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return shlex.split(found[1])[0] if found else None


def write_connection(home: Path, server: Server, password: str) -> None:
    values = {"URI": server.uri, "USERNAME": "neo4j", "PASSWORD": password, "DATABASE": DATABASE}
    lines = [f"export NEO4J_{name}={shlex.quote(value)}" for name, value in values.items()]
    write_private(home / "connection.env", "\n".join(lines) + "\n")


# ------------------------------------------------------------------------------------------------------- start and stop


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
    _run([*launch[:1], "-Xmx256m", *launch[1:], "Launcher", "set-password", str(home)], failed, input=password + "\n")
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


def import_arguments(bundle: Path) -> list[str]:
    """What `neo4j-admin` gets for a bundle, to be run in its folder."""
    try:
        content = json.loads((bundle / "bundle.json").read_text())
        if content["format"] != 1:
            raise ServerError(f"{bundle / 'bundle.json'}: got format {content['format']!r}, expected 1", 3)
        groups = [("nodes", item["label"], item) for item in content["nodes"]]
        groups += [("relationships", item["type"], item) for item in content["relationships"]]
        arguments = [f"--{kind}={name}={','.join(_files(bundle, item))}" for kind, name, item in groups]
        options = [str(option) for option in content["options"]]
    except FileNotFoundError as error:
        raise ServerError(f"{bundle} is not a bundle: got no {error.filename}", 3) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(f"{bundle / 'bundle.json'} is not a bundle's description: {error!r}", 3) from error
    for option in options:
        if not option.startswith("--") or option[2:].partition("=")[0] not in BUNDLE_OPTIONS:
            raise ServerError(f"{bundle / 'bundle.json'}: got the option {option!r}, which a bundle may not set", 3)
    return ["database", "import", "full", DATABASE, *arguments, *options, "--strict=true", "--bad-tolerance=0"]


def import_indexes(bundle: Path) -> list[str]:
    """The statements that make a bundle's constraints and indexes, which the importer leaves out."""
    statements = [str(text) for text in json.loads((bundle / "bundle.json").read_text()).get("indexes", [])]
    for text in statements:
        if not BUNDLE_INDEX.fullmatch(text):
            raise ServerError(f"{bundle / 'bundle.json'}: got {text!r}, expected CREATE CONSTRAINT or CREATE INDEX", 3)
    return statements


def _files(bundle: Path, item: dict[str, Any]) -> list[str]:
    """Header and data; the importer reads names as lists of patterns, so they may hold nothing that means something."""
    names = [*([item["header"]] if item.get("header") else []), *item["files"]]
    for name in names:
        if not re.fullmatch(r"[\w.-]+", name):
            raise ServerError(
                f"{bundle / 'bundle.json'}: got the file name {name!r}, expected letters, digits, . _ -", 3
            )
        if not (bundle / name).is_file():
            raise ServerError(f"{bundle} is not whole: got no {name}", 3)
    return names


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
