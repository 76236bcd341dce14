"""Ray Train around csrms_dist.training: stage 0, the method and its control run through this one loop."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.listening import Measured, Tallied, tell
from csrms_dist.basics.lookup import one_line, own_code
from csrms_dist.basics.progress import Progress, warn
from csrms_dist.encoders import has_batch_norm
from csrms_dist.errors import ClusterError, ConfigError, CsrmsError, require
from csrms_dist.features.extraction import THREADS
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.training.checkpoint import load_checkpoint, save_checkpoint
from csrms_dist.training.from_run import assemble
from csrms_dist.training.loop import fit
from ray_jobs.on_ray.session import own_error, ray_session
from ray_jobs.settings import settings_from
from ray_jobs.stop_points import passed

POLL_S = 0.3
ACCURACY = "_accuracy"
RAY_FOLDER = "ray"
MAX_ATTEMPTS = 3
BATCH_NORM = (
    "the encoder has batch normalisation, whose statistics each worker takes from its own part of a batch: "
    "another number of workers gives other results"
)


@dataclass(frozen=True)
class Order:
    """One training.

    role: `pretrain`, `train` or `control`.
    run, work: the run directory, and a folder for checkpoints and the feature bank that all workers share.
    settings: of the run, as plain values.
    n_images, n_epochs: how much is trained.
    workers: of Ray Train. slots: logical CPUs of a local Ray session.
    """

    role: str
    run: Path
    work: Path
    settings: Mapping[str, Any]
    n_images: int
    n_epochs: int
    workers: int
    slots: int


def _worker(config: dict[str, Any]) -> None:
    """The function of every Ray Train worker."""
    import ray.train

    torch.set_num_threads(THREADS)
    # Ray may place workers on machines whose defaults differ; every choice that changes a rounding is made here.
    torch.use_deterministic_algorithms(True)
    place = ray.train.get_context()
    collective = Collective(place.get_world_rank(), place.get_world_size())
    run, recipe = RunContents(RunDirectory(config["uri"])), settings_from(config["settings"]).recipe
    work, relay = Path(config["work"]), config["relay"]

    def on_epoch(done: int, state: dict[str, Any]) -> None:
        if collective.rank == 0:
            # Ray registers a checkpoint some time after it was reported; this one counts from the moment it is there.
            save_checkpoint(work, state)
            relay.put.remote(state["history"])
        ray.train.report(state["history"][-1])

    try:
        training = assemble(config["role"], run, recipe, collective, work=work, sampler_type=DglSampler)
        if collective.rank == 0 and collective.world > 1 and has_batch_norm(training.method.module):
            relay.warn.remote(BATCH_NORM)
        fit(
            training.method,
            training.data,
            training.optimiser,
            n_images=config["n_images"],
            seed=recipe.seed,
            collective=collective,
            sampler=training.sampler,
            on_epoch=on_epoch,
            resume=load_checkpoint(work),
            placement=training.placement,
            order=training.order,
        )
    except CsrmsError as error:
        # It would come again however often Ray tried: say it at once.
        ray.get(relay.fail.remote(error))
        raise
    except Exception as error:
        if place_in_code := own_code(error):
            said = ConfigError(f"your own code in {place_in_code}", got=one_line(error), remedy="correct it")
            ray.get(relay.fail.remote(said))
        raise


class _Relay:
    """Carries epochs, warnings and our own errors from the workers to the driver."""

    def __init__(self) -> None:
        self._history: list[dict[str, float]] = []
        self._warnings: list[str] = []
        self._error: CsrmsError | None = None

    def put(self, history: list[dict[str, float]]) -> None:
        self._history = history

    def warn(self, sentence: str) -> None:
        if sentence not in self._warnings:
            self._warnings.append(sentence)

    def fail(self, error: CsrmsError) -> None:
        self._error = error

    def get(self) -> tuple[list[dict[str, float]], list[str], CsrmsError | None]:
        return self._history, self._warnings, self._error


def train_in_workers(order: Order) -> dict[str, Any]:
    """Train in Ray Train workers; returns the state of the last epoch (model, method, history).

    That state lies in `order.work`; the same order given again goes on from there. Raises ClusterError when workers die
    more often than they may.
    """
    work, role = order.work, order.role
    work.mkdir(parents=True, exist_ok=True)
    with ray_session(order.slots):
        ray = require("ray")
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        relay = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Relay).remote()
        config = {
            "uri": str(order.run),
            "work": str(work),
            "settings": order.settings,
            "role": role,
            "n_images": order.n_images,
            "relay": relay,
        }

        def trainer() -> Any:
            # Ray's own notes on an attempt that was killed: what they would restore lies in our checkpoint.
            shutil.rmtree(work / RAY_FOLDER, ignore_errors=True)
            return TorchTrainer(
                _worker,
                train_loop_config=config,
                torch_config=TorchConfig(backend="gloo", timeout_s=120),
                scaling_config=ScalingConfig(num_workers=order.workers),
                run_config=RunConfig(
                    name=RAY_FOLDER, storage_path=str(work), failure_config=FailureConfig(max_failures=2)
                ),
            )

        with Progress(role, total=order.n_epochs, unit="epochs") as progress:
            watch = _Watch(ray, relay, progress, role)
            for attempt in range(1, MAX_ATTEMPTS + 1):
                try:
                    _fit(trainer(), watch.look)
                    break
                except ray.train.TrainingFailedError as error:
                    raise _cause(error, role) from error
                except ray.exceptions.RayActorError as error:
                    # Ray replaces dead workers; the actor that replaces them is replaced here.
                    if attempt == MAX_ATTEMPTS:
                        raise _cause(error, role) from error
                    tell(Tallied("retries", 1))
            state = load_checkpoint(work)
            if state is None:
                raise ClusterError(
                    f"training ({role})", got=f"no checkpoint in {work}", expected="that of the last epoch",
                    remedy="the run directory must be a folder that all nodes share",
                )  # fmt: skip
            watch.show(state["history"])
    return state


def _cause(error: Any, role: str) -> CsrmsError:
    """Our own error, if a worker raised one, else a ClusterError around the first worker's."""
    for cause in getattr(error, "worker_failures", {}).values():
        if (ours := own_error(cause)) is not None:
            return ours
    text = " ".join(str(error).split())
    return ClusterError(f"training ({role})", got=f"'{text[-300:]}'", remedy="run the same command again: it resumes")


