"""One quiet Ray session for a command: a local one, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from csrms_dist.basics.progress import warn
from csrms_dist.errors import ClusterError, CsrmsError, require
from ray_jobs.on_ray.local import Folder, provide_token

# Read by Ray when it is imported or started: no usage report, no log lines of workers among ours, no advice.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Ray prints the death of an actor, which the pool deals with, on standard output, among a command's results.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # Ray Train's controller looks at its workers every two seconds by default, and a report waits for it: short epochs
    # would take two seconds each.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # Training workers stay in the folder of the command: paths in the configuration are relative to it.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
# Of a command that joins a cluster.
JOINING = {
    # Each attempt to reach a cluster that does not answer takes Ray 40 seconds, and it makes twenty.
    "RAY_NUM_REDIS_GET_RETRIES": "2",
}
# Of a session of our own.
LOCAL = {
    # It listens on localhost alone. The name is Ray's: elsewhere than on Linux it does so by default.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # On a busy machine its processes take longer to start than Ray allows: 30, 30, 30 and 60 seconds.
    "RAY_gcs_server_port_wait_time_s": "180",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_worker_register_timeout_seconds": "180",
    # Ray puts its workers below all else that the machine does, which on a busy one makes a run many times slower.
    "RAY_worker_niceness": "0",
}
OBJECT_STORE_BYTES = 512 * 1024**2
ATTEMPTS = 2
"""At a session of our own: one wait of 30 seconds cannot be made longer."""
CONNECT_S = 10.0
FULL = {
    "ObjectStoreFullError": ("Ray's object store", "give its nodes more (ray start --object-store-memory BYTES)"),
    "OutOfDiskError": ("the disk of Ray's object store", "free some space, or set RAY_TMPDIR to a larger disk"),
    "OutOfMemoryError": ("the memory of a node", "use fewer actors and workers, or smaller batches"),
}
"""Ray's errors of a node that is full -> what is full, and what to do."""


def own_error(error: BaseException) -> CsrmsError | None:
    """The error of ours that Ray has wrapped, if there is one."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, CsrmsError):
            return inner
        if type(inner).__name__ in FULL:  # by name: an error is looked at where Ray may not be there
            what, remedy = FULL[type(inner).__name__]
            return ClusterError(what, got=type(inner).__name__, expected="room for the work's arrays", remedy=remedy)
        inner = getattr(inner, "cause", None) or inner.__cause__
    return None


def uses_ray(hands: int) -> bool:
    """Whether so many workers or actors run on Ray: one does its work in this process, unless RAY_ADDRESS is set."""
    return hands > 1 or bool(os.environ.get("RAY_ADDRESS"))


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Ray's C++ core announces the asked log level on the raw descriptor; its errors reach us as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device, not a path of ours
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _kept_handlers() -> Iterator[None]:
    """Ray puts a handler of its own in the place of SIGTERM's; only a main thread may put ours back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in kept.items():
                signal.signal(number, handler)


