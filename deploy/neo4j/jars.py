"""Java, and the jars of Neo4j that Maven brings."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from home import HERE, ServerError, locked

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
        run([maven, "-q", "-B", "-f", str(sources[0]), *wanted], "Maven could not fetch Neo4j")
        compiled = ["-cp", str(staged / "jars" / "*"), "-d", str(staged / "classes"), str(sources[1])]
        run([javac, *compiled], "the launcher does not compile")
        staged.rename(place)
    return _joined(place)


def _joined(place: Path) -> str:
    # The importer reads Parquet with the small stand-ins for Hadoop that parquet-floor brings; Hadoop's own classes, in
    # another of the jars, would look for libraries that Neo4j leaves out.
    (first,) = (place / "jars").glob("parquet-floor-*.jar")
    return os.pathsep.join(map(str, (place / "classes", first, place / "jars" / "*")))


def run(command: Sequence[str], failed: str, **options: Any) -> str:
    """The output of a command. Raises ServerError, which says `failed` and the end of its log."""
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