def _fit(trainer: Any, watch: Callable[[], None]) -> Any:
    """trainer.fit() in a thread of its own, `watch` called while it runs.

    On the main thread Ray Train would put its own handler in place of Ctrl-C's: the process would end with another exit
    code and no word, and every later stage would swallow it.
    """
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((trainer.fit(), None))
        except BaseException as error:  # raised again below, on the main thread
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_S)
        watch()
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


class _Watch:
    """Brings progress to what the relay knows; raises what a worker said of itself."""

    def __init__(self, ray: Any, relay: Any, progress: Progress, role: str) -> None:
        self._ray, self._relay, self._progress, self._role = ray, relay, progress, role
        self._warned = 0

    def look(self) -> None:
        try:
            history, warnings, error = self._ray.get(self._relay.get.remote())
        except self._ray.exceptions.RayActorError:
            return  # it is being restarted; the next epoch tells it everything again
        for sentence in warnings[self._warned :]:
            warn(sentence)
        self._warned = max(self._warned, len(warnings))
        if error is not None:
            raise error
        self.show(history)

    def show(self, history: list[dict[str, float]]) -> None:
        done = len(history)
        if done <= self._progress.done:
            return
        tell_epochs(history[int(self._progress.done) :])
        self._progress.set(done, "  ".join(note(history[-1])))
        for epoch in range(1, done + 1):
            passed(f"{self._role}.{epoch}")


def tell_epochs(reports: Iterable[Mapping[str, float]]) -> None:
    """Tell the figures of epochs."""
    for report in reports:
        tell(Measured(report, int(report["epoch"])))


def note(report: dict[str, float]) -> list[str]:
    """The figures of an epoch that a progress line shows."""
    shown = [f"loss {report['loss']:.3f}"]
    heads = sorted((name for name in report if name.endswith(ACCURACY)), key=lambda name: name != f"plain{ACCURACY}")
    return shown + [f"{name.removesuffix(ACCURACY)} {report[name]:.1%}" for name in heads]
