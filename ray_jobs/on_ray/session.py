"""One quiet Ray session for a command: a local one, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
# A local session listens on localhost alone. The name is Ray's: elsewhere than on Linux it does so by default.
LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
OBJECT_STORE_BYTES = 512 * 1024**2


def own_error(error: BaseException) -> CsrmsError | None:
    """The error of ours that Ray has wrapped, if there is one."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, CsrmsError):
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return None


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
    for key, value in (ENVIRONMENT if os.environ.get("RAY_ADDRESS") else ENVIRONMENT | LOCAL).items():
        os.environ.setdefault(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        ray = require("ray")
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if not os.environ.get("RAY_ADDRESS"):
        options |= {
            "address": "local",
            "num_cpus": max(slots, os.cpu_count() or 1),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    try:
        with _muted_stderr(), _kept_handlers():
            ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        place = os.environ.get("RAY_ADDRESS") or "this machine"
        raise ClusterError(
            f"Ray on {place}", got=f"'{str(error).splitlines()[0]}'", expected="a running Ray",
            remedy="start it or unset RAY_ADDRESS",
        ) from error  # fmt: skip
    try:
        yield
    finally:
        if not _shared:
            ray.shutdown()


_shared: list[bool] = []


@contextmanager
def shared_session() -> Iterator[None]:
    """Starting Ray costs seconds: the first `ray_session` within this block starts it, the end of the block ends it."""
    _shared.append(True)
    try:
        yield
    finally:
        _shared.pop()
        ray = sys.modules.get("ray")
        if not _shared and ray is not None and ray.is_initialized():
            ray.shutdown()
