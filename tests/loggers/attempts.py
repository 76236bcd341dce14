"""One attempt at a made-up run, in a process of its own: attempts.py LOGGER RUN EPOCHS [kill]."""

from __future__ import annotations

import os
import signal
import sys

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.listening import Measured, tell
from ray_jobs.monitoring.monitor import monitored
from ray_jobs.settings import settings_from

INPUTS = {"train": "b" * 32}


def main(logger: str, place: str, epochs: str, *kill: str) -> None:
    run = RunDirectory(place)
    run.write_json("run.json", {})
    settings = settings_from({"name": "mine", "seed": 7, "loggers": [logger]})
    with monitored(run, settings, 1, INPUTS, {"train"}) as monitor:
        with monitor.stage("train", INPUTS["train"]):
            for epoch in range(1, int(epochs) + 1):
                tell(Measured({"epoch": float(epoch), "images": 50.0, "loss": 1 / epoch, "plain_accuracy": 0.5}, epoch))
        if not kill:
            monitor.done({"seconds": 2.0})
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
