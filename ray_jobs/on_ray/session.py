"""One quiet Ray session for a command: a local one, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from csrms_dist.basics.progress import warn
from csrms_dist.errors import ClusterError, CsrmsError, require

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


def own_error(error: BaseException) -> CsrmsError | None:
    """The error of ours that Ray has wrapped, if there is one."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, CsrmsError):
            return inner
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
    for key, value in (ENVIRONMENT | LOCAL if own else ENVIRONMENT).items():
        os.environ.setdefault(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        ray = require("ray")
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if own:
        options |= {
            "address": "local",
            "num_cpus": max(slots, os.cpu_count() or 1),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    _start(ray, options, ATTEMPTS if own else 1)
    _started.append(True)
    try:
        yield
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
            said = " ".join(str(error).split("\n")[0].split())
            raise ClusterError(
                f"Ray on {place}", got=f"'{said}'" if said else type(error).__name__, expected="a running Ray",
                remedy=(
                    "the machine may be busy: run the same command again, which goes on, or set every actors and "
                    "workers to 1, which needs no Ray" if attempts > 1
                    else "start it, check RAY_AUTH_MODE and its token, or unset RAY_ADDRESS"
                ),
            ) from error  # fmt: skip


def _children() -> set[int]:
    """The processes that this one has started."""
    psutil = require("psutil")  # Ray brings it
    return {child.pid for child in psutil.Process().children()}


_shared: list[bool] = []
_started: list[bool] = []
"""Whether this process started Ray: an actor, which finds it running, does not end it."""


def _end(ray: Any) -> None:
    _started.clear()
    ray.shutdown()


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