@contextmanager
def ray_session(slots: int) -> Iterator[None]:
    """Start (or join) Ray for the time of a `with` block; inside `shared_session` it stays up for the blocks to come.

    A local session has at least `slots` logical CPUs, so that three actors run on two cores too. Raises ClusterError
    when Ray cannot be started or reached.
    """
    own = os.environ.get("RAY_ADDRESS", "") in ("", "local")
    for key, value in (ENVIRONMENT | (LOCAL if own else JOINING)).items():
        os.environ.setdefault(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        ray = require("ray")
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    folder = None
    if own:
        provide_token()
        folder = Folder()
        options |= {
            "address": "local",
            "num_cpus": max(slots, os.cpu_count() or 1),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        } | ({"_temp_dir": str(folder.path)} if folder.path else {})
    else:
        _knock(os.environ["RAY_ADDRESS"])
    try:
        _start(ray, options, ATTEMPTS if own else 1)
    except BaseException:
        if folder is not None:
            folder.remove()
        raise
    _started.append(folder)
    try:
        yield
    except ray.exceptions.RayError as error:
        if (ours := own_error(error)) is not None:
            raise ours from error
        raise
    finally:
        if not _shared:
            _end(ray)


def cluster_cpus() -> int:
    """Logical CPUs of the session that is open."""
    return int(require("ray").cluster_resources().get("CPU", 1))


def _start(ray: Any, options: dict[str, Any], attempts: int) -> None:
    """ray.init, again where it fails. Raises ClusterError."""
    place = os.environ.get("RAY_ADDRESS") or "this machine"
    before = _children()
    for attempt in range(1, attempts + 1):
        try:
            with _muted_stderr(), _kept_handlers():
                ray.init(**options)
            return
        except Exception as error:  # Ray raises a plain Exception when its processes take too long
            with contextlib.suppress(Exception):
                ray.shutdown()
            for child in _children() - before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            if attempt < attempts:
                warn("Ray did not start; trying once more")
                continue
            if (known := _mismatch(error, place) or _refused(error, place)) is not None:
                raise known from error
            said = " ".join(str(error).split("\n")[0].split())
            if attempts == 1:
                raise _unreachable(place, said or type(error).__name__) from error
            raise ClusterError(
                f"Ray on {place}", got=f"'{said}'" if said else type(error).__name__, expected="a running Ray",
                remedy="the machine may be busy: run the same command again, which goes on, or set every actors and "
                "workers to 1, which needs no Ray",
            ) from error  # fmt: skip


def _knock(address: str) -> None:
    """Raise ClusterError where nobody listens: Ray itself would try for minutes."""
    found = re.fullmatch(r"(?P<host>.+):(?P<port>\d+)", address)
    if found is None or "://" in address:
        return  # auto, which Ray looks up, and its other forms
    try:
        socket.create_connection((found["host"], int(found["port"])), CONNECT_S).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, said: str) -> ClusterError:
    return ClusterError(
        f"Ray on {address}", got=f"'{said}'", expected="a running Ray",
        remedy="start it, check RAY_AUTH_MODE and its token, or unset RAY_ADDRESS",
    )  # fmt: skip


def _mismatch(error: Exception, place: str) -> ClusterError | None:
    """The sentence of two versions that do not go together, if that is what Ray says."""
    found = re.findall(r"Ray: (\S+)\s+Python: (\S+)", str(error))
    if "Version mismatch" not in str(error) or len(found) != 2:
        return None
    there, here = (f"Ray {ray} on Python {python}" for ray, python in found)
    return ClusterError(
        f"Ray on {place}", got=f"{here} here", expected=f"{there}, as it was started with",
        remedy="install the same here, or send the run there with csrms submit",
    )  # fmt: skip


def _refused(error: Exception, place: str) -> ClusterError | None:
    """The sentence of a token that is wrong or not there, if that is what Ray says."""
    said = f"{error} {error.__cause__ or ''}"
    if "InvalidAuthToken" not in said and type(error).__name__ != "AuthenticationError":
        return None
    return ClusterError(
        f"Ray on {place}", got="no token or a wrong one", expected="its token",
        remedy="set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that the cluster was started with",
    )  # fmt: skip


def _children() -> set[int]:
    """The processes that this one has started."""
    psutil = require("psutil")  # Ray brings it
    return {child.pid for child in psutil.Process().children()}


_shared: list[bool] = []
_started: list[Folder | None] = []
"""Of Ray as this process started it; nothing where it did not: an actor, which finds it running, does not end it."""


def _end(ray: Any) -> None:
    ray.shutdown()
    folder = _started.pop()
    if folder is not None:
        folder.remove()


@contextmanager
def shared_session() -> Iterator[None]:
    """Starting Ray costs seconds: the first `ray_session` within this block starts it, the end of the block ends it."""
    _shared.append(True)
    try:
        yield
    finally:
        _shared.pop()
        ray = sys.modules.get("ray")
        if not _shared and _started and ray is not None:
            _end(ray)
