"""Ray Train around csrms_dist.training: stage 0, the method and its control run through this one loop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from csrms_dist.artefacts.file_systems import joined
from csrms_dist.artefacts.names import CHECKPOINTS
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.heartbeat import LIMIT_S, Heartbeat
from csrms_dist.basics.listening import Measured, Tallied, tell
from csrms_dist.basics.lookup import one_line, own_code
from csrms_dist.basics.progress import Progress, warn
from csrms_dist.encoders import has_batch_norm
from csrms_dist.errors import ClusterError, ConfigError, CsrmsError, StalledError, require
from csrms_dist.features.extraction import THREADS
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.training.checkpoint import Background, FolderStore
from csrms_dist.training.from_run import assemble
from csrms_dist.training.loop import fit
from csrms_dist.training.placement import placement_of
from csrms_dist.training.within import Looks
from ray_jobs.on_ray.gpus import share_of_gpus
from ray_jobs.on_ray.relay import Relay, Told, Wish
from ray_jobs.on_ray.resizing import callbacks
from ray_jobs.on_ray.session import own_error, ray_session
from ray_jobs.settings import most, settings_from
from ray_jobs.stop_points import passed

Workers = int | tuple[int, int]

POLL_S = 0.3
TIMEOUT_S = 3600
"""Of a message by torch itself: workers that do not answer are found long before, by their heartbeats; those that work
may be waited for."""
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""By device. What lies on the host goes by gloo in both."""
RESIZE_S = 60.0
"""How often the cluster is asked whether it has room for another number of workers."""
WAITING_S = 30.0
"""After which it is said that the cluster has no room for the workers."""
ENVIRONMENT = {
    # Of a worker that has nobody to hear its heart beat, by default ten minutes.
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "60",
}
ELASTIC = {
    # What Ray knows of a cluster's room is up to 20 seconds old: having lost a node, it would wait a minute for it.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "10",
}
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
    run, inputs: where every worker opens the run directory, and whose unfinished work it is (`RunDirectory.work`).
    settings: of the run, as plain values.
    n_images, n_epochs: how much is trained.
    workers: of Ray Train; (at least, at most): as many as the cluster has room for. slots: logical CPUs of a local Ray
        session.
    checkpoint_s: seconds between two checkpoints within an epoch, 0 for none. kept: how many checkpoints are.
    limit_s: how long a worker may be silent. device: of every worker, a word of DEVICES.
    """

    role: str
    run: str
    inputs: str
    settings: Mapping[str, Any]
    n_images: int
    n_epochs: int
    workers: Workers
    slots: int
    checkpoint_s: float = 0.0
    kept: int = 1
    limit_s: float = LIMIT_S
    device: str = "cpu"


def _worker(config: dict[str, Any]) -> None:
    """The function of every Ray Train worker."""
    import ray.train

    torch.set_num_threads(THREADS)
    place = ray.train.get_context()
    rank, world, relay, role = place.get_world_rank(), place.get_world_size(), config["relay"], config["role"]
    heartbeat = None
    try:
        if world > 1:
            heartbeat = Heartbeat.connect(
                rank, world, os.environ["MASTER_ADDR"], what=f"training ({role})", limit_s=config["limit_s"],
                tell=lambda error: relay.stalled.remote(str(error)),
            )  # fmt: skip
        collective = Collective(rank, world, heartbeat)
        going = torch.tensor(float(rank > 0 or ray.get(relay.starting.remote())))
        if float(collective.all_sum(going)) == world:
            _train(config, collective, Wish(ray, relay) if config["elastic"] else None)
    except StalledError:
        raise  # the relay has heard of it, and starting the workers again may cure it
    except CsrmsError as error:
        # It would come again however often Ray tried: say it at once.
        ray.get(relay.fail.remote(error))
        raise
    except Exception as error:
        if place_in_code := own_code(error):
            said = ConfigError(f"your own code in {place_in_code}", got=one_line(error), remedy="correct it")
            ray.get(relay.fail.remote(said))
        relay.died.remote(one_line(error))
        raise
    finally:
        if heartbeat is not None:
            heartbeat.close()


def _train(config: dict[str, Any], collective: Collective, wish: Wish | None) -> None:
    """Train as one of the workers, from the last checkpoint on."""
    directory = RunDirectory(config["uri"])
    run, recipe = RunContents(directory), settings_from(config["settings"]).recipe
    work, relay = directory.work(config["inputs"]), config["relay"]
    store = FolderStore(work, config["kept"])
    # Ray registers a checkpoint some time after it was reported; ours counts from the moment it is there.
    saving = Background(store, work, lambda state: relay.put.remote(state["history"]))

    def save(state: dict[str, Any]) -> None:
        if collective.rank == 0:
            saving.save(state)

    # Ray may place workers on machines whose defaults differ; every choice that changes a rounding is made here.
    device = torch.device("cpu") if config["device"] == "cpu" else require("ray.train.torch").get_device()
    placement = placement_of(recipe.train, device)
    placement.set_up()
    resume = store.load()
    if collective.rank == 0:
        part = (resume or {}).get("part") or {"batches": 0}
        done = len(resume["history"]) if resume else 0
        relay.goes_on.remote(collective.world, done, part["batches"])
    training = assemble(
        config["role"], run, recipe, collective, work=work, sampler_type=DglSampler, placement=placement
    )
    statistics_apart = collective.world > 1 and not placement.together
    if collective.rank == 0 and statistics_apart and has_batch_norm(training.method.module):
        relay.warn.remote(BATCH_NORM)
    seconds = config["checkpoint_s"]
    fit(
        training.method,
        training.data,
        training.optimiser,
        n_images=config["n_images"],
        seed=recipe.seed,
        collective=collective,
        sampler=training.sampler,
        on_epoch=lambda done, state: save(state),
        resume=resume,
        placement=training.placement,
        order=training.order,
        looks=Looks(seconds, wish) if seconds or wish else None,
        on_part=save,
    )
    saving.finish()


def train_in_workers(order: Order) -> dict[str, Any]:
    """Train in Ray Train workers; returns the state of the last epoch (model, method, history).

    That state lies in the run's folder of unfinished work; the same order given again goes on from there. Raises
    ClusterError when workers are lost more often than they may without a checkpoint between.
    """
    directory, role = RunDirectory(order.run), order.role
    work = directory.work(order.inputs)
    work.mkdir(parents=True, exist_ok=True)
    with ray_session(order.slots):
        ray = require("ray")
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        gpus = share_of_gpus(order.device, "train.device", most(order.workers), order.slots)
        order = replace(order, device="cuda" if gpus else "cpu")
        elastic = not isinstance(order.workers, int)
        for key, value in (ENVIRONMENT | ELASTIC if elastic else ENVIRONMENT).items():
            os.environ.setdefault(key, value)  # Ray hands them to its controller
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )  # a relay on a node that is lost would forget
        relay = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)(Relay).remote(
            role
        )
        config = {
            "uri": order.run,
            "inputs": order.inputs,
            "settings": order.settings,
            "role": role,
            "n_images": order.n_images,
            "relay": relay,
            "kept": order.kept,
            "checkpoint_s": order.checkpoint_s,
            "limit_s": order.limit_s,
            "elastic": elastic,
            "device": order.device,
        }

        def trainer() -> Any:
            # Ray's own notes on an attempt that was killed: what they would restore lies in our checkpoint.
            directory.remove(f"{CHECKPOINTS}/{order.inputs}/{RAY_FOLDER}")
            return TorchTrainer(
                _worker,
                train_loop_config=config,
                torch_config=TorchConfig(backend=BACKENDS[order.device], timeout_s=TIMEOUT_S),
                scaling_config=ScalingConfig(
                    num_workers=order.workers,
                    use_gpu=order.device != "cpu",
                    elastic_resize_monitor_interval_s=RESIZE_S,
                ),
                run_config=RunConfig(
                    name=RAY_FOLDER,
                    storage_path=str(work) if directory.is_local else joined(order.run, CHECKPOINTS, order.inputs),
                    failure_config=FailureConfig(max_failures=-1),  # the relay counts
                    callbacks=callbacks(relay),
                ),
            )

        with Progress(role, total=order.n_epochs, unit="epochs") as progress:
            number = str(order.workers) if isinstance(order.workers, int) else "{} to {}".format(*order.workers)
            progress.say(f"starting {number} workers of Ray Train")
            watch = _Watch(ray, relay, progress, order)
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
            watch.look()
            state = FolderStore(work, order.kept).load()
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

    def __init__(self, ray: Any, relay: Any, progress: Progress, order: Order) -> None:
        self._ray, self._relay, self._progress, self._order = ray, relay, progress, order
        self._role = order.role
        self._warned, self._starts = 0, 0
        self._late: float | None = time.monotonic() + WAITING_S

    def look(self) -> None:
        try:
            told: Told = self._ray.get(self._relay.get.remote())
        except self._ray.exceptions.RayActorError:
            return  # it is being restarted; the next epoch tells it everything again
        for sentence in told.warnings[self._warned :]:
            warn(sentence)
        self._warned = max(self._warned, len(told.warnings))
        if told.error is not None:
            raise told.error
        if told.starts > max(self._starts, 1):
            tell(Tallied("retries", told.starts - max(self._starts, 1)))
        self._starts = max(self._starts, told.starts)
        self._say_that_it_waits(told.starts > 0)
        self.show(told.history)

    def _say_that_it_waits(self, started: bool) -> None:
        if started:
            self._late = None
        elif self._late is not None and time.monotonic() > self._late:
            self._late, kind = None, "CPU" if self._order.device == "cpu" else "GPU"
            fewest = self._order.workers if isinstance(self._order.workers, int) else self._order.workers[0]
            has = self._ray.cluster_resources().get(kind, 0)
            if has < fewest:
                warn(f"{self._role}: waiting for {fewest} {kind}s, one for each worker; the cluster has {has:.0f}")

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
