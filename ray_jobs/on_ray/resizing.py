"""Ray Train's controller, before it stops workers to start another number of them: they write a checkpoint first.

Ray ends a healthy group of workers wherever it is. What has been done since its last checkpoint would be done again, by
default up to an epoch. The hook is Ray's own, and not of its public interface: without it a change of the number costs
more, and the result is the same.
"""

from __future__ import annotations

import os
import time
from typing import Any

from csrms_dist.errors import require

HOLD_S = 30.0
"""Workers that write no checkpoint in this time are stopped as they are."""
RESIZING = "ResizingState"
ENVIRONMENT = {
    # Workers that do not answer need not be waited for: they are killed.
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",
}


def callbacks(relay: Any) -> list[Any]:
    """For ray.train.RunConfig; empty where this version of Ray has no such hook."""
    require("ray")
    try:
        from ray.train.v2._internal.execution.callback import ControllerCallback
    except ImportError:
        return []

    class BeforeResizing(ControllerCallback):  # type: ignore[misc]
        """Lives in the controller's process."""

        def after_controller_start(self, train_run_context: Any) -> None:
            os.environ.update(ENVIRONMENT)

        def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
            if type(current_state).__name__ == RESIZING:
                hold(relay)

    return [BeforeResizing()]


def hold(relay: Any) -> None:
    """Ask the workers for a checkpoint, and wait until it is there."""
    ray = require("ray")
    deadline = time.monotonic() + HOLD_S
    try:
        ray.get(relay.want.remote(), timeout=HOLD_S)
        while ray.get(relay.wanted.remote(), timeout=HOLD_S) and time.monotonic() < deadline:
            time.sleep(0.1)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return  # the checkpoint before serves as well
